"""Progress on a terminal and in a file."""

import os
import pty
import re
import subprocess
import sys

from tests.toy_run import ROOT

SCRIPT = """
import time
from askd_mmdet.progress import track
for i in track(range(4), 'reading', every=0.1):
    time.sleep(0.15)
"""


def test_a_file_gets_a_line_now_and_then():
    done = subprocess.run([sys.executable, '-c', SCRIPT], cwd=ROOT, capture_output=True, text=True, check=True)
    lines = done.stderr.splitlines()
    assert [line.split(',')[0] for line in lines[:-1]] == [f'reading: {i} of 4' for i in (1, 2, 3)]
    assert re.fullmatch(r'reading: 4 in 0:00:\d\d, [1-6]\.\d/s', lines[-1])
    assert all(re.search(r', [1-6]\.\d/s, 0:00:0\d left$', line) for line in lines[:-1]) and not done.stdout


def test_a_terminal_gets_one_line_that_lives(tmp_path):
    primary, secondary = pty.openpty()
    environment = dict(PATH='/usr/bin', TERM='xterm', COLUMNS='100', PYTHONPATH=str(ROOT))
    process = subprocess.Popen([sys.executable, '-c', SCRIPT], stderr=secondary, env=environment)
    process.wait(60)
    os.close(secondary)
    text = b''
    while True:
        try:
            part = os.read(primary, 4096)
        except OSError:
            break
        if not part:
            break
        text += part
    assert b'\r' in text and b'4/4' in text and b'/s' in text and text.count(b'\n') <= 2
