"""`askd toy`, called as the pages call it: without a folder."""

from pathlib import Path

import pytest

from askd_mmdet.commands import main
from askd_mmdet.commands.toy import SETS

SMALL = {
    'wider_face': ['--train-images', '1', '--val-images', '1'],
    'faces': [
        *('--train-identities', '1', '--train-pictures', '1', '--validation-identities', '2', '--pairs', '20'),
        *('--probes', '2', '--gallery', '2', '--distractors', '1'),
    ],
    'pictures': ['--train-pictures', '1', '--val-pictures', '1'],
}


@pytest.mark.parametrize('name', SETS)
def test_the_set_lies_where_the_toy_configs_look(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main(['toy', name, *SMALL[name]])
    assert not end.value.code
    assert capsys.readouterr().out.startswith(f'data/toy_{name}: ')
    assert list(tmp_path.glob('*/*')) == [Path(tmp_path, f'data/toy_{name}')]
