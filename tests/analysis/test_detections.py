"""Detections before and after: outcomes by definition, figures against the protocol, drawings pixel by pixel."""

from itertools import pairwise, product

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmengine.config import Config
from mmengine.registry import RUNNERS
from PIL import Image, ImageDraw

from askd_mmdet.analysis.detections import (
    FACE,
    FALSE_ALARM,
    HIT,
    IGNORED,
    MISS,
    Detections,
    Failure,
    Outcomes,
    all_outcomes,
    area_of_difference,
    average_precision_by_height,
    detect_all,
    difference_over_pictures,
    draw_ground_truth,
    draw_legend,
    draw_outcomes,
    draw_sheet,
    faces_of,
    failures,
    most_different,
    operating_point,
    outcomes,
    pictures_of,
    plot_by_height,
    plot_precision_recall,
    precision_recall,
)
from askd_mmdet.analysis.plots import encode
from askd_mmdet.detection.submission import iterate_submission, read_detections
from askd_mmdet.detection.wider_face_protocol import SETTINGS, Faces
from askd_mmdet.training.config import load_config
from tests.detection.test_wider_face_protocol import arrays, iou, random_detections, reference, scored
from tests.toy_run import BASE, random_network, toy_config

NAMES = ['0--Parade/a', '0--Parade/b', '1--Handshaking/c']


@pytest.fixture(scope='module')
def ground_truth():
    rng = np.random.default_rng(0)
    return {
        name: Faces(
            np.column_stack([rng.uniform(0, 900, (30, 2)), 2 ** rng.uniform(2, 8, (30, 1)) * [[1, 1.3]]]),
            rng.random((30, 3)) < [0.4, 0.7, 0.9],
        )
        for name in NAMES
    }


@pytest.fixture(scope='module')
def networks(ground_truth):
    rng = np.random.default_rng(1)
    return {
        label: {name: Detections(*found) for name, found in random_detections(rng, ground_truth, 40).items()}
        for label in ('base', 'student')
    }


def box_strategy():
    side = st.integers(0, 12)
    return st.tuples(st.integers(0, 20), st.integers(0, 20), side, side)


@given(
    st.lists(st.tuples(box_strategy(), st.sampled_from([0.1, 0.3, 0.5, 0.7])), max_size=12),
    st.lists(st.tuples(box_strategy(), st.booleans()), max_size=6),
    st.sampled_from([0, 0.3, 0.6, 1]),
)
def test_outcomes_are_those_of_the_definition(found, faces, threshold):
    boxes = np.array([box for box, _ in found], float).reshape(-1, 4)
    truth = arrays([box for box, _ in faces], [[kept] * 3 for _, kept in faces])
    result = outcomes(boxes, np.array([score for _, score in found]), truth.boxes, truth.kept[:, 0], threshold)
    expected, seen = [], set()
    for box, score in sorted(found, key=lambda item: -item[1]):
        if score < threshold:
            continue
        overlaps = [iou(box, face) for face, _ in faces]
        best = int(np.argmax(overlaps)) if faces else None
        if best is None:
            kind = 'ignored'
        elif overlaps[best] < 0.5:
            kind = 'false alarm'
        elif not faces[best][1]:
            kind = 'ignored'
        else:
            kind = 'false alarm' if best in seen else 'hit'
        if best is not None and overlaps[best] >= 0.5:
            seen.add(best)
        expected.append((box, score, kind, max(overlaps, default=0)))
    kinds = np.array(['hit', 'ignored', 'false alarm'])[np.argmax([result.hit, result.ignored, result.false_alarm], 0)]
    assert (result.hit.astype(int) + result.ignored + result.false_alarm == 1).all()
    assert list(zip(map(tuple, result.boxes), result.scores, kinds)) == [row[:3] for row in expected]
    assert result.overlap == pytest.approx([row[3] for row in expected])
    assert result.missed.tolist() == [kept and i not in seen for i, (_, kept) in enumerate(faces)]
    assert result.balance == (kinds == 'hit').sum() - (kinds == 'false alarm').sum()
    # without an ignored face, hits and misses are all faces
    assert result.hit.sum() + result.missed.sum() == result.counts.sum()


def f1(detections, ground_truth, threshold, setting):
    results = all_outcomes(detections, ground_truth, threshold, setting).values()
    hits, false, faces = (
        sum(x.sum() for x in each) for each in zip(*((own.hit, own.false_alarm, own.counts) for own in results))
    )
    precision, recall = hits / max(hits + false, 1), hits / faces
    return 2 * precision * recall / (precision + recall) if hits else 0


@pytest.mark.parametrize('setting', SETTINGS)
def test_the_operating_point_is_the_best_of_all_scores(networks, ground_truth, setting):
    for detections in networks.values():
        scores = np.unique(np.concatenate([scores for _, scores in detections.values()]))
        best = max(f1(detections, ground_truth, score, setting) for score in scores)
        threshold = operating_point(detections, ground_truth, setting)
        assert f1(detections, ground_truth, threshold, setting) == pytest.approx(best) and threshold in scores
        shifted = {name: Detections(boxes, 3 * scores - 1) for name, (boxes, scores) in detections.items()}
        assert operating_point(shifted, ground_truth, setting) == pytest.approx(3 * threshold - 1)


def test_the_operating_point_where_nothing_is_found(ground_truth):
    nothing = {name: Detections(np.zeros((0, 4)), np.zeros(0)) for name in NAMES}
    assert operating_point(nothing, ground_truth) == np.inf
    wrong = {name: Detections(np.array([[2000.0, 0, 5, 5]] * 2), np.array([0.2, 0.6])) for name in NAMES}
    assert operating_point(wrong, ground_truth) == 0.6


@pytest.mark.parametrize('column, setting', enumerate(SETTINGS))
def test_one_bin_of_all_faces_has_the_ap_of_the_protocol(networks, ground_truth, column, setting):
    found = average_precision_by_height(networks, ground_truth, 4, (0, 1e9), setting)
    assert found.faces == [sum(faces.kept[:, column].sum() for faces in ground_truth.values())]
    for label, detections in networks.items():
        assert found.precision[label] == [100 * scored(ground_truth, detections)[setting]]


def test_bins_have_the_ap_of_the_definition(networks, ground_truth):
    """Seven bins, in which the reference is told by hand which faces count; the last but one is empty."""
    edges = [1, 2, 4, 8, 16, 100, 101, 200]
    found = average_precision_by_height(networks, ground_truth, 4, edges)
    for i, (low, high) in enumerate(pairwise(edges)):
        counting = {
            name: (boxes, [[bool(kept[2] and low <= box[3] / 4 < high)] * 3 for box, kept in zip(boxes, own_kept)])
            for name, (boxes, own_kept) in ground_truth.items()
        }
        count = sum(row[0] for _, kept in counting.values() for row in kept)
        assert found.faces[i] == count
        for label, detections in networks.items():
            expected = 100 * reference(counting, detections)['hard'] if count else None
            assert found.precision[label][i] == (expected if expected is None else pytest.approx(expected))
    assert found.precision['base'][5] is None and found.faces[0] > 0


def test_bins_by_themselves_are_powers_of_two_that_hold_all_faces(networks, ground_truth):
    found = average_precision_by_height(networks, ground_truth, 4)
    heights = np.concatenate([faces.boxes[faces.kept[:, 2], 3] for faces in ground_truth.values()]) / 4
    assert sum(found.faces) == len(heights) and found.faces[0] and found.faces[-1]
    assert np.histogram(heights, found.edges)[0].tolist() == found.faces
    assert (np.diff(np.log2(found.edges)) == 1).all()


def test_the_figure_by_height_shows_gaps_and_numbers(networks, ground_truth):
    found = average_precision_by_height(networks, ground_truth, 4, [1, 2, 4, 100, 101])
    figure = plot_by_height(found)
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.get_xticklabels()] == [
        f'{low:g}-{high:g}\n({count})' for low, high, count in zip(found.edges, found.edges[1:], found.faces)
    ]
    for drawn, values in zip(axes.lines, found.precision.values()):
        assert drawn.get_ydata() == pytest.approx([np.nan if v is None else v for v in values], nan_ok=True)
    assert encode(figure) == encode(plot_by_height(found))


def test_precision_and_recall_are_those_of_the_protocol(networks, ground_truth):
    curves = precision_recall(networks, ground_truth)
    for label, detections in networks.items():
        expected = reference({name: tuple(faces) for name, faces in ground_truth.items()}, detections)
        for setting in SETTINGS:
            curve = curves[label][setting]
            assert curve.average_precision == pytest.approx(expected[setting])
            assert (np.diff(curve.recall) >= 0).all()
            # at the last threshold all are taken, and precision is that of all outcomes
            results = all_outcomes(detections, ground_truth, -np.inf, setting).values()
            hits, false = (sum(getattr(own, key).sum() for own in results) for key in ('hit', 'false_alarm'))
            assert curve.precision[-1] == pytest.approx(hits / (hits + false))
    figure = plot_precision_recall(curves)
    assert [axes.get_title() for axes in figure.axes] == list(SETTINGS)
    for axes, setting in zip(figure.axes, SETTINGS):
        labels = [text.get_text() for text in axes.get_legend().get_texts()]
        assert labels == [f'{label}: {100 * curves[label][setting].average_precision:.1f}' for label in networks]


def test_what_does_not_fit_together_is_refused_by_a_sentence(networks, ground_truth):
    few = dict(networks, student={name: networks['student'][name] for name in NAMES[:2]})
    with pytest.raises(ValueError, match='student has seen other pictures than base, 1 of them: 1--Handshaking/c'):
        precision_recall(few, ground_truth)
    with pytest.raises(ValueError, match='lacks 1 pictures: 0--Parade/b'):
        operating_point(networks['base'], {name: ground_truth[name] for name in (NAMES[0], NAMES[2])})
    for nothing in ({}, {'base': {}}):
        with pytest.raises(ValueError, match='no picture'):
            average_precision_by_height(nothing, ground_truth)
    with pytest.raises(ValueError, match="setting='tiny'"):
        all_outcomes(networks['base'], ground_truth, 0, 'tiny')
    for edges in ((1,), (2, 1)):
        with pytest.raises(ValueError, match='edges'):
            average_precision_by_height(networks, ground_truth, edges=edges)
    with pytest.raises(ValueError, match='ratio=0'):
        average_precision_by_height(networks, ground_truth, 0)
    none = {name: Faces(faces.boxes, faces.kept & False) for name, faces in ground_truth.items()}
    with pytest.raises(ValueError, match='no face that counts as hard'):
        average_precision_by_height(networks, none)
    with pytest.raises(ValueError, match='other pictures'):
        most_different({'a': None}, {'b': None})
    with pytest.raises(ValueError, match='no picture'):
        failures({'base': {}}, {})


def made(hits=0, false=0):
    """Outcomes of so many hits and false alarms."""
    count = hits + false
    hit = np.arange(count) < hits
    nothing = np.zeros((count, 4))
    return Outcomes(nothing, np.zeros(count), hit, hit & False, hit * 1.0, nothing[:0], hit[:0], hit[:0])


def test_the_most_different_pictures_come_first_whoever_is_better():
    base = dict(a=made(1), b=made(2, 1), c=made(0, 2), d=made(3), e=made(5, 5))
    student = dict(a=made(3), b=made(5, 1), c=made(0, 0), d=made(0), e=made(2, 2))
    expected = [('b', 3), ('d', -3), ('a', 2), ('c', 2)]
    assert most_different(base, student) == expected
    assert most_different(dict(reversed(base.items())), student, 2) == expected[:2]


def noise(height=80, width=100, seed=0):
    """Without the colours of the lines."""
    return np.random.default_rng(seed).integers(0, 180, (height, width, 3), np.uint8)


def alone(kind, box):
    """The outcomes of a picture in which nothing but this happened."""
    boxes, one, none = np.array([box], float), np.ones(1, bool), np.zeros(1, bool)
    if kind == 'miss':
        return Outcomes(boxes[:0], np.zeros(0), *[none[:0]] * 2, np.zeros(0), boxes, one, none)
    hit, ignored = one if kind == 'hit' else none, one if kind == 'ignored' else none
    return Outcomes(boxes, np.array([0.5]), hit, ignored, np.zeros(1), boxes[:0], none[:0], none[:0])


COLOURS = dict(hit=HIT, miss=MISS, ignored=IGNORED) | {'false alarm': FALSE_ALARM}


def where(image, colour):
    return (image == colour).all(2)


@pytest.mark.parametrize('box', [(40, 30, 5, 5), (40.4, 30.2, 4.3, 6.6), (20, 20, 30, 41), (10, 5, 76, 70)])
@pytest.mark.parametrize('kind', ['hit', 'miss', 'ignored'])
def test_a_frame_hides_nothing_of_its_face(kind, box):
    image = noise()
    drawn = draw_outcomes(image, alone(kind, box), scores=False)
    x, y, width, height = box
    face = np.s_[int(y) : int(np.ceil(y + height)), int(x) : int(np.ceil(x + width))]
    assert np.array_equal(drawn[face], image[face]) and where(drawn, COLOURS[kind]).any()
    assert np.array_equal(image, noise())


@pytest.mark.parametrize('box, frame', [((40, 30, 20, 16), (38, 28, 61, 47)), ((40, 30, 5, 5), (37, 27, 47, 37))])
def test_shapes_differ_and_not_only_in_colour(box, frame):
    """The solid frame is PIL's rectangle; the others lie on it or inside, leave gaps, and leave out corners."""
    masks = {kind: where(draw_outcomes(noise(), alone(kind, box), scores=False), COLOURS[kind]) for kind in COLOURS}
    expected = Image.new('1', (100, 80))
    ImageDraw.Draw(expected).rectangle(frame, outline=1)
    solid = np.array(expected)
    assert np.array_equal(masks['hit'], solid)
    x1, y1, x2, y2 = frame
    sides = (y1, slice(x1, x2 + 1)), (y2, slice(x1, x2 + 1)), (slice(y1, y2 + 1), x1), (slice(y1, y2 + 1), x2)
    for side in sides:
        dashes = masks['miss'][side]
        assert dashes[0] and dashes[-1] and (np.diff(dashes.astype(int)) == -1).sum() >= 2  # dash, gap, dash, gap, dash
        cut = masks['false alarm'][side]
        assert not cut[:2].any() and not cut[-2:].any() and cut[len(cut) // 2]
    assert not (masks['miss'] & ~solid).any()
    assert masks['ignored'][y1, x1 : x2 + 1].all() and not masks['ignored'][y1 + 2 : y2 - 1].any()
    inside = masks['false alarm'] & ~solid
    assert inside.sum() >= 4 and not inside[y1 + (y2 - y1) // 3 + 1 : y2 - (y2 - y1) // 3].any()


def test_the_ground_truth_has_corners_and_bars():
    drawn = draw_ground_truth(noise(), np.array([[10, 10, 20, 20], [60, 40, 20, 20]]), np.array([True, False]))
    corners, bars = where(drawn, FACE), where(drawn, IGNORED)
    assert corners[8, 8] and corners[31, 31] and not corners[20, 8] and not corners[8, 20]
    assert bars[38, 58:82].all() and bars[61, 58:82].all() and not bars[45:55].any()


def test_zoom_and_area_show_a_part_of_the_picture():
    rng = np.random.default_rng(0)
    image = cv2.GaussianBlur(noise(), (9, 9), 3)
    boxes = np.column_stack([rng.uniform(0, 80, (12, 2)), rng.uniform(3, 15, (12, 2))])
    own = outcomes(boxes[:8], rng.random(8), boxes[4:], np.arange(8) < 6)
    assert np.array_equal(draw_outcomes(image, own), draw_outcomes(image, own, area=np.s_[0:80, 0:100]))
    whole = draw_outcomes(image, own, 3, scores=False)
    part = draw_outcomes(image, own, 3, np.s_[20:60, 30:90], scores=False)
    assert whole.shape == (240, 300, 3) and part.shape == (120, 180, 3) and part.dtype == np.uint8
    # the same lines; bicubic pixels at the edges of the part see no further
    assert np.array_equal(part[9:-9, 9:-9], whole[69:171, 99:261])
    assert draw_outcomes(image, own, 0.5).shape == (40, 50, 3)
    with pytest.raises(ValueError, match='zoom=0'):
        draw_outcomes(image, own, 0)


def test_scores_are_written_where_they_hide_no_face():
    boxes = np.array([[20, 30, 20, 20.0], [50, 30, 20, 20]])
    own = outcomes(boxes[:1], np.array([0.87]), boxes, np.array([True, True]))
    plain, told = draw_outcomes(noise(), own, scores=False), draw_outcomes(noise(), own)
    text = (plain != told).any(2)
    assert text.any() and not text[30:50, 20:40].any() and not text[30:50, 50:70].any()


def test_the_area_of_difference_has_most_of_what_changed():
    faces = np.array([[5, 5, 4, 4], [150, 80, 4, 4], [160, 85, 4, 4], [170, 78, 4, 4], [100, 50, 9, 9.0]])
    base = outcomes(faces[4:], np.ones(1), faces, np.ones(5, bool))
    student = outcomes(faces, np.ones(5), faces, np.ones(5, bool))
    rows, columns = area_of_difference(base, student, (100, 200), 0.4)
    assert (rows, columns) == (slice(60, 100), slice(112, 192))
    assert area_of_difference(base, base, (100, 200)) == (slice(25, 75), slice(50, 150))
    assert area_of_difference(base, student, (100, 200), 1) == (slice(0, 100), slice(0, 200))
    with pytest.raises(ValueError, match='share=2'):
        area_of_difference(base, student, (100, 200), 2)


def test_a_sheet_has_all_pictures_and_the_legend():
    rows = [[noise(40, 150, 0), noise(30, 140, 1)], [noise(20, 150, 2), noise(20, 160, 3)]]
    sheet = draw_sheet(rows, ['base', 'A-SKD'])
    legend = draw_legend()
    for colour in (FACE, HIT, MISS, FALSE_ALARM, IGNORED):
        assert where(legend, colour).sum() > 10
    assert sheet.shape[0] == 34 + 44 + 24 + 30
    assert np.array_equal(sheet[-30:, : legend.shape[1]], legend)
    top = 34
    assert np.array_equal(sheet[top : top + 40, :150], rows[0][0])
    assert np.array_equal(sheet[top : top + 30, 154:294], rows[0][1])
    top += 44
    assert np.array_equal(sheet[top : top + 20, 154:314], rows[1][1])
    for bad in ((rows, ['one']), ([], ['one'])):
        with pytest.raises(ValueError, match='in at least one row'):
            draw_sheet(*bad)


def test_failures_are_counted_by_hand():
    faces = np.array(
        [
            [0, 50, 30, 30],  # missed, at the border
            [100, 100, 20, 20],  # missed, overlaps the next
            [110, 110, 30, 30],  # found twice
            [200, 200, 8, 8],  # missed
            [300, 300, 100, 100],  # missed: badly placed
            [400, 100, 20, 20],  # does not count, not found
            [450, 100, 20, 20],  # does not count, found
        ]
    )
    boxes = np.array(
        [
            [110, 110, 30, 30],
            [111, 110, 30, 30],
            [330, 330, 100, 100],
            [600, 10, 20, 20],
            [450, 100, 20, 20],
            [700, 10, 20, 20],
        ]
    )
    own = outcomes(boxes, np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.1]), faces, np.arange(7) < 5, 0.4)
    rows = failures({'base': {'a': own}, 'twice': {'a': own, 'b': own}}, {'a': (800, 500)}, 4, (4, 8))
    border = {'base': 1, 'twice': 1}  # the size of b is not known
    once = [
        ('missed', 'all', 4),
        ('missed', 'lower than 4 LR pixels', 1),
        ('missed', '4 to below 8 LR pixels', 2),
        ('missed', '8 LR pixels and more', 1),
        ('missed', 'overlapping another face', 1),
        ('missed', 'at the border of the picture', border),
        ('false alarm', 'all', 3),
        ('false alarm', 'beside a face (IoU 0.1 to 0.5)', 1),
        ('false alarm', 'a second time on a face', 1),
        ('false alarm', 'background', 1),
        ('does not count', 'faces too small or invalid for the setting, not found either', 1),
    ]
    expected = [
        Failure(kind, what, count if isinstance(count, dict) else dict(base=count, twice=2 * count))
        for kind, what, count in once
    ]
    assert rows == expected


@pytest.fixture(scope='module')
def network(toy_data, tmp_path_factory):
    """A small detector, and what `askd test` makes of it: metrics and a submission."""
    folder = tmp_path_factory.mktemp('network')
    cfg = toy_config(BASE, toy_data, folder)
    random_network(Config(cfg.to_dict()), folder / 'epoch_2.pth')
    tested = Config(cfg.to_dict())
    tested.load_from = str(folder / 'epoch_2.pth')
    tested.test_evaluator.submission_dir = str(folder / 'submission')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('yapf.yapflib.yapf_api.FormatCode', lambda text, **style: (text, False))
        metrics = RUNNERS.build(tested).test()
    return cfg, folder / 'epoch_2.pth', folder / 'submission', metrics


def test_detections_are_those_of_the_test(network):
    cfg, checkpoint, submission, metrics = network
    found = detect_all(cfg, checkpoint, pictures_of(cfg), 'cpu')
    written = {name: Detections(*read_detections(path)) for name, path in iterate_submission(submission)}
    assert (
        found.keys() == written.keys() == faces_of(cfg).keys() and sum(len(own.scores) for own in found.values()) > 20
    )
    for name, (boxes, scores) in found.items():
        order = np.argsort(-written[name].scores, kind='stable')
        assert boxes == pytest.approx(written[name].boxes[order], abs=0.02)
        assert scores == pytest.approx(written[name].scores[order], abs=1e-5)
    curves = precision_recall({'base': written}, faces_of(cfg))['base']
    for setting in SETTINGS:
        assert 100 * curves[setting].average_precision == pytest.approx(metrics[f'wider_face/{setting}'])


def test_pictures_are_drawn_by_seed(network):
    cfg = network[0]
    every = pictures_of(cfg)
    assert all(path.is_file() for path in every.values()) and len(every) == 4
    assert pictures_of(cfg, 9) == every
    draws = [tuple(pictures_of(cfg, 2, seed)) for seed in range(4)]
    assert len(set(draws)) > 1 and tuple(pictures_of(cfg, 2, 0)) == draws[0]
    assert all(list(draw) == [name for name in every if name in draw] for draw in draws)
    assert tuple(detect_all(cfg, network[1], pictures_of(cfg, 2, 3), 'cpu')) == draws[3]


def test_a_picture_that_cannot_be_read_has_no_detections(network, toy_data, tmp_path):
    cfg = Config(network[0].to_dict())
    dataset = cfg.test_dataloader.dataset
    (tmp_path / 'data').mkdir()
    for path in toy_data.iterdir():
        (tmp_path / 'data' / path.name).symlink_to(path)
    names = list(pictures_of(cfg))
    images = tmp_path / 'images'
    for name, path in pictures_of(cfg).items():
        copy = images / f'{name}.jpg'
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(b'' if name == names[1] else path.read_bytes())
    dataset.data_prefix.img_path = str(images)
    expected = detect_all(network[0], network[1], pictures_of(network[0]), 'cpu')
    found = detect_all(cfg, network[1], pictures_of(cfg), 'cpu')
    assert list(found) == names and len(found[names[1]].scores) == 0
    for name in names[:1] + names[2:]:
        assert np.array_equal(found[name].boxes, expected[name].boxes)


def test_networks_that_find_no_faces_are_refused_by_a_sentence(network, tmp_path):
    cfg, checkpoint, _, _ = network
    with pytest.raises(ValueError, match=r'resnet18.*found a config of mmpretrain, expected one of a face detector'):
        detect_all('askd_mmdet::toy/resnet18-cbam_toy.py', checkpoint, {})
    with pytest.raises(ValueError, match=r'found the metric CocoMetric, expected WiderFaceMetric'):
        faces_of(load_config('askd_mmdet::examples/faster-rcnn_r50-cbam_coco-4x.py'))
    with pytest.raises(FileNotFoundError):
        detect_all(cfg, tmp_path / 'nothing.pth', {})
    wider = Config(cfg.to_dict())
    wider.model.backbone.plugins[0].cfg.reduction = 8
    with pytest.raises(ValueError, match='does not fit'):
        detect_all(wider, checkpoint, {})
    with pytest.raises(ValueError, match='count=0'):
        pictures_of(cfg, 0)


def test_how_much_a_difference_depends_on_the_pictures(networks, ground_truth):
    base, student = networks.values()
    mean, low, high = difference_over_pictures(base, student, ground_truth, 'medium')
    expected = [scored(ground_truth, found)['medium'] for found in (base, student)]
    assert mean == pytest.approx(100 * (expected[1] - expected[0]))
    assert low < mean < high
    # All 27 draws of three pictures are equally likely.
    every = []
    for drawn in product(NAMES, repeat=3):
        truth = {f'0--Parade/{i}': ground_truth[name] for i, name in enumerate(drawn)}
        ap = [
            scored(truth, {f'0--Parade/{i}': found[name] for i, name in enumerate(drawn)})['medium']
            for found in (base, student)
        ]
        every.append(100 * (ap[1] - ap[0]))
    assert (
        min(every) - 1e-9 <= low <= np.percentile(every, 12) and np.percentile(every, 88) <= high <= max(every) + 1e-9
    )
    assert difference_over_pictures(base, base, ground_truth) == (0, 0, 0)
    one = {name: {NAMES[0]: each[NAMES[0]]} for name, each in networks.items()}
    mean, low, high = difference_over_pictures(*one.values(), ground_truth)
    assert mean == pytest.approx(low) == pytest.approx(high) != 0
    with pytest.raises(ValueError, match='has seen other pictures'):
        difference_over_pictures(base, one['student'], ground_truth)
