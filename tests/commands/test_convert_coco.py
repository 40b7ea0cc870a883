"""`askd convert coco` on hand-made results, and next to the metric on what a detector found."""

import json

import numpy as np
import pytest
from mmengine.evaluator import Evaluator

from askd_mmdet.detection.scoring import score_submission
from askd_mmdet.detection.submission import iterate_submission, read_detections
from askd_mmdet.detection.wider_face_dataset import read_annotations
from askd_mmdet.detection.wider_face_protocol import SETTINGS
from tests.detection.test_wider_face_metric import make_samples

ANNOTATION = """0--Parade/0_Parade_1.jpg
1
1 2 3 4 0 0 0 0 0 0
1--Handshaking/7.jpg
1
1 2 3 4 0 0 0 0 0 0
1--Handshaking/a.b.jpg
1
1 2 3 4 0 0 0 0 0 0
2--Riot/same.jpg
0
0 0 0 0 0 0 0 0 0 0
3--Ümläut/same.jpg
0
0 0 0 0 0 0 0 0 0 0
"""
PARADE, SEVEN, DOTTED = '0--Parade/0_Parade_1', '1--Handshaking/7', '1--Handshaking/a.b'


@pytest.fixture
def folder(tmp_path):
    (tmp_path / 'gt.txt').write_text(ANNOTATION, encoding='utf-8')
    return tmp_path


@pytest.fixture
def convert(askd, folder):
    """Runs the command on a list of results; returns status, output, errors and the submission that it wrote."""

    def run(results, *options):
        text = results if isinstance(results, str) else json.dumps(results)
        (folder / 'results.json').write_text(text, encoding='utf-8')
        status, output, errors = askd(
            'convert', 'coco', folder / 'results.json', folder / 'gt.txt', folder / 'out', *options
        )
        there = (folder / 'out').exists()
        written = {name: read_detections(path) for name, path in iterate_submission(folder / 'out')} if there else {}
        return status, output, errors, {name: np.column_stack(found).tolist() for name, found in written.items()}

    return run


def result(image_id, box=(1.5, 2, 3, 4.25), score=0.5, **others):
    return dict(image_id=image_id, bbox=list(box), score=score, **others)


@pytest.mark.parametrize(
    ('image_id', 'name'),
    [
        ('0_Parade_1', PARADE),  # ultralytics
        ('0_Parade_1.jpg', PARADE),
        ('0--Parade/0_Parade_1.jpg', PARADE),
        ('/data/WIDER_val/images/0--Parade/0_Parade_1.jpg', PARADE),
        ('D:\\faces\\images\\val\\0_Parade_1.jpg', PARADE),
        (0, PARADE),  # ours
        (1, SEVEN),
        (7, SEVEN),  # ultralytics, of a stem of digits
        ('a.b', DOTTED),
        (2, DOTTED),
        ('2--Riot/same', '2--Riot/same'),
        ('3--Ümläut/same.jpg', '3--Ümläut/same'),
        (4, '3--Ümläut/same'),
    ],
)
def test_pictures_are_known_by_name_and_number(convert, image_id, name):
    status, output, _, written = convert([result(image_id), result(image_id, (0, 0, 9, 9), 1)])
    assert status == 0 and '1 pictures, 2 detections' in output
    assert written == {name: [[1.5, 2, 3, 4.25, 0.5], [0, 0, 9, 9, 1]]}
    assert ('took 1 image_ids as numbers' in output) == isinstance(image_id, int)


def test_a_coco_annotation_tells_what_ids_mean(convert, folder):
    images = [(1, 'val/0_Parade_1.jpg'), (0, '1--Handshaking/7.jpg'), ('x', '3--Ümläut/same.jpg'), (9, 'other.jpg')]
    content = dict(images=[dict(id=i, file_name=name, width=9, height=9) for i, name in images], annotations=[])
    (folder / 'ids.json').write_text(json.dumps(content))
    for image_id in (9, 2, '1', '0_Parade_1'):  # of another picture, or no id of it
        status, _, errors, written = convert([result(image_id)], '--ids', folder / 'ids.json')
        assert status == 1 and written == {}
        assert f'1 image_ids that are no picture of {folder / "ids.json"}: {image_id!r};' in errors
    status, output, _, written = convert([result(i) for i in (0, 1, 'x')], '--ids', folder / 'ids.json')
    assert status == 0 and set(written) == {PARADE, SEVEN, '3--Ümläut/same'} and 'as numbers' not in output


def test_categories(convert):
    many = [result(0, category_id=1), result(1, category_id=1), result(0, category_id=3), result(2, category_id=0)]
    status, _, errors, written = convert(many)
    assert status == 1 and written == {} and 'categories 0, 1, 3; name those of faces: --category' in errors
    status, _, errors, written = convert(many, '--category', 2)
    assert status == 1 and written == {} and 'no detection of a face; found those of the categories 0, 1, 3' in errors
    status, output, _, written = convert(many, '--category', 1, 0)
    assert status == 0 and set(written) == {PARADE, SEVEN, DOTTED} and len(written[PARADE]) == 1
    assert 'left out 1 detections of other categories' in output


def test_ids_that_are_none_or_several_pictures_are_refused(convert, folder):
    for results, message in (
        ([result(99), result(-1), result('7x')], "3 image_ids that are no picture of *: 99, -1, '7x'; expected names"),
        ([result('same')], "1 image_ids that may be several pictures of *: 'same' (2--Riot/same.jpg or 3--Ümläut/"),
        ([result(0), result('0_Parade_1')], "the image_ids 0 and '0_Parade_1' are both 0--Parade/0_Parade_1.jpg of *"),
    ):
        status, _, errors, written = convert(results)
        assert status == 1 and written == {} and message.replace('*', str(folder / 'gt.txt')) in errors


def test_a_number_that_is_a_name_as_well_is_refused(convert, folder):
    (folder / 'gt.txt').write_text(ANNOTATION.replace('Handshaking/7', 'Handshaking/2'), encoding='utf-8')
    status, _, errors, _ = convert([result(2)])
    assert status == 1 and '2 (1--Handshaking/2.jpg or 1--Handshaking/a.b.jpg)' in errors


@pytest.mark.parametrize(
    'broken',
    [
        result(0, (1, 2, 3)),
        result(0, (1, 2, 3, '4')),
        result(0, (1, 2, 3, float('nan'))),
        result(0, score=float('inf')),
        result(0, score=None),
        result(0, score=10**400),
        result(1.0),
        result(True),
        result(None),
        result(0, category_id='face'),
        dict(image_id=0, score=1),
        dict(bbox=[1, 2, 3, 4], score=1),
        [0, 1, 2, 3],
        None,
    ],
)
def test_what_is_no_detection_is_named(convert, broken):
    status, _, errors, written = convert([result(1), broken])
    assert status == 1 and written == {} and 'as detection 1, expected {"image_id"' in errors


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('', 'results.json is no JSON file'),
        ('[' * 100_000, 'results.json is no JSON file'),
        ('{"images": [], "annotations": []}', 'found {"images": [], "annotations": []}, expected a list of detections'),
        ('[]', 'has no detection'),
    ],
)
def test_files_of_another_kind_are_refused(convert, text, message):
    status, _, errors, written = convert(text)
    assert status == 1 and written == {} and message in errors


def test_mistakes_on_the_command_line(convert, askd, folder):
    for content, message in (('{}', 'is no COCO annotation'), ('{"images": [{"id": 1, "file_name": 2}]}', 'a text')):
        (folder / 'ids.json').write_text(content)
        assert message in convert([result(0)], '--ids', folder / 'ids.json')[2]
    twice = [dict(id=1, file_name=name) for name in ('a.jpg', 'b.jpg')]
    (folder / 'ids.json').write_text(json.dumps(dict(images=twice)))
    assert '2 images and 1 different ids' in convert([result(0)], '--ids', folder / 'ids.json')[2]
    assert 'gone.json' in convert([result(0)], '--ids', folder / 'gone.json')[2]
    assert convert([result(0)])[0] == 0
    status, _, errors, written = convert([result(1)])
    assert status == 1 and 'out holds files already' in errors and set(written) == {PARADE}


def test_mmdetections_dump_scores_as_our_metric_and_our_submission(toy_data, askd, tmp_path):
    ground_truth = toy_data / 'eval_tools/ground_truth'
    annotation = toy_data / 'wider_face_split/wider_face_val_bbx_gt.txt'
    numbers = {name.removesuffix('.jpg'): i for i, (name, _, _) in enumerate(read_annotations(annotation))}
    samples = make_samples(ground_truth)
    for sample in samples:
        name = sample.img_path.removeprefix('some/where/').removesuffix('.jpg')
        sample.set_metainfo(dict(img_id=numbers[name], instances=[]))
    metric = dict(type='mmdet.WiderFaceMetric', ground_truth=str(ground_truth), submission_dir=str(tmp_path / 'ours'))
    dump = dict(type='mmdet.CocoMetric', format_only=True, outfile_prefix=str(tmp_path / 'dump'))
    evaluator = Evaluator([metric, dump])
    evaluator.dataset_meta = dict(classes=('face',))
    evaluator.process(samples, {})
    expected = evaluator.evaluate(len(samples))
    status, output, _ = askd('convert', 'coco', tmp_path / 'dump.bbox.json', annotation, tmp_path / 'theirs')
    assert status == 0 and f'{len(samples)} pictures' in output
    for submission in ('ours', 'theirs'):
        found = score_submission(tmp_path / submission, ground_truth)
        assert [found[key] for key in SETTINGS] == pytest.approx(
            [expected[f'wider_face/{key}'] for key in SETTINGS], abs=1e-9
        )
        assert found['hint'] is None


def test_corners_get_their_hint_all_the_same(toy_data, askd, tmp_path):
    annotation = toy_data / 'wider_face_split/wider_face_val_bbx_gt.txt'
    results = [
        result(i, (x, y, x + w, y + h), 0.9)
        for i, (_, boxes, _) in enumerate(read_annotations(annotation))
        for x, y, w, h in boxes.tolist()
    ]
    (tmp_path / 'results.json').write_text(json.dumps(results))
    askd('convert', 'coco', tmp_path / 'results.json', annotation, tmp_path / 'out')
    status, output, _ = askd('score', tmp_path / 'out', '--gt', toy_data / 'eval_tools/ground_truth')
    assert status == 0 and 'the boxes seem to be corners' in output
