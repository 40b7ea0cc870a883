"""The data sets on real files in the formats in which they are downloaded."""

import logging
import pickle
import shutil

import numpy as np
import pytest
from mmengine.registry import DATASETS, DefaultScope
from PIL import Image

from askd_mmdet.recognition.datasets import number_identities, read_pairs
from askd_mmdet.training import LoadPicture
from tests.recognition.formats import jpeg, mutations, write_bundle, write_records

PIPELINE = [
    dict(type='LoadPicture'),
    dict(type='Resize', scale=(32, 32)),
    dict(type='LowResolution', ratio=2, transforms=[dict(type='RandomFlip', prob=0.5), dict(type='PackInputs')]),
]


def build(kind, pipeline=PIPELINE, **settings):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return DATASETS.build(dict(type=kind, pipeline=pipeline, **settings))


def write(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(jpeg(seed))
    return path


@pytest.fixture
def log(caplog):
    """What is logged by the loggers of MMEngine, which do not propagate."""
    from mmengine.logging import MMLogger

    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    caplog.set_level(logging.INFO)
    yield caplog
    logger.removeHandler(caplog.handler)


def test_records_give_decoded_pictures_with_labels_without_gaps(tmp_path, log):
    pictures = [(label, jpeg(i)) for i, label in enumerate([10, 3, 10, 99])]
    write_records(tmp_path, pictures)
    data = build('FaceRecordDataset', data_root=str(tmp_path), ann_file='train.rec')
    assert len(data) == 4 and data.metainfo['classes'] == ('3', '10', '99')
    assert [data.get_data_info(i)['gt_label'] for i in range(4)] == [1, 0, 1, 2]
    assert '4 pictures of 3 identities; 2 identities with one picture; labels from 3 to 99 have gaps' in log.text
    info = data.get_data_info(2)
    assert info['img_path'] == f'{tmp_path}/train.rec#3' and info['sample_idx'] == 2
    image = LoadPicture()(info)['img']
    expected = np.array(Image.open(write(tmp_path / 'same.jpg', 2)))
    assert (image == expected[..., ::-1]).all() and image.dtype == np.uint8
    sample = data[2]
    assert sample['inputs'].shape == (3, 32, 32) and sample['data_samples'].gt_label.item() == 1
    assert pickle.loads(pickle.dumps(data))[0]['inputs'].shape == (3, 32, 32)


@pytest.mark.parametrize('kind', ['records', 'folders'])
def test_identities_with_too_few_pictures_can_be_left_out(tmp_path, log, kind):
    labels = [0, 1, 1, 2, 2, 2]
    if kind == 'records':
        write_records(tmp_path, [(label, jpeg(i)) for i, label in enumerate(labels)])
        settings = dict(type_='FaceRecordDataset', ann_file=str(tmp_path / 'train.rec'))
    else:
        for i, label in enumerate(labels):
            write(tmp_path / f'person{label}' / f'{i}.jpg', i)
        settings = dict(type_='FaceFolderDataset', data_root=str(tmp_path))
    kind = settings.pop('type_')
    assert len(build(kind, **settings)) == 6
    data = build(kind, **settings, min_pictures=2)
    assert [data.get_data_info(i)['gt_label'] for i in range(len(data))] == [0, 0, 1, 1, 1]
    assert len(data.metainfo['classes']) == 2
    assert 'left out 1 identities with fewer than 2 pictures' in log.text
    with pytest.raises(ValueError, match='found 3 identities, none with 4 pictures; lower min_pictures'):
        build(kind, **settings, min_pictures=4)


def test_numbering_is_a_bijection_on_what_stays():
    labels = np.random.default_rng(0).integers(-3, 50, 200)
    chosen, new, identities = number_identities(labels, 4, 'x')
    assert (identities[new] == labels[chosen]).all() and set(new) == set(range(len(identities)))
    counts = {label: (labels == label).sum() for label in labels}
    assert set(identities) == {label for label, count in counts.items() if count >= 4}


def test_a_record_with_a_bad_picture_is_replaced_and_named(tmp_path):
    bad = {2: b'no jpeg', 4: jpeg(3)[:200]}
    write_records(tmp_path, [(i % 2, bad.get(i, jpeg(i))) for i in range(6)])
    settings = dict(ann_file=str(tmp_path / 'train.rec'))
    data = build('FaceRecordDataset', **settings)
    for i in range(6):
        unreadable = data[i]['data_samples'].get('unreadable', ())
        assert (f'{tmp_path}/train.rec#{i + 1}' in unreadable) == (i in bad)
    test = build('FaceRecordDataset', **settings, test_mode=True)
    sample = test[4]
    assert sample['data_samples'].unreadable == (f'{tmp_path}/train.rec#5',) and not sample['inputs'].any()
    # A record that is damaged itself counts just so.
    content = bytearray((tmp_path / 'train.rec').read_bytes())
    offset = int((tmp_path / 'train.idx').read_text().splitlines()[1].split('\t')[1])
    content[offset + 7] = 0x60  # the last part of a split record, without a first one
    (tmp_path / 'train.rec').write_bytes(content)
    assert f'{tmp_path}/train.rec#1' in build('FaceRecordDataset', **settings)[0]['data_samples'].unreadable


def test_a_bundle_gives_its_pairs(tmp_path):
    write_bundle(tmp_path / 'agedb_30.bin', [jpeg(i) for i in range(6)], [True, False, True])
    data = build('PairBundleDataset', data_root=str(tmp_path), ann_file='agedb_30.bin')
    assert data.metainfo['pairs'].tolist() == [[0, 1], [2, 3], [4, 5]]
    assert data.metainfo['same'].tolist() == [True, False, True]
    sample = data[3]['data_samples']
    assert sample.sample_idx == 3 and sample.img_path.endswith('agedb_30.bin#3')


def test_a_bundle_gives_a_picture_once_in_however_many_pairs_it_is(tmp_path):
    write_bundle(tmp_path / 'lfw.bin', [jpeg(i) for i in (0, 1, 1, 2, 0, 3)], [True, False, True])
    data = build('PairBundleDataset', data_root=str(tmp_path), ann_file='lfw.bin')
    assert data.metainfo['pairs'].tolist() == [[0, 1], [1, 2], [0, 3]]
    assert [data.get_data_info(i)['img_bytes'] for i in range(len(data))] == [jpeg(i) for i in range(4)]
    assert [data.get_data_info(i)['img_path'] for i in (2, 3)] == [f'{tmp_path}/lfw.bin#3', f'{tmp_path}/lfw.bin#5']


LFW = '1\t1\nAnna\t1\t2\nAnna\t2\tBela Kis\t1\n'
PLAIN = 'Anna/Anna_0001.jpg Anna/Anna_0002.jpg 1\n\nAnna/Anna_0002.jpg\tBela Kis/Bela Kis_0001.jpg\t0\n'
AUTHORS = PLAIN.replace('\t0', '\t-1')


@pytest.mark.parametrize('text', [LFW, PLAIN, AUTHORS], ids=['lfw', 'plain', 'authors'])
def test_a_list_of_pairs_embeds_every_picture_once(tmp_path, text):
    for i, name in enumerate(('Anna/Anna_0001.jpg', 'Anna/Anna_0002.jpg', 'Bela Kis/Bela Kis_0001.jpg')):
        write(tmp_path / 'faces' / name, i)
    (tmp_path / 'pairs.txt').write_text(text)
    settings = dict(ann_file='pairs.txt', data_root=str(tmp_path), data_prefix='faces')
    data = build('PairListDataset', **settings)
    assert len(data) == 3 and data.metainfo['pairs'].tolist() == [[0, 1], [1, 2]]
    assert data.metainfo['same'].tolist() == [True, False]
    assert data[2]['data_samples'].img_path == f'{tmp_path}/faces/Bela Kis/Bela Kis_0001.jpg'
    shutil.rmtree(tmp_path / 'faces/Anna')
    with pytest.raises(
        FileNotFoundError, match=r'names 2 pictures that do not exist: .*Anna_0001.jpg \(line [12]\), .*'
    ):
        build('PairListDataset', **settings)


@pytest.mark.parametrize(
    'line', ['Anna 1', 'Anna 1 2 3 4', 'a.jpg b.jpg 2', 'a.jpg b.jpg yes', 'Anna x Bela 1', 'Anna 1 \u0662']
)
def test_a_malformed_line_is_named(tmp_path, line):
    (tmp_path / 'pairs.txt').write_text(f'a.jpg b.jpg 1\n{line}\n', encoding='utf-8')
    with pytest.raises(ValueError, match=rf"pairs.txt:2: found '{line}', expected 'path path 0|1'"):
        read_pairs(tmp_path / 'pairs.txt')


def test_a_list_without_pairs_or_no_list_is_an_error(tmp_path):
    (tmp_path / 'pairs.txt').write_text('10 300\n')
    with pytest.raises(ValueError, match=r'pairs.txt: found no pair'):
        read_pairs(tmp_path / 'pairs.txt')
    with pytest.raises(FileNotFoundError, match=r'nowhere.txt does not exist'):
        read_pairs(tmp_path / 'nowhere.txt')


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path):
    (tmp_path / 'pairs.txt').write_text('\ufeffa.jpg b.jpg 1\r\nc.jpg d.jpg 0\r\n', encoding='utf-8')
    pairs, _ = read_pairs(tmp_path / 'pairs.txt')
    assert pairs == [(1, 'a.jpg', 'b.jpg', True), (2, 'c.jpg', 'd.jpg', False)]


@pytest.mark.parametrize('first, folds', [('2 1\n', 2), ('2\n', None), ('', None)])
def test_the_folds_of_a_list_are_those_of_its_first_line(tmp_path, first, folds):
    """LFW's list of 6,000 pairs begins with 10 folds and 300 pairs, those to develop with just a number of pairs."""
    (tmp_path / 'pairs.txt').write_text(first + 'a.jpg b.jpg 1\na.jpg c.jpg 0\n' * 2)
    for name in 'abc':
        (tmp_path / f'{name}.jpg').write_bytes(b'')
    assert read_pairs(tmp_path / 'pairs.txt')[1] == folds
    assert build('PairListDataset', ann_file='pairs.txt', data_root=str(tmp_path)).metainfo['folds'] == folds


@pytest.mark.parametrize('first, announced', [('10\t1', 20), ('3', 6), ('1 2', 4)])
def test_a_list_that_announces_other_pairs_is_refused(tmp_path, first, announced):
    (tmp_path / 'pairs.txt').write_text(f'{first}\nAnna\t1\t2\nAnna\t1\tBela\t1\n')
    with pytest.raises(ValueError, match=f'pairs.txt: found 2 pairs, but the first line announces {announced}'):
        read_pairs(tmp_path / 'pairs.txt')


def test_a_damaged_list_of_pairs_is_refused_or_wrong_in_one_pair(tmp_path):
    """A name has no checksum, but a list that lost pairs has fewer than it announces."""
    path, refused = tmp_path / 'pairs.txt', 0
    path.write_text('2\t2\n' + 'Anna\t1\t2\nAnna\t3\t4\nAnna\t1\tBela Kis\t1\nCleo\t2\tBela Kis\t1\n' * 2)
    expected, _ = read_pairs(path)
    for content in mutations(path.read_bytes()):
        path.write_bytes(content)
        try:
            found, _ = read_pairs(path)
        except ValueError:
            refused += 1
            continue
        assert len(found) == 8 and sum(a[1:] != b[1:] for a, b in zip(found, expected)) <= 1
        with pytest.raises(FileNotFoundError, match=r'names [45678] pictures that do not exist'):
            build('PairListDataset', ann_file=str(path), data_root=str(tmp_path))
    assert 250 < refused < 500


@pytest.mark.parametrize('spelling', ['Gallery_Distractor', 'Gallery_Disctractor'])
def test_tinyface_is_probes_mates_and_distractors(tmp_path, log, spelling):
    files = ['Probe/7_1.jpg', 'Probe/8_3.png', 'Gallery_Match/7_2.jpg', f'{spelling}/a.jpg', f'{spelling}/7_9.JPG']
    for i, name in enumerate(files):
        write(tmp_path / name, i)
    for name in (
        'Probe/Thumbs.db',
        'Probe/._7_1.jpg',
        'Gallery_Match/.DS_Store',
        f'{spelling}/.ipynb_checkpoints/b.jpg',
    ):
        write(tmp_path / name)
    data = build('TinyFaceDataset', data_root=str(tmp_path))
    assert data.metainfo['labels'].tolist() == [7, 8, 7, -100, -100]
    assert data.metainfo['is_probe'].tolist() == [True, True, False, False, False]
    assert data[0]['data_samples'].img_path == f'{tmp_path}/Probe/7_1.jpg'
    assert '2 probes, 3 gallery faces; 1 probes have no mate in the gallery' in log.text
    assert 'Probe: passed over 1 files that do not end like a picture: .db (1)' in log.text
    assert (f'took {spelling} for Gallery_Distractor' in log.text) == (spelling == 'Gallery_Disctractor')


def test_a_broken_tinyface_is_named(tmp_path):
    write(tmp_path / 'Probe/7_1.jpg')
    with pytest.raises(FileNotFoundError, match=r'Gallery_Match holds no picture; TinyFace has the folders'):
        build('TinyFaceDataset', data_root=str(tmp_path))
    for name in ('person', '\u0667_2', '9999999999_1'):
        path = write(tmp_path / f'Gallery_Match/{name}.jpg')
        with pytest.raises(ValueError, match=rf'{name}.jpg: expected a file name that begins with a label and _'):
            build('TinyFaceDataset', data_root=str(tmp_path))
        path.unlink()


def test_hidden_folders_are_no_people_and_hidden_files_no_pictures(tmp_path, log):
    names = ('anna/0.jpg', 'anna/1.TIFF', 'bela/0.webp', 'bela/notes.txt')
    for name in (*names, '.ipynb_checkpoints/0.jpg', 'anna/._0.jpg', 'bela/.git/1.jpg'):
        write(tmp_path / name)
    data = build('FaceFolderDataset', data_root=str(tmp_path))
    assert data.metainfo['classes'] == ('anna', 'bela')
    found = [(info['img_path'], info['gt_label']) for info in map(data.get_data_info, range(len(data)))]
    assert found == [(f'{tmp_path}/{name}', label) for name, label in zip(names[:3], (0, 0, 1))]
    assert 'passed over 1 files that do not end like a picture: .txt (1)' in log.text


def test_a_missing_folder_of_identities_is_named(tmp_path):
    with pytest.raises(
        FileNotFoundError,
        match='nowhere/ is no folder; it should hold the pictures, in a folder for',
    ):
        build('FaceFolderDataset', data_root=str(tmp_path / 'nowhere'))


def test_grey_pictures_are_loaded_in_three_channels_and_on_request_as_floats(tmp_path):
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8)
    Image.fromarray(grey).save(tmp_path / '1.pgm')
    image = LoadPicture(to_float32=True)(dict(img_path=str(tmp_path / '1.pgm')))
    assert image['img'].dtype == np.float32 and (image['img'] == grey[..., None]).all()
    assert image['img'].shape == (8, 8, 3) and image['ori_shape'] == image['img_shape'] == (8, 8)
    assert LoadPicture()(dict(img_path=str(tmp_path / '2.pgm'))) is None
