"""The annotation against hand-written files and the official .mat; the data set by way of MMDetection's pipeline."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmdet.registry import DATASETS
from PIL import Image
from scipy.io import loadmat

from askd_mmdet.detection.wider_face_dataset import LAYOUT, WiderFaceTxtDataset, read_annotations
from tests.detection.mutations import mutations

ANNOTATION = """\
0--Parade/a.jpg
2
10 20 30 40 0 1 0 0 2 1
50 5 7 9 2 0 1 1 0 0
0--Parade/without_face.jpg
0
0 0 0 0 0 0 0 0 0 0
1--Handshaking/odd sizes.jpg
4
1 2 0 5 0 0 0 0 0 0
1 2 5 0 0 0 0 0 0 0
9 9 -2 3 0 0 0 0 0 0
3 4 5 6 0 0 0 0 0 0
2--Riot/invalid_only.jpg
1
3 4 5 6 0 0 0 1 0 0
"""


def write(tmp_path, text=ANNOTATION, split='train'):
    """A WIDER FACE folder with an annotation and no pictures; the path of the annotation."""
    (tmp_path / f'WIDER_{split}/images').mkdir(parents=True)
    path = tmp_path / f'wider_face_split/wider_face_{split}_bbx_gt.txt'
    path.parent.mkdir()
    path.write_bytes(text.encode())
    return path


def build(tmp_path, split='train', **settings):
    return DATASETS.build(
        dict(
            type='WiderFaceTxtDataset',
            data_root=f'{tmp_path}/',
            ann_file=f'wider_face_split/wider_face_{split}_bbx_gt.txt',
            data_prefix=dict(img_path=f'WIDER_{split}/images/'),
            **settings,
        )
    )


@pytest.mark.parametrize(
    'change', [str, lambda s: s.replace('\n', '\r\n'), lambda s: s.replace('\n', ' \n'), str.rstrip]
)
def test_reads_names_boxes_and_attributes(tmp_path, change):
    images = read_annotations(write(tmp_path, change(ANNOTATION)))
    assert [name for name, _, _ in images] == [
        '0--Parade/a.jpg',
        '0--Parade/without_face.jpg',
        '1--Handshaking/odd sizes.jpg',
        '2--Riot/invalid_only.jpg',
    ]
    assert [len(boxes) for _, boxes, _ in images] == [2, 0, 4, 1]
    _, boxes, attributes = images[0]
    assert boxes.dtype == np.float32 and attributes.dtype == np.int32
    assert boxes.tolist() == [[10, 20, 30, 40], [50, 5, 7, 9]]
    assert attributes.tolist() == [[0, 1, 0, 0, 2, 1], [2, 0, 1, 1, 0, 0]]
    assert images[1][1].shape == (0, 4) and images[1][2].shape == (0, 6)
    assert images[2][1].tolist() == [[1, 2, 0, 5], [1, 2, 5, 0], [9, 9, -2, 3], [3, 4, 5, 6]]


def test_agrees_with_the_ground_truth(real_wider_face):
    """Boxes with the .mat of the sample, whose pictures are made smaller; the rest with the official one."""

    def ground_truth(folder, field):
        mat = loadmat(folder / 'ground_truth/wider_face_val.mat')
        return {
            f'{event[0]}/{name[0]}.jpg': mat[field][e, 0][i, 0]
            for e, (event,) in enumerate(mat['event_list'])
            for i, (name,) in enumerate(mat['file_list'][e, 0])
        }

    sample = real_wider_face / 'sample'
    boxes = ground_truth(sample, 'face_bbx_list')
    attributes = [
        ground_truth(real_wider_face, f'{attribute}_label_list')
        for attribute in ('blur', 'expression', 'illumination', 'invalid', 'occlusion', 'pose')
    ]
    images = read_annotations(sample / 'wider_face_val_bbx_gt.txt')
    assert {name for name, _, _ in images} == set(boxes)
    for name, found_boxes, found_attributes in images:
        np.testing.assert_array_equal(found_boxes, boxes[name])
        np.testing.assert_array_equal(found_attributes, np.hstack([labels[name] for labels in attributes]))


faces = st.tuples(*[st.integers(-3, 9999)] * 7, st.integers(0, 1), *[st.integers(-3, 9999)] * 2)
rows = st.lists(faces, max_size=4)


@given(st.lists(rows, min_size=1, max_size=5))
def test_reads_what_was_written(tmp_path_factory, images):
    lines = []
    for i, faces in enumerate(images):
        lines += [f'{i}--Event/x.jpg', len(faces), *(' '.join(map(str, face)) for face in faces or [[0] * 10])]
    path = tmp_path_factory.mktemp('annotation') / 'a.txt'
    path.write_text('\n'.join(map(str, lines)))
    found = read_annotations(path)
    assert [np.hstack([boxes, attributes]).tolist() for _, boxes, attributes in found] == [
        [list(face) for face in faces] for faces in images
    ]


@pytest.mark.parametrize(
    'text, line, message',
    [
        ('a/x.jpg\n1\n1 2 3 4 0 0 0 0 0', 3, r"'1 2 3 4 0 0 0 0 0', expected x y width .* a/x.jpg"),
        ('a/x.jpg\n1\n1 2 3 4 0 0 0 0 0 0 0', 3, 'expected x y width'),
        ('a/x.jpg\n1\n1 2 3 4 0 0 0 zero 0 0', 3, 'expected x y width'),
        ('a/x.jpg\n1\n1 2 3.5 4 0 0 0 0 0 0', 3, 'expected x y width'),
        ('a/x.jpg\n1\n1 2 nan 4 0 0 0 0 0 0', 3, 'expected x y width'),
        ('a/x.jpg\n1\n1 2 99999999999999999999 4 0 0 0 0 0 0', 3, 'expected x y width'),
        ('a/x.jpg\n2\n1 2 3 4 0 0 0 0 0 0', 4, 'the end of the file, expected x y width .* line 2 says has 2'),
        ('a/x.jpg\n2\n1 2 3 4 0 0 0 0 0 0\nb/x.jpg\n0', 4, "'b/x.jpg', expected x y .* line 2 says has 2"),
        ('a/x.jpg\n1\n1 2 3 4 0 0 0 0 0 0\n1 2 3 4 0 0 0 0 0 0', 4, 'expected the name .* count before is wrong'),
        ('a/x.jpg\n0\n0 0 0 0 0 0 0 0 0 0\nx.jpg', 4, "'x.jpg', expected the name"),
        ('a/x.jpg\n0\n1 2 3 4 0 0 0 0 0 0', 3, 'expected ten zeros'),
        ('a/x.jpg\n0\nb/x.jpg\n1', 5, 'the end of the file, expected x y width .* of b/x.jpg'),
        ('a/x.jpg\n0\n\nb/x.jpg\n0', 3, "'', expected ten zeros"),
        # What Python's int takes for a number.
        *(
            (f'a/x.jpg\n1\n1 2 3 {number} 0 0 0 0 0 0', 3, f"'1 2 3 {re.escape(number)} 0 .*', expected x y width")
            for number in ('1_000', '+1', '\u0663', '\uff11', '1-2', '-', '1e2', '4294967300')
        ),
        *(
            (f'a/x.jpg\n{count}\n1 2 3 4 0 0 0 0 0 0', 2, 'expected the number of f')
            for count in ('+1', '\u0661', '1_0', '\xb2')
        ),
        # What no picture can hold, and a flag that is none.
        ('a/x.jpg\n2\n1 2 3 4 0 0 0 0 0 0\n1 2 449000 4 0 0 0 0 0 0', 4, 'expected x y .* no box beyond 65535'),
        ('a/x.jpg\n1\n-70000 2 3 4 0 0 0 0 0 0', 3, 'expected x y width'),
        ('a/x.jpg\n1\n1 2 3 4 0 0 0 2 0 0', 3, 'expected x y width .* invalid 0 or 1'),
        # The first of two wrong lines.
        ('a/x.jpg\n1\n1 2 3 zero 0 0 0 0 0 0\nb/x.jpg\nmany', 3, "'1 2 3 zero .* of a/x.jpg"),
        ('a/b/x.jpg\n0', 1, 'expected the name'),
        ('../x.jpg\n0', 1, 'expected the name'),
        ('a/\ufffd.jpg\n0', 1, 'expected the name'),
        ('a/x.jpg\nmany\n', 2, "'many', expected the number of faces of a/x.jpg"),
        ('a/x.jpg\n-1\n', 2, "'-1', expected the number of faces"),
        ('a/x.jpg\n1 2\n', 2, "'1 2', expected the number of faces"),
        ('a/x.jpg', 2, 'the end of the file, expected the number of faces of a/x.jpg'),
        ('', 1, 'the end of the file, expected the name'),
        ('\n\na/x.jpg\n0', 1, "'', expected the name"),
    ],
)
def test_malformed_lines_are_named(tmp_path, text, line, message):
    path = write(tmp_path, text)
    with pytest.raises(ValueError, match=message) as caught:
        read_annotations(path)
    assert str(caught.value).startswith(f'{path}:{line}: found ')


def test_many_images_and_the_number_of_a_line_far_down(tmp_path):
    counts = np.arange(3000) % 4
    lines = []
    for i, count in enumerate(counts.tolist()):
        lines += [f'0--Parade/{i}.jpg', f'{count}', *[f'{i} {k} 3 4 0 0 0 0 0 5' for k in range(count)]]
    images = read_annotations(path := write(tmp_path, '\n'.join(lines)))
    assert [name for name, _, _ in images] == [f'0--Parade/{i}.jpg' for i in range(3000)]
    assert [len(boxes) for _, boxes, _ in images] == counts.tolist()
    found = np.concatenate([np.hstack([boxes, attributes]) for _, boxes, attributes in images])
    expected = [(i, k, 3, 4, 0, 0, 0, 0, 0, 5) for i, count in enumerate(counts) for k in range(count)]
    np.testing.assert_array_equal(found, expected)

    line = lines.index('2502 1 3 4 0 0 0 0 0 5')
    lines[line] = 'zero'
    path.write_text('\n'.join(lines))
    with pytest.raises(ValueError, match=f":{line + 1}: found 'zero', expected x .* of 0--Parade/2502.jpg, which line"):
        read_annotations(path)


@pytest.mark.parametrize(
    'end', ['', '\n', '\n2--Riot/c.jpg\n0\n0 0 0 0 0 0 0 0 0 0\n3--Riot/d.jpg\n1\n1 2 3 4 0 0 0 0 0 0']
)
def test_images_without_a_face_need_no_zeros(tmp_path, end):
    images = read_annotations(write(tmp_path, f'0--Parade/a.jpg\n0\n1--Riot/b.jpg\n0{end}'))
    names = ['0--Parade/a.jpg', '1--Riot/b.jpg', '2--Riot/c.jpg', '3--Riot/d.jpg'][: 4 if end.strip() else 2]
    assert [(name, len(boxes)) for name, boxes, _ in images] == list(zip(names, (0, 0, 0, 1)))


def test_a_byte_order_mark_is_dropped(tmp_path):
    path = write(tmp_path)
    path.write_text(ANNOTATION, encoding='utf-8-sig')
    assert read_annotations(path)[0][0] == '0--Parade/a.jpg'


def test_mutated_files_are_read_by_their_own_lines_or_named(tmp_path):
    path = write(tmp_path)
    for content in mutations(ANNOTATION.encode(), 500):
        path.write_bytes(content)
        try:
            images = read_annotations(path)
        except ValueError as error:
            assert str(error).startswith(f'{path}:')
            continue
        # Written again, all that was read is what the file says, but for lines of zeros.
        lines = []
        for name, boxes, attributes in images:
            lines += [name.encode(), b'%d' % len(boxes)]
            lines += [b' '.join(b'%d' % x for x in row) for row in np.hstack([boxes, attributes]).astype(int).tolist()]
        zeros = b' '.join([b'0'] * 10)
        fields = [line.split() for line in content.splitlines() if line.strip() != zeros]
        assert [[*map(number, line)] for line in fields] == [[*map(number, line.split())] for line in lines]


def number(field):
    """Leading zeros are of no matter, and '-0' is 0."""
    return int(field) if re.fullmatch(rb'-?[0-9]+', field) else field


@given(st.binary(max_size=300) | st.integers(0, len(ANNOTATION)).map(lambda end: ANNOTATION[:end].encode()))
def test_any_other_file_is_refused_or_read_but_never_crashes(tmp_path_factory, content):
    path = tmp_path_factory.mktemp('annotation') / 'a.txt'
    path.write_bytes(content)
    try:
        images = read_annotations(path)
    except ValueError as error:
        assert str(error).startswith(f'{path}:')
    else:
        assert all('/' in name and len(boxes) == len(attributes) for name, boxes, attributes in images)


def test_data_list(tmp_path):
    write(tmp_path)
    dataset = build(tmp_path, pipeline=[], test_mode=True)
    assert isinstance(dataset, WiderFaceTxtDataset)
    assert dataset.metainfo['classes'] == ('face',)
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    assert [info['img_id'] for info in infos] == [0, 1, 2, 3]
    assert infos[2]['img_path'] == f'{tmp_path}/WIDER_train/images/1--Handshaking/odd sizes.jpg'
    assert infos[0]['instances'] == [
        dict(bbox=[10, 20, 40, 60], bbox_label=0, ignore_flag=0),
        # Testing ignores what is marked invalid, as the official evaluation does.
        dict(bbox=[50, 5, 57, 14], bbox_label=0, ignore_flag=1),
    ]
    assert infos[1]['instances'] == []
    assert infos[2]['instances'] == [dict(bbox=[3, 4, 8, 10], bbox_label=0, ignore_flag=0)]


@pytest.mark.parametrize(('settings', 'ignored'), [(dict(), [0, 0]), (dict(ignore_invalid=True), [0, 1])])
def test_invalid_faces_are_trained_unless_ignored(tmp_path, settings, ignored):
    write(tmp_path)
    Image.new('RGB', (80, 80)).save(folder(tmp_path / 'WIDER_train/images/0--Parade') / 'a.jpg')
    annotations = dict(type='mmdet.LoadAnnotations', with_bbox=True)
    pipeline = [dict(type='LoadImageFromFile'), annotations, dict(type='mmdet.PackDetInputs')]
    dataset = build(tmp_path, pipeline=pipeline, **settings)
    assert [instance['ignore_flag'] for instance in dataset.get_data_info(0)['instances']] == ignored
    found = dataset[0]['data_samples']
    assert (len(found.gt_instances), len(found.ignored_instances)) == (2 - sum(ignored), sum(ignored))


def folder(path):
    path.mkdir(parents=True)
    return path


def test_faces_without_size_are_counted_in_the_log(tmp_path, monkeypatch):
    lines = []
    monkeypatch.setattr('askd_mmdet.detection.wider_face_dataset.print_log', lambda text, *_: lines.append(text))
    path = write(tmp_path)
    build(tmp_path, pipeline=[])
    assert lines == [f'left out 3 faces without width or height in {path}']
    path.write_text(ANNOTATION[: ANNOTATION.index('1--')])
    build(tmp_path, pipeline=[])
    assert len(lines) == 1


@pytest.mark.parametrize(
    'settings, kept',
    [
        (dict(filter_cfg=dict(filter_empty_gt=True)), [0, 2, 3]),
        (dict(filter_cfg=dict(filter_empty_gt=True), ignore_invalid=True), [0, 2]),
        (dict(filter_cfg=dict(filter_empty_gt=False)), [0, 1, 2, 3]),
        (dict(), [0, 1, 2, 3]),
        (dict(filter_cfg=dict(filter_empty_gt=True), test_mode=True), [0, 1, 2, 3]),
    ],
)
def test_only_training_leaves_out_images_without_a_face_that_counts(tmp_path, settings, kept):
    write(tmp_path)
    dataset = build(tmp_path, pipeline=[], **settings)
    assert [dataset.get_data_info(i)['img_id'] for i in range(len(dataset))] == kept


@pytest.mark.parametrize('missing', ['', 'wider_face_split/wider_face_train_bbx_gt.txt', 'WIDER_train/images'])
def test_missing_files_are_named_and_the_layout_shown(tmp_path, missing):
    root = tmp_path / 'wider_face'
    if missing:
        write(root)
    lost = root / missing
    if lost.is_dir():
        lost.rmdir()
    elif missing:
        lost.unlink()
    with pytest.raises(FileNotFoundError) as caught:
        build(root)
    message = str(caught.value)
    assert message.startswith(str(lost)) and LAYOUT in message
    assert f'askd check {root}' in message


def test_real_pictures_through_mmdetections_pipeline(real_wider_face):
    sample = real_wider_face / 'sample'
    dataset = WiderFaceTxtDataset(
        data_root=str(sample),
        ann_file='wider_face_val_bbx_gt.txt',
        data_prefix=dict(img_path='images'),
        test_mode=True,
        pipeline=[
            dict(type='LoadPicture'),
            dict(type='mmdet.LoadAnnotations', with_bbox=True),
            dict(type='mmdet.PackDetInputs'),
        ],
    )
    annotations = read_annotations(sample / 'wider_face_val_bbx_gt.txt')
    assert len(dataset) == len(annotations)
    for i in range(0, len(dataset), 7):
        name, boxes, attributes = annotations[i]
        packed = dataset[i]
        with Image.open(sample / 'images' / name) as picture:
            # Channel order as with cv2: the network's preprocessor turns BGR into RGB.
            np.testing.assert_array_equal(packed['inputs'].permute(1, 2, 0).flip(2), np.asarray(picture))
        valid = (attributes[:, 3] == 0) & (boxes[:, 2:] > 0).all(1)
        found = packed['data_samples'].gt_instances
        np.testing.assert_array_equal(found.bboxes.tensor[:, :2], boxes[valid, :2])
        np.testing.assert_array_equal(found.bboxes.widths, boxes[valid, 2])
        np.testing.assert_array_equal(found.bboxes.heights, boxes[valid, 3])
        assert found.labels.tolist() == [0] * valid.sum()
        assert 'unreadable' not in packed['data_samples']
