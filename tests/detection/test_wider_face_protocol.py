"""The protocol against its definition in plain loops, hand-made cases, and the official ground truth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import loadmat, savemat

from askd_mmdet.detection import wider_face_protocol
from askd_mmdet.detection.wider_face_protocol import (
    SETTINGS,
    Faces,
    WiderFaceScore,
    load_ground_truth,
    match_detections,
    match_image,
)
from tests.detection.mutations import mutations

EVERYWHERE = (True, True, True)
NOWHERE = (False, False, False)


def iou(a, b):
    """Of two boxes x, y, width, height that cover their last pixels, too."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0]) + 1
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1]) + 1
    if width <= 0 or height <= 0:
        return 0
    return width * height / ((a[2] + 1) * (a[3] + 1) + (b[2] + 1) * (b[3] + 1) - width * height)


def best_face(box, faces):
    """The first face of highest IoU when that is enough, else None."""
    overlaps = [iou(box, face) for face in faces]
    highest = max(overlaps)
    return overlaps.index(highest) if highest >= 0.5 else None


def reference(ground_truth, detections):
    """AP of each setting, from the definition; detections are {name: (boxes, scores)}."""
    everything = [score for _, scores in detections.values() for score in scores]
    low, high = min(everything, default=0), max(everything, default=0)
    thresholds = np.array([1 - (t + 1) / 1000 for t in range(1000)])
    proposals, hits, total = np.zeros((3, 1000), int), np.zeros((3, 1000), int), [0, 0, 0]
    for name, (faces, kept) in ground_truth.items():
        for setting in range(3):
            total[setting] += sum(bool(row[setting]) for row in kept)
        boxes, scores = detections.get(name, ((), ()))
        if len(boxes) == 0 or len(faces) == 0:
            continue
        ranking = sorted(range(len(boxes)), key=lambda i: -scores[i])
        stretched = np.array([(scores[i] - low) / (high - low) if high > low else 1.0 for i in ranking])
        above = (stretched >= thresholds[:, None]).sum(1)
        owners = [best_face(boxes[i], faces) for i in ranking]
        for setting in range(3):
            found, proposed, counts = set(), 0, [(0, 0)]
            for owner in owners:
                if owner is None:
                    proposed += 1
                elif kept[owner][setting]:
                    proposed += 1
                    found.add(owner)
                counts.append((proposed, len(found)))
            counts = np.array(counts)
            proposals[setting] += counts[above, 0]
            hits[setting] += counts[above, 1]
    return {title: area(*curve) for title, *curve in zip(SETTINGS, hits.tolist(), proposals.tolist(), total)}


def area(hits, proposals, total):
    """Sum of each gain of recall times the best precision at that recall or more."""
    precision = [hit / proposed if proposed else 0 for hit, proposed in zip(hits, proposals)]
    gains = [new - old for old, new in zip([0, *hits], hits)]
    return sum(gain / total * max(precision[t:]) for t, gain in enumerate(gains) if gain)


def arrays(faces, kept):
    return Faces(np.array(faces, float).reshape(-1, 4), np.array(kept, bool).reshape(-1, 3))


def scored(ground_truth, detections):
    score = WiderFaceScore(ground_truth)
    for name, (boxes, scores) in detections.items():
        score.add(name, np.reshape(boxes, (-1, 4)), scores)
    return score.average_precision()


def random_detections(rng, ground_truth, count):
    """Jittered and untouched faces and boxes elsewhere, a few scores twice."""
    detections = {}
    for name, (faces, _) in ground_truth.items():
        near = faces[rng.integers(len(faces), size=count)] + rng.choice([0, 1], (count, 1)) * rng.normal(
            0, 3, (count, 4)
        )
        far = rng.uniform(0, 1000, (count // 4, 4))
        scores = np.concatenate([rng.beta(3, 2, count), rng.beta(2, 3, len(far))])
        scores[::7] = scores[0]
        detections[name] = (np.vstack([near, far]), scores)
    return detections


@pytest.fixture(scope='session')
def real_ground_truth(real_wider_face):
    return load_ground_truth(real_wider_face / 'ground_truth')


boxes = st.tuples(st.integers(-2, 9), st.integers(-2, 9), st.integers(0, 6), st.integers(0, 6))
faces = st.lists(st.tuples(boxes, st.tuples(*[st.booleans()] * 3)), max_size=4)
# Few scores, so that there are many ties.
scores = st.integers(-2, 5).map(lambda value: value / 4) | st.floats(-9, 9, allow_subnormal=False)


@st.composite
def cases(draw):
    """Ground truth and detections of a few images; detections are often faces, or a pixel beside."""
    ground_truth, detections = {}, {}
    for i in range(draw(st.integers(0, 3))):
        drawn = draw(faces)
        ground_truth[f'e/{i}'] = arrays([box for box, _ in drawn], [kept for _, kept in drawn])
        shifts = st.sampled_from([0, 0, 0, 1, -1])
        near = (
            st.tuples(st.sampled_from([box for box, _ in drawn]), st.tuples(*[shifts] * 4)).map(
                lambda pair: tuple(map(sum, zip(*pair)))
            )
            if drawn
            else boxes
        )
        if draw(st.integers(0, 4)):
            found = draw(st.lists(st.tuples(near | boxes, scores), max_size=7))
            detections[f'e/{i}'] = ([box for box, _ in found], [score for _, score in found])
    return ground_truth, detections


@settings(max_examples=150, deadline=None)
@given(cases())
def test_ap_is_that_of_the_definition(case):
    ground_truth, detections = case
    found = scored(ground_truth, detections)
    assert found == pytest.approx(reference(ground_truth, detections), abs=1e-9)
    assert all(0 <= ap <= 1 for ap in found.values())


@settings(max_examples=50, deadline=None)
@given(cases(), st.randoms(use_true_random=False))
def test_neither_order_nor_scale_matter(case, random):
    ground_truth, detections = case
    names = random.sample(list(detections), len(detections))
    shuffled = {}
    for name in names:
        rows = random.sample(list(zip(*detections[name])), len(detections[name][0]))
        shuffled[name] = ([box for box, _ in rows], [score for _, score in rows])
    expected = scored(ground_truth, detections)
    assert scored(ground_truth, shuffled) == expected
    # A power of two, so that nothing is rounded.
    assert scored(ground_truth, {name: (b, np.multiply(s, 8)) for name, (b, s) in detections.items()}) == expected


def test_a_linear_change_of_scores_does_not_matter():
    rng = np.random.default_rng(0)
    ground_truth = {f'e/{i}': arrays(rng.uniform(0, 900, (6, 4)), rng.random((6, 3)) < 0.6) for i in range(20)}
    detections = random_detections(rng, ground_truth, 12)
    changed = {name: (b, 0.37 * s - 5) for name, (b, s) in detections.items()}
    assert scored(ground_truth, changed) == pytest.approx(scored(ground_truth, detections), abs=1e-9)


def test_real_ground_truth(real_ground_truth):
    # The numbers of the data set's paper and evaluation tools.
    assert len(real_ground_truth) == 3226
    assert sum(len(faces.boxes) for faces in real_ground_truth.values()) == 39708
    kept = sum(faces.kept.sum(0) for faces in real_ground_truth.values())
    assert kept.tolist() == [7211, 13319, 31958]
    first = real_ground_truth['0--Parade/0_Parade_marchingband_1_465']
    assert first.boxes[:2].tolist() == [[345, 211, 4, 4], [331, 126, 3, 3]]
    assert np.flatnonzero(first.kept[:, 2])[:3].tolist() == [30, 31, 124]  # 31, 32 and 125 in Matlab
    # An image without a face has one of no size that never counts.
    faces, kept = real_ground_truth['7--Cheering/7_Cheering_Cheering_7_426']
    assert faces.tolist() == [[0, 0, 0, 0]] and not kept.any()


def test_real_ground_truth_scores_as_defined(real_ground_truth):
    detections = random_detections(np.random.default_rng(0), real_ground_truth, 20)
    for name in list(detections)[::50]:
        del detections[name]
    found = scored(real_ground_truth, detections)
    assert found == pytest.approx(reference(real_ground_truth, detections), abs=1e-9)
    assert min(found.values()) > 0.1 and max(found.values()) < 0.9  # neither hopeless nor perfect


def test_perfect_detections_score_one(real_ground_truth):
    rng = np.random.default_rng(0)
    perfect = {name: (faces.boxes, rng.random(len(faces.boxes))) for name, faces in real_ground_truth.items()}
    # A face of no size in an image without a face is a false positive; two faces may share a box.
    assert min(scored(real_ground_truth, perfect).values()) > 0.998


ONE, OTHER, NOTHING = (10, 10, 20, 20), (60, 10, 20, 20), (100, 100, 20, 20)


@pytest.mark.parametrize(
    ('truth', 'detections', 'expected'),
    [
        # Precision 1 at recall 1/2, then 2/3 at recall 1.
        ([(ONE, EVERYWHERE), (OTHER, EVERYWHERE)], [(ONE, 0.9), (NOTHING, 0.6), (OTHER, 0.3)], (1 / 2 + 1 / 3,) * 3),
        # What lies on an ignored face costs nothing, what lies on none does.
        ([(ONE, (True, False, True)), (OTHER, (False, True, True))], [(OTHER, 0.9), (ONE, 0.3)], (1, 1, 1)),
        ([(ONE, (True, False, True)), (OTHER, NOWHERE)], [(NOTHING, 0.9), (OTHER, 0.8), (ONE, 0.3)], (1 / 2, 0, 1 / 2)),
        # The second on a face is a false positive.
        ([(ONE, EVERYWHERE), (OTHER, EVERYWHERE)], [(ONE, 0.9), (ONE, 0.6), (OTHER, 0.3)], (1 / 2 + 1 / 3,) * 3),
        # ... and on an ignored face it costs nothing either.
        ([(ONE, NOWHERE), (OTHER, EVERYWHERE)], [(ONE, 0.9), (ONE, 0.6), (OTHER, 0.3)], (1, 1, 1)),
        # Of equals, the first face is matched.
        ([(ONE, NOWHERE), (ONE, EVERYWHERE)], [(ONE, 0.9), (OTHER, 0.1)], (0, 0, 0)),
        ([(ONE, EVERYWHERE), (ONE, NOWHERE)], [(ONE, 0.9), (OTHER, 0.1)], (1, 1, 1)),
        # Equal scores arrive together.
        ([(ONE, EVERYWHERE)], [(ONE, 0.5), (OTHER, 0.5)], (1 / 2,) * 3),
        # 0.4 thousandths of the range apart, and both beyond 0.999 of it: not told apart.
        ([(ONE, EVERYWHERE)], [(ONE, 1), (OTHER, 0.9996), (NOTHING, 0)], (1 / 2,) * 3),
        # Two thousandths are.
        ([(ONE, EVERYWHERE)], [(ONE, 1), (OTHER, 0.998), (NOTHING, 0)], (1, 1, 1)),
        # 5/10 rows of pixels, an IoU of 1/2 as the last pixels count, too (otherwise 36/81).
        ([((0, 0, 9, 9), EVERYWHERE)], [((0, 0, 9, 4), 1)], (1, 1, 1)),
        ([((0, 0, 9, 9), EVERYWHERE)], [((0, 0, 9, 3.9), 1)], (0, 0, 0)),
        # A face without size is a pixel.
        ([((5, 5, 0, 0), EVERYWHERE)], [((5, 5, 0, 1), 1)], (1, 1, 1)),
        # No face counts.
        ([(ONE, NOWHERE)], [(ONE, 0.9)], (0, 0, 0)),
        ([(ONE, EVERYWHERE)], [], (0, 0, 0)),
    ],
)
def test_cases_by_hand(truth, detections, expected):
    ground_truth = {'e/a': arrays(*zip(*truth))}
    found = scored(ground_truth, {'e/a': ([box for box, _ in detections], [score for _, score in detections])})
    assert list(found.values()) == pytest.approx(list(expected))


def test_faces_of_images_without_detections_are_missed():
    ground_truth = {name: arrays([ONE], [EVERYWHERE]) for name in ('e/a', 'e/b', 'e/c')}
    score = WiderFaceScore(ground_truth)
    score.add('e/a', np.array([ONE]), [0.4])
    score.add('e/b', np.zeros((0, 4)), [])
    assert score.missing == ['e/c']
    assert list(score.average_precision().values()) == pytest.approx([1 / 3] * 3)


def test_detections_in_an_image_without_faces_only_stretch_the_scores():
    ground_truth = {'e/a': arrays([ONE], [EVERYWHERE]), 'e/empty': arrays([], [])}
    close = ([ONE, NOTHING], [0.5004, 0.5001])
    assert scored(ground_truth, {'e/a': close})['easy'] == 1
    assert scored(ground_truth, {'e/a': close, 'e/empty': ([ONE, OTHER], [0, 1])})['easy'] == 1 / 2
    # High scores there are no false positives.
    apart = ([ONE, NOTHING], [0.6, 0.3])
    assert scored(ground_truth, {'e/a': apart, 'e/empty': ([ONE, OTHER], [0, 1])})['easy'] == 1


def test_no_detection_at_all():
    assert scored({'e/a': arrays([ONE], [EVERYWHERE])}, {}) == dict(easy=0, medium=0, hard=0)
    assert scored({}, {}) == dict(easy=0, medium=0, hard=0)


def test_matches_tell_proposals_and_hits():
    proposals, hits = match_detections(
        np.array([ONE, OTHER, NOTHING, ONE]),
        np.array([0.1, 0.2, 0.3, 0.4]),
        np.array([ONE, OTHER]),
        np.array([[True, False], [False, True]]),
    )
    assert proposals.tolist() == [[True, False], [False, True], [True, True], [True, False]]
    assert hits.tolist() == [[False, False], [False, True], [False, False], [True, False]]


@pytest.mark.filterwarnings('error')
def test_detections_of_negative_size_overlap_nothing():
    # Of -4 and 4 pixels, so that their union is 0.
    found = scored({'e/a': arrays([(5, 5, 1, 1)], [EVERYWHERE])}, {'e/a': ([(5, 5, -3, 1), (5, 5, 1, 1)], [0.9, 0.1])})
    assert found == dict(easy=0.5, medium=0.5, hard=0.5)


@pytest.mark.parametrize(('name', 'value'), [('_CHUNK', 1), ('_CHUNK', 70), ('_IMAGES', 1), ('_IMAGES', 7)])
def test_memory_limits_change_nothing(monkeypatch, name, value):
    rng = np.random.default_rng(1)
    ground_truth = {f'e/{i}': arrays(rng.uniform(0, 900, (6, 4)), rng.random((6, 3)) < 0.6) for i in range(10)}
    detections = random_detections(rng, ground_truth, 30)
    expected = scored(ground_truth, detections)
    monkeypatch.setattr(wider_face_protocol, name, value)
    assert scored(ground_truth, detections) == expected


def test_nine_bytes_are_kept_of_a_detection():
    table = np.random.default_rng(0).uniform(0, 9, (100, 5))
    matches = match_image({'e/a': arrays([ONE], [EVERYWHERE])}, 'e/a', table[:, :4], table[:, 4])
    assert sum(array.nbytes if array.base is None else array.base.nbytes for array in matches) == 900


def test_unknown_images_and_broken_detections_are_named():
    ground_truth = {'e/a': arrays([ONE], [EVERYWHERE])}
    with pytest.raises(ValueError, match='e/b is not among the 1 images'):
        match_image(ground_truth, 'e/b', np.array([ONE]), [0.5])
    for broken in (np.nan, np.inf, -np.inf):
        with pytest.raises(ValueError, match=r'e/a: 1 of 2 detections .* NaN or infinite'):
            match_image(ground_truth, 'e/a', np.array([ONE, ONE]), [0.5, broken])
        with pytest.raises(ValueError, match=r'e/a: 1 of 1 detections .* NaN or infinite'):
            match_image(ground_truth, 'e/a', np.array([[1, 2, broken, 4]]), [0.5])


BOXES = np.array([[1, 2, 3, 4], [5, 6, 7, 8]])


def cells(values):
    """A Matlab cell array, (N, 1)."""
    array = np.empty((len(values), 1), object)
    array[:, 0] = values
    return array


@pytest.fixture
def ground_truth_folder(tmp_path):
    """Two events with two images and one, of which the second has no face."""
    common = dict(
        event_list=cells(['0--Parade', '1--Riot']),
        file_list=cells([cells(['a', 'b.jp']), cells(['c'])]),
        face_bbx_list=cells([cells([BOXES, np.zeros((0, 0))]), cells([np.array([[0, 0, 0, 0]])])]),
    )
    savemat(tmp_path / 'wider_face_val.mat', common)
    for setting, indices in zip(SETTINGS, ([[2]], np.zeros((0, 0)), [[1], [2]])):
        lists = cells([cells([np.array(indices), np.zeros((0, 1))]), cells([np.zeros((0, 0), np.uint8)])])
        savemat(tmp_path / f'wider_{setting}_val.mat', common | dict(gt_list=lists))
    return tmp_path


def change(path, **changes):
    mat = {key: value for key, value in loadmat(path).items() if key[0] != '_'} | changes
    savemat(path, {key: value for key, value in mat.items() if value is not None})


def test_ground_truth_files(ground_truth_folder):
    ground_truth = load_ground_truth(str(ground_truth_folder))
    assert list(ground_truth) == ['0--Parade/a', '0--Parade/b.jp', '1--Riot/c']
    faces, kept = ground_truth['0--Parade/a']
    assert faces.dtype == np.float64 and faces.tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]
    assert kept.tolist() == [[False, False, True], [True, False, True]]
    assert ground_truth['0--Parade/b.jp'].boxes.shape == (0, 4) and ground_truth['0--Parade/b.jp'].kept.shape == (0, 3)
    assert ground_truth['1--Riot/c'].kept.tolist() == [[False] * 3]


def test_subsets_may_leave_the_names_out(ground_truth_folder):
    expected = load_ground_truth(ground_truth_folder)
    change(ground_truth_folder / 'wider_easy_val.mat', file_list=None, event_list=None)
    found = load_ground_truth(ground_truth_folder)
    assert all(np.array_equal(found[name].kept, faces.kept) for name, faces in expected.items())


def test_missing_ground_truth_is_named(ground_truth_folder):
    (ground_truth_folder / 'wider_easy_val.mat').unlink()
    (ground_truth_folder / 'wider_hard_val.mat').unlink()
    with pytest.raises(FileNotFoundError, match=r'has no wider_easy_val.mat, wider_hard_val.mat; .*eval_tools'):
        load_ground_truth(ground_truth_folder)
    with pytest.raises(FileNotFoundError, match='nowhere'):
        load_ground_truth(ground_truth_folder / 'nowhere')


@pytest.mark.parametrize(
    ('file', 'changes', 'message'),
    [
        ('hard', dict(file_list=cells([cells(['b.jp', 'a']), cells(['c'])])), 'wider_hard_val.mat .* another order'),
        ('hard', dict(event_list=cells(['1--Riot', '0--Parade'])), 'wider_hard_val.mat .* another order'),
        (
            'easy',
            dict(gt_list=cells([cells([[[1]], [[]]])]), event_list=None, file_list=None),
            'wider_easy_val.mat lists 2 images .* 3',
        ),
        (
            'easy',
            dict(gt_list=cells([cells([[[1]], [[]]])])),
            r'wider_easy_val.mat is no .* \(2 events in .* 2 of 1 in gt',
        ),
        ('face', dict(face_bbx_list=cells([cells([BOXES, BOXES])])), r'wider_face_val.mat .* 2 of 1 in face_bbx_list'),
        ('face', dict(face_bbx_list=cells([cells([BOXES]), cells([BOXES, BOXES])])), 'other numbers of images in an'),
        ('face', dict(event_list=cells(['0--Parade'])), '1 events in event_list'),
        ('face', dict(event_list=None), 'no event_list'),
        ('face', dict(event_list=cells([BOXES, '1--Riot'])), 'names that are no event/name'),
        ('face', dict(file_list=cells([cells(['a', 'b/c']), cells(['c'])])), "no event/name: .'0--Parade/b/c'"),
        ('face', dict(file_list=cells([cells(['a', '._a']), cells(['c'])])), 'no event/name'),
        ('face', dict(file_list=cells([cells(['a', 'a']), cells(['c'])])), 'has 0--Parade/a 2 times'),
        *(
            (
                'face',
                dict(face_bbx_list=cells([cells([BOXES, boxes]), cells([BOXES])])),
                'as the boxes of 0--Parade/b.jp',
            )
            for boxes in (
                BOXES.T,
                BOXES[:, :2],
                BOXES.reshape(1, 8),
                'four',
                np.array([[1, 2, np.nan, 4]]),
                np.array([[1, 2, -np.inf, 4]]),
                np.array([[436_207_616, 2, 3, 4]]),
                np.array([[1, 2, 1_800_000_000_000_000_000, 4]]),
                np.array([[-(2**63), 2, 3, 4]]),
                np.array([[60_000, 2, 6_000, 4]]),
            )
        ),
        (
            'medium',
            dict(gt_list=cells([cells([np.array([[1], [3]]), np.zeros((0, 1))]), cells([[[]]])])),
            r'wider_medium_val.mat: 0--Parade/a keeps faces \[\[1\] \[3\]\], but .* has faces 1 to 2',
        ),
        (
            'medium',
            dict(gt_list=cells([cells([np.array([[0]]), np.zeros((0, 1))]), cells([[[]]])])),
            r'wider_medium_val.mat: 0--Parade/a keeps faces \[\[0\]\]',
        ),
        *(
            (
                'hard',
                dict(gt_list=cells([cells([indices, np.zeros((0, 1))]), cells([[[]]])])),
                f'0--Parade/a keeps {found}',
            )
            for indices, found in (
                (np.array([[1.5]]), 'faces'),
                (np.array([[np.nan]]), 'faces'),
                (np.array([[2.0**63]]), 'faces'),
                (np.array([[-1]]), 'faces'),
                ('1', 'faces'),
                (np.array([[1, 2], [1, 2]]), 'faces'),
                (np.array([[2], [2]]), 'a face twice'),
            )
        ),
        ('easy', dict(gt_list=None), 'wider_easy_val.mat is no ground truth'),
        ('face', dict(face_bbx_list=None), 'wider_face_val.mat is no ground truth'),
        ('face', dict(file_list=None), 'wider_face_val.mat .*no file_list'),
        ('face', dict(file_list=None, event_list=None), 'wider_face_val.mat has no event_list and file_list'),
    ],
)
def test_ground_truth_that_does_not_fit_is_named(ground_truth_folder, file, changes, message):
    change(ground_truth_folder / f'wider_{file}_val.mat', **changes)
    with pytest.raises(ValueError, match=message):
        load_ground_truth(ground_truth_folder)


@pytest.mark.parametrize('content', [b'', b'<html>404</html>', None])
def test_damaged_ground_truth_is_named(ground_truth_folder, content):
    path = ground_truth_folder / 'wider_hard_val.mat'
    path.write_bytes(path.read_bytes()[:300] if content is None else content)
    with pytest.raises(ValueError, match=r'wider_hard_val\.mat is no ground truth'):
        load_ground_truth(ground_truth_folder)


@pytest.mark.parametrize('compressed', [False, True])
@pytest.mark.parametrize('file', ['face', 'hard'])
def test_mutated_ground_truth_is_refused_or_sound(ground_truth_folder, file, compressed):
    """Compressed, the checksum finds every changed value; as it is, only what lies out of range can be seen."""
    path = ground_truth_folder / f'wider_{file}_val.mat'
    savemat(path, {key: value for key, value in loadmat(path).items() if key[0] != '_'}, do_compression=compressed)
    expected = load_ground_truth(ground_truth_folder)
    refused = 0
    for content in mutations(path.read_bytes(), 500):
        path.write_bytes(content)
        try:
            found = load_ground_truth(ground_truth_folder)
        except ValueError as error:
            refused += str(path) in str(error)
            continue
        assert len(found) == len(expected)
        assert not compressed or repr(found) == repr(expected)
        for boxes, kept in found.values():
            assert boxes.shape[1:] == (4,) and len(boxes) == len(kept) and (np.abs(boxes[:, :2]) <= 65_535).all()
    assert refused > 200
