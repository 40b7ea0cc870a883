"""`askd split identities` as users call it."""

import os
import re
import subprocess

import pytest
from PIL import Image

from askd_mmdet.recognition.datasets import read_pairs
from tests.toy_run import COMMAND


def call(*args):
    command = [*COMMAND, 'split', 'identities', *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.fixture
def people(tmp_path):
    """Five people with four pictures each, one without any, and a file."""
    for person in range(5):
        folder = tmp_path / 'people' / f'p{person}'
        folder.mkdir(parents=True)
        for i in range(4):
            Image.new('L', (8, 8), person * 20 + i).save(folder / f'{i}.pgm')
    (tmp_path / 'people/empty').mkdir()
    (tmp_path / 'people/README').write_text('people')
    (tmp_path / 'people/.ipynb_checkpoints').mkdir()
    for hidden in ('.ipynb_checkpoints/0.pgm', 'p0/._0.pgm'):
        (tmp_path / 'people' / hidden).write_bytes(b'')
    return tmp_path / 'people'


def test_identities_are_split_into_training_and_balanced_pairs(people, tmp_path):
    done = call(people, tmp_path / 'out', '--held-out', 2, '--pairs', 12, '--folds', 2)
    assert done.returncode == 0, done.stderr
    assert '3 identities to train on, 12 pairs' in done.stdout
    train, verify = ({p.name for p in (tmp_path / 'out' / part).iterdir()} for part in ('train', 'verify'))
    assert not [*(tmp_path / 'out').rglob('.*')]
    assert train | verify == {f'p{i}' for i in range(5)} and not train & verify and len(verify) == 2
    pairs, folds = read_pairs(tmp_path / 'out/pairs.txt')
    assert folds == 2
    assert len({frozenset(pair[1:3]) for pair in pairs}) == 12
    for _, first, second, same in pairs:
        assert (first.split('/')[1] == second.split('/')[1]) == same
        assert all((tmp_path / 'out' / name).is_file() for name in (first, second))
    assert [same for *_, same in pairs] == 2 * [*3 * [True], *3 * [False]]


def test_albums_of_a_person_are_kept_and_strays_are_named(people, tmp_path):
    (people / 'p1/2019').mkdir()
    (people / 'p1/3.pgm').rename(people / 'p1/2019/0.pgm')
    Image.new('L', (8, 8)).save(people / 'nobody.pgm')
    done = call(people, tmp_path / 'out', '--held-out', 2, '--pairs', 12, '--folds', 2)
    assert done.returncode == 0, done.stderr
    assert '1 pictures are of nobody, in no folder, and were left out: nobody.pgm' in done.stderr
    copies = {'/'.join(path.parts[-2:]): path for path in (tmp_path / 'out').rglob('*.pgm')}
    assert len(copies) == 20 and copies['2019/0.pgm'].read_bytes() == (people / 'p1/2019/0.pgm').read_bytes()


@pytest.mark.parametrize('name', [b'p\xe9', b'a\tb', b'a\nb'])
def test_names_that_no_list_can_hold_are_refused_before_anything_is_copied(people, tmp_path, name):
    """The first is what an archive of another system may leave: é in Latin-1."""
    (people / 'p3').rename(people / os.fsdecode(name))
    done = call(people, tmp_path / 'out', '--held-out', 2, '--pairs', 12, '--folds', 2)
    assert done.returncode == 1 and 'cannot hold the names of 4 pictures' in done.stderr, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ['people']


def test_nothing_is_left_of_a_split_that_fails(people, tmp_path):
    """Or the same command would find its own beginnings."""
    (people / 'p3/2.pgm').unlink()
    (people / 'p3/2.pgm').symlink_to('nowhere')
    assert call(people, tmp_path / 'out', '--held-out', 2, '--pairs', 12, '--folds', 2).returncode == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ['people']


@pytest.mark.parametrize(
    'change, message',
    [
        (dict(held_out=5), 'has 5 identities; hold out 2 to 4 of them'),
        (dict(folds=0), 'folds=0, expected at least 2'),
        (dict(pairs=0), 'pairs=0, expected at least 1'),
        (dict(pairs=-4), 'pairs=-4, expected at least 1'),
        (dict(pairs=13), 'found 13 pairs, expected a multiple of 4'),
        (dict(pairs=40), 'the held-out identities have 12 pairs of one person'),
        (dict(source='nowhere'), 'nowhere is no folder'),
        (dict(dest='.'), 'exists already; name a new folder'),
    ],
)
def test_what_cannot_be_split_is_named(people, tmp_path, change, message):
    settings = dict(source=people, dest=tmp_path / 'out', held_out=2, pairs=12, folds=2) | change
    options = [f'--{name.replace("_", "-")}={settings[name]}' for name in ('held_out', 'pairs', 'folds')]
    done = call(settings['source'], settings['dest'], *options)
    assert done.returncode == 1 and re.search(re.escape(message), done.stderr), done.stderr
    assert not (tmp_path / 'out').exists()
