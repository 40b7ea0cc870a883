"""The assigner without a loop over faces against MMDetection's with one."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmdet.models.task_modules import MaxIoUAssigner

from askd_mmdet.detection.max_iou_assigner import VectorizedMaxIoUAssigner, match_low_quality

SETTINGS = dict(pos_iou_thr=0.35, neg_iou_thr=0.35, min_pos_iou=0.35, ignore_iof_thr=-1)


def overlaps_of(faces, anchors, seed):
    """IoUs of a few values, so that many are equal and many anchors are wanted by several faces."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 9, (faces, anchors), generator=generator) / 10


@given(st.integers(1, 12), st.integers(1, 30), st.integers(0, 10**6), st.booleans(), st.sampled_from([0.0, 0.35, 0.7]))
def test_it_gives_the_result_of_the_loop(faces, anchors, seed, every_anchor, min_iou):
    overlaps, labels = overlaps_of(faces, anchors, seed), torch.arange(faces)
    settings = SETTINGS | dict(min_pos_iou=min_iou, gt_max_assign_all=every_anchor)
    expected = MaxIoUAssigner(**settings).assign_wrt_overlaps(overlaps, labels)
    start = MaxIoUAssigner(**settings, match_low_quality=False).assign_wrt_overlaps(overlaps, labels)
    found, matched = match_low_quality(overlaps, start.gt_inds, min_iou, every_anchor)
    assert torch.equal(found, expected.gt_inds)
    assert torch.equal(torch.where(matched, labels[(found - 1).clamp(min=0)], start.labels), expected.labels)


class ElsewhereAssigner(VectorizedMaxIoUAssigner):
    """As on a GPU."""

    def assign_wrt_overlaps(self, overlaps, gt_labels):
        return super().assign_wrt_overlaps(overlaps.as_subclass(Elsewhere), gt_labels)


class Elsewhere(torch.Tensor):
    """Away from the CPU; refuses a look at a single number, which would wait for a GPU."""

    is_cpu = False

    def __bool__(self):
        raise AssertionError('waits for the GPU')


@pytest.mark.parametrize('faces, anchors', [(0, 5), (4, 0), (1, 1), (40, 500)])
def test_the_whole_assignment_is_the_same_away_from_the_cpu(faces, anchors):
    overlaps, labels = overlaps_of(faces, anchors, 0), torch.arange(faces) % 3
    expected = MaxIoUAssigner(**SETTINGS).assign_wrt_overlaps(overlaps, labels)
    assigner = ElsewhereAssigner(**SETTINGS)
    for _ in range(2):
        found = assigner.assign_wrt_overlaps(overlaps, labels)
        for name in ('gt_inds', 'labels', 'max_overlaps'):
            assert torch.equal(getattr(found, name).as_subclass(torch.Tensor), getattr(expected, name)), name


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
def test_on_a_gpu():
    overlaps, labels = overlaps_of(300, 5000, 0), torch.zeros(300, dtype=torch.long)
    expected = MaxIoUAssigner(**SETTINGS).assign_wrt_overlaps(overlaps, labels)
    found = VectorizedMaxIoUAssigner(**SETTINGS).assign_wrt_overlaps(overlaps.cuda(), labels.cuda())
    assert torch.equal(found.gt_inds.cpu(), expected.gt_inds)
    assert torch.equal(found.labels.cpu(), expected.labels)
