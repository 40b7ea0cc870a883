"""The toy face identities against the formats of the real files, against their source, and against themselves."""

import itertools
import json
import pickle
import pickletools
import struct
import subprocess
import sys
from collections import Counter
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.ndimage import gaussian_filter
from skimage import data

from askd_mmdet.toy import identities, make_face_identities, make_wider_face
from askd_mmdet.toy.identities import BASE_FACES, PURPOSES, draw_face, make_identity, verification_pairs, write_records
from tests.toy_run import COMMAND

ARGUMENTS = dict(
    train_identities=6,
    train_pictures=3,
    validation_identities=4,
    pairs=40,
    probes=7,
    gallery=9,
    distractors=5,
    seed=3,
)
FOLDERS = {'Probe': 'probes', 'Gallery_Match': 'gallery', 'Gallery_Distractor': 'distractors'}


@pytest.fixture(scope='module')
def toy(tmp_path_factory):
    """(folder, counts) of a small set."""
    folder = tmp_path_factory.mktemp('toy') / 'faces'
    return folder, make_face_identities(folder, **ARGUMENTS)


def files(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob('*') if p.is_file()}


def parse_records(content):
    """{offset: (flag, labels, picture)} of a .rec file, from its first byte to its last."""
    records = {}
    offset = 0
    while offset < len(content):
        magic, length = struct.unpack_from('<II', content, offset)
        assert magic == 0xCED7230A and length < 1 << 29
        flag, label, first_id, second_id = struct.unpack_from('<IfQQ', content, offset + 8)
        assert first_id == second_id == 0
        labels = struct.unpack_from(f'<{flag}f', content, offset + 32) if flag else (label,)
        picture = content[offset + 32 + 4 * flag : offset + 8 + length]
        padding = content[offset + 8 + length : offset + 8 + (length + 3) // 4 * 4]
        assert padding == bytes(-length % 4)
        records[offset] = flag, labels, picture
        offset += 8 + (length + 3) // 4 * 4
    assert offset == len(content)
    return records


def read_index(path):
    return {int(key): int(offset) for key, offset in (line.split('\t') for line in path.read_text().splitlines())}


def pixels(jpeg, size=112):
    """The decoded picture, which must be a grey JPEG of three channels."""
    with Image.open(BytesIO(jpeg)) as picture:
        assert (picture.format, picture.mode, picture.size) == ('JPEG', 'RGB', (size, size))
        array = np.asarray(picture)
    assert np.ptp(array, axis=2).max() == 0
    return array[..., 0]


def test_the_records_are_those_of_an_insightface_bundle(toy):
    folder, counts = toy
    records = parse_records((folder / 'train.rec').read_bytes())
    index = read_index(folder / 'train.idx')
    assert list(index) == list(range(1 + 18 + 6))
    assert list(index.values()) == list(records)
    first, *others = records.values()
    assert first == (2, (19, 25), b'')

    pictures, lists = others[:18], others[18:]
    assert [flag for flag, _, _ in pictures] == [0] * 18
    assert [label for _, (label,), _ in pictures] == [person for person in range(6) for _ in range(3)]
    assert lists == [(2, (1 + 3 * person, 4 + 3 * person), b'') for person in range(6)]
    assert len({pixels(picture).tobytes() for _, _, picture in pictures}) == counts['train_images'] == 18


@settings(max_examples=30)
@given(st.lists(st.lists(st.binary(max_size=9), min_size=1, max_size=4), min_size=1, max_size=5))
def test_records_hold_any_bytes_of_unequal_numbers_of_pictures(tmp_path_factory, people):
    stem = tmp_path_factory.mktemp('records') / 'any'
    labels = np.repeat(np.arange(len(people)), [len(pictures) for pictures in people])
    jpegs = list(itertools.chain(*people))
    write_records(stem, jpegs, labels)
    records = parse_records(stem.with_suffix('.rec').read_bytes())
    by_key = {key: records[offset] for key, offset in read_index(stem.with_suffix('.idx')).items()}
    assert len(by_key) == len(records)
    _, (end_of_pictures, end), _ = by_key[0]
    for person, key in enumerate(range(int(end_of_pictures), int(end))):
        _, (start, stop), _ = by_key[key]
        assert [by_key[k] for k in range(int(start), int(stop))] == [(0, (person,), jpeg) for jpeg in people[person]]
    assert end - end_of_pictures == len(people)


def test_the_pairs_are_a_pickle_of_plain_types_in_ten_balanced_folds(toy):
    content = (toy[0] / 'verify.bin').read_bytes()
    calling = {'GLOBAL', 'STACK_GLOBAL', 'INST', 'OBJ', 'NEWOBJ', 'NEWOBJ_EX', 'REDUCE', 'BUILD', 'PERSID', 'BINPERSID'}
    assert not calling & {opcode.name for opcode, _, _ in pickletools.genops(content)}
    loaded = pickle.loads(content)
    assert type(loaded) is tuple
    jpegs, same = loaded
    assert {type(jpeg) for jpeg in jpegs} == {bytes} and {type(s) for s in same} == {bool}
    assert (len(jpegs), len(same)) == (80, 40)
    assert same == [True, True, False, False] * 10
    assert len({pixels(jpeg).tobytes() for jpeg in jpegs}) == 80


@given(people=st.integers(2, 30), folds_of=st.integers(1, 5), seed=st.integers(0, 2**63))
@settings(max_examples=30)
def test_pairs_are_what_they_say(people, folds_of, seed):
    persons, same = verification_pairs(people, 20 * folds_of, seed)
    assert persons.shape == (20 * folds_of, 2) and persons.min() >= 0 and persons.max() < people
    np.testing.assert_array_equal(persons[:, 0] == persons[:, 1], same)
    assert [fold.sum() for fold in np.split(same, 10)] == [folds_of] * 10


def test_the_pictures_of_a_pair_show_whom_they_should(toy):
    jpegs, _ = pickle.loads((toy[0] / 'verify.bin').read_bytes())
    persons, _ = verification_pairs(4, 40, seed=3)
    for number, (jpeg, person) in enumerate(zip(jpegs, persons.ravel().tolist())):
        drawn = draw_face(make_identity('validation', person, 3), 'verify', number, 3)
        assert np.abs(pixels(jpeg) - drawn.astype(int)).mean() < 2.5


def test_the_folders_are_those_of_tinyface(toy):
    folder, counts = toy
    labels = {}
    for name, count in FOLDERS.items():
        paths = list((folder / name).iterdir())
        assert len(paths) == counts[count] == ARGUMENTS[count]
        assert {path.suffix for path in paths} == {'.jpg'}
        assert len({pixels(path.read_bytes()).tobytes() for path in paths}) == len(paths)
        labels[name] = [int(path.name.split('_')[0]) for path in paths if name != 'Gallery_Distractor']
    assert Counter(labels['Probe']) == {0: 2, 1: 2, 2: 2, 3: 1}
    assert Counter(labels['Gallery_Match']) == {0: 3, 1: 2, 2: 2, 3: 2}


def test_probe_and_gallery_show_whom_their_names_say(toy):
    for name, purpose in (('Probe', 'probe'), ('Gallery_Match', 'gallery')):
        for path in (toy[0] / name).iterdir():
            person, turn = map(int, path.stem.split('_'))
            drawn = draw_face(make_identity('validation', person, 3), purpose, person + 4 * turn, 3)
            assert np.abs(pixels(path.read_bytes()) - drawn.astype(int)).mean() < 2.5
    for path in (toy[0] / 'Gallery_Distractor').iterdir():
        number = int(path.stem)
        drawn = draw_face(make_identity('distractor', number, 3), 'distractor', number, 3)
        assert np.abs(pixels(path.read_bytes()) - drawn.astype(int)).mean() < 2.5


def test_no_real_face_is_in_two_groups():
    assert sorted(itertools.chain(*BASE_FACES.values())) == list(range(100))
    for group, faces in BASE_FACES.items():
        used = [make_identity(group, index, 0).faces for index in range(300)]
        assert set(itertools.chain(*used)) == set(faces)
        assert {len(set(chosen)) for chosen in used} == {2, 3}


def test_a_portrait_shows_its_own_real_faces():
    """Seen from afar, it differs from others' as its faces do more than as the other faces of its group do."""
    # Every pixel around the middle of a patch, and where it is in a portrait.
    row, column = np.mgrid[3:22, 4:18]
    x, y = np.rint((column - 10.5) * 4.4 + 56).astype(int), np.rint(row * 4.4 + 5).astype(int)
    for group, faces in BASE_FACES.items():
        source = np.array([standardized(face)[row, column].ravel() for face in data.lfw_subset()[list(faces)]])
        people = [make_identity(group, index, 0) for index in range(40)]
        seen = np.array([gaussian_filter(person.portrait, 4)[y, x].ravel() for person in people])
        likeness = np.corrcoef(seen - seen.mean(0), source - source.mean(0))[: len(people), len(people) :]
        own = np.array([np.isin(faces, person.faces) for person in people])
        wins = [values[mine].mean() > values[~mine].mean() for values, mine in zip(likeness, own)]
        assert np.mean(wins) > 0.9


def standardized(picture):
    return (picture - picture.mean()) / picture.std()


@pytest.mark.parametrize('group, purpose', [('train', 'train'), ('validation', 'verify')])
def test_a_person_resembles_itself_more_than_others_but_pixels_are_no_solution(group, purpose):
    pictures = np.array([
        [standardized(draw_face(make_identity(group, person, 0), purpose, 4 * person + n, 0)) for n in range(4)]
        for person in range(40)
    ]).reshape(160, -1)  # fmt: skip
    pictures -= pictures.mean(0)
    pictures /= np.linalg.norm(pictures, axis=1, keepdims=True)
    likeness = pictures @ pictures.T
    person = np.arange(160) // 4
    same = (person[:, None] == person) & ~np.eye(160, dtype=bool)
    mates, strangers = likeness[same], likeness[person[:, None] != person]
    assert mates.mean() > strangers.mean() + 0.03
    # The share of (mates, strangers) with the more alike mates: 0.5 says nothing, 1 all.
    assert 0.52 < (mates[:, None] > strangers[::7]).mean() < 0.85


def test_neither_background_nor_purpose_gives_a_person_away():
    """Two persons of one number differ in the oval of the face only, up to the blur of its border."""
    first, second = (draw_face(make_identity('train', i, 0), 'train', 17, 0).astype(int) for i in (0, 1))
    y, x = np.mgrid[:112, :112] - 55.5
    outside = np.hypot(x / 56, y / 74) > 1
    assert outside.sum() > 200
    assert np.abs(first - second)[outside].max() <= 1
    assert np.abs(first - second)[~outside].mean() > 3


@settings(max_examples=40)
@given(
    group=st.sampled_from(list(BASE_FACES)),
    purpose=st.sampled_from(PURPOSES),
    index=st.integers(0, 10**6),
    number=st.integers(0, 10**6),
    seed=st.integers(0, 2**63),
)
def test_every_picture_is_a_picture(group, purpose, index, number, seed):
    identity = make_identity(group, index, seed)
    assert identity.portrait.shape == (112, 112) and identity.portrait.dtype == np.float32
    picture = draw_face(identity, purpose, number, seed)
    assert picture.shape == (112, 112) and picture.dtype == np.uint8
    assert picture.std() > 5
    np.testing.assert_array_equal(picture, draw_face(identity, purpose, number, seed))
    assert (picture != draw_face(identity, purpose, number + 1, seed)).mean() > 0.5


def test_the_same_arguments_give_the_same_bytes_in_another_process(toy, tmp_path):
    folder, counts = toy
    code = f'from askd_mmdet.toy import make_face_identities as make; make({str(tmp_path / "again")!r}, **{ARGUMENTS})'
    subprocess.run([sys.executable, '-c', code], check=True)
    assert files(tmp_path / 'again') == files(folder)
    assert json.loads((folder / 'toy.json').read_text())['counts'] == counts
    assert list(tmp_path.iterdir()) == [tmp_path / 'again']


def test_seed_and_size_change_the_pictures(toy, tmp_path):
    small = dict(train_identities=1, train_pictures=1, validation_identities=2, pairs=20, probes=1, gallery=1)
    for name, options in {'one': {}, 'two': dict(seed=1), 'three': dict(size=48)}.items():
        make_face_identities(tmp_path / name, **small, distractors=1, **options)
    one, two, three = ((tmp_path / name / 'Probe/0_0.jpg').read_bytes() for name in ('one', 'two', 'three'))
    assert np.abs(pixels(one).astype(int) - pixels(two)).mean() > 5
    reduced = Image.fromarray(pixels(one)).resize((48, 48), Image.Resampling.BOX)
    assert np.abs(np.asarray(reduced).astype(int) - pixels(three, 48)).mean() < 4
    assert len(list((tmp_path / 'one/Gallery_Distractor').iterdir())) == 1


def test_a_complete_set_is_kept_and_others_are_never_lost(toy, tmp_path):
    folder, counts = toy
    before = {p: p.stat().st_mtime_ns for p in folder.rglob('*')}
    assert make_face_identities(folder, **ARGUMENTS) == counts
    with pytest.raises(FileExistsError, match=r'seed=3 and seed=5 is wanted.*--force'):
        make_face_identities(folder, **(ARGUMENTS | dict(seed=5)))
    assert {p: p.stat().st_mtime_ns for p in folder.rglob('*')} == before


@pytest.mark.parametrize(
    'name, text',
    [
        ('thesis.txt', 'precious'),
        ('toy.json', 'precious'),
        ('toy.json', '[]'),
        ('toy.json', '{"arguments": 5, "counts": {}}'),
        ('toy.json', '{"counts": {}}'),
        ('toy.json', b'\xff\xfe'.decode('latin1')),
    ],
)
@pytest.mark.parametrize('force', [False, True])
def test_a_folder_of_something_else_is_never_touched(tmp_path, name, text, force):
    (tmp_path / name).write_text(text, encoding='latin1')
    with pytest.raises(FileExistsError, match=r'holds no toy set \(no readable toy.json\); use another folder'):
        make_face_identities(tmp_path, **ARGUMENTS, force=force)
    assert [(p.name, p.read_text(encoding='latin1')) for p in tmp_path.iterdir()] == [(name, text)]


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path):
    (tmp_path / 'file').write_text('precious')
    with pytest.raises(OSError, match='file'):
        make_face_identities(tmp_path / 'file', **ARGUMENTS)
    assert (tmp_path / 'file').read_text() == 'precious'


def test_force_replaces_another_kind_of_toy_set(toy, tmp_path):
    make_wider_face(tmp_path / 'toy', 1, 1)
    with pytest.raises(FileExistsError, match=r'generator=1, .*generator=face identities 1'):
        make_face_identities(tmp_path / 'toy', **ARGUMENTS)
    make_face_identities(tmp_path / 'toy', **ARGUMENTS, force=True)
    assert files(tmp_path / 'toy') == files(toy[0])
    assert [p.name for p in tmp_path.iterdir()] == ['toy']


def test_an_interrupted_run_leaves_nothing(tmp_path, monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(identities, 'write_pairs', interrupted)
    with pytest.raises(KeyboardInterrupt):
        make_face_identities(tmp_path / 'toy', **ARGUMENTS)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    'argument, message',
    [
        (dict(train_identities=0), 'train_identities is 0, expected at least 1'),
        (dict(train_pictures=0), 'train_pictures is 0, expected at least 1'),
        (dict(validation_identities=1), 'validation_identities is 1, expected at least 2'),
        (dict(pairs=0), 'pairs is 0, expected a multiple of 20'),
        (dict(pairs=30), 'pairs is 30, expected a multiple of 20: ten folds, half of each of one person'),
        (dict(probes=0), 'probes is 0'),
        (dict(gallery=3), 'gallery is 3, expected at least 4: one of everybody whom the probes show'),
        (dict(distractors=0), 'distractors is 0, expected at least 1'),
        (dict(size=15), 'size is 15, expected at least 16 pixels'),
        (dict(seed=-1), 'seed is -1, expected at least 0'),
    ],
)
def test_bad_arguments_are_named(tmp_path, argument, message):
    with pytest.raises(ValueError, match=message):
        make_face_identities(tmp_path / 'toy', **(ARGUMENTS | argument))
    assert not (tmp_path / 'toy').exists()


def test_the_command(toy, tmp_path):
    def run(*arguments):
        command = [*COMMAND, 'toy', 'faces', *arguments]
        return subprocess.run(list(map(str, command)), capture_output=True, text=True)

    options = [word for name, value in ARGUMENTS.items() for word in (f'--{name.replace("_", "-")}', value)]
    done = run(tmp_path / 'toy', *options)
    assert done.returncode == 0, done.stderr
    assert files(tmp_path / 'toy') == files(toy[0])
    assert all(text in done.stdout for text in ('18 train images', '6 train identities', '40 pairs', '4 validation'))
    assert all(text in done.stdout for text in ('7 probes', '9 gallery', '5 distractors'))

    refused = run(tmp_path / 'toy', *options, '--seed', 4)
    assert refused.returncode == 1
    assert 'seed=3 and seed=4 is wanted' in refused.stderr and 'Traceback' not in refused.stderr
