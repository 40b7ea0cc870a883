"""Processor time of the first minute: of importing this project, and from the command to the end of the first step.

Importing is compared with what MMDetection itself has imported when a plain training of a detector takes its first
step, and `askd train` on a toy with MMEngine's Runner on the same config, of which the command checks and logs more.
Each in processes of its own, which alternate; medians. Ours may take 1.1 times as long.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from askd_mmdet.toy import make_wider_face

ROOT = Path(__file__).resolve().parents[1]
AT_MOST = 1.1
# What Runner.from_cfg(...).train() of mmdet's RetinaNet imports of it by name; its metrics, by an evaluator alone.
MMDET = 'import mmdet.datasets, mmdet.engine, mmdet.models, mmdet.visualization, mmengine.runner'
ONE_STEP = {
    'train_cfg.max_epochs': 1,
    'train_cfg.val_begin': 2,
    'train_dataloader.batch_size': 2,
    'train_dataloader.num_workers': 0,
    'default_hooks.checkpoint.interval': 2,
    'default_hooks.checkpoint.save_last': False,
    'log_level': 'ERROR',
}
RUNNER = """
from mmengine.config import Config
from mmengine.runner import Runner
cfg = Config.fromfile('{config}')
cfg.merge_from_dict({options})
cfg.work_dir = '{folder}'
Runner.from_cfg(cfg).train()
"""


def seconds(*command):
    """Processor time of a process, with its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = os.environ | dict(PYTHONPATH=str(ROOT), OMP_NUM_THREADS='1')
    subprocess.run([sys.executable, '-W', 'ignore', *command], env=environment, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return sum(getattr(after, part) - getattr(before, part) for part in ('ru_utime', 'ru_stime'))


def compare(what, theirs, ours, rounds):
    """Print the medians of two commands and their ratio; whether it is as small as it should be."""
    times = [[seconds(*command) for command in (theirs, ours)] for _ in range(rounds + 1)][1:]
    base, own = map(median, zip(*times))
    print(f'{what}: {base:.2f} s, ours {own:.2f} s, ratio {own / base:.3f}, at most {AT_MOST}', flush=True)
    return own <= AT_MOST * base


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--rounds', type=int, default=5, help='processes of each kind (default: %(default)s)')
    rounds = parser.parse_args().rounds
    met = [compare('import', ['-c', MMDET], ['-c', 'import askd_mmdet.detection'], rounds)]
    with tempfile.TemporaryDirectory() as folder:
        data, work_dir = Path(folder, 'data'), Path(folder, 'run')
        make_wider_face(data, train_images=2, val_images=2, size=(96, 96), without_faces=0)
        config = str(ROOT / 'configs/toy/tinaface_r50-bn-cbam_toy-4x.py')
        options = ONE_STEP | {
            'train_dataloader.dataset.data_root': str(data),
            'val_dataloader.dataset.data_root': str(data),
            'val_evaluator.ground_truth': f'{data}/eval_tools/ground_truth',
        }
        runner = RUNNER.format(config=config, options=options, folder=work_dir)
        settings = [f'{name}={value}' for name, value in options.items()]
        command = ['-m', 'askd_mmdet', 'train', config, '--work-dir', str(work_dir), '--cfg-options', *settings]
        met.append(compare('first step', ['-c', runner], command, rounds))
    sys.exit(0 if all(met) else 'too slow')


if __name__ == '__main__':
    main()
