"""MMDetection's MaxIoUAssigner without a loop over faces, each turn of which waits for the GPU."""

import torch
from mmdet.models.task_modules import AssignResult, MaxIoUAssigner
from mmdet.registry import TASK_UTILS
from torch import Tensor


def match_low_quality(
    overlaps: Tensor, assigned: Tensor, min_iou: float, every_anchor: bool = True
) -> tuple[Tensor, Tensor]:
    """Give every face the anchors that cover it best, whatever else they have been assigned.

    Where several faces want an anchor, the last of them gets it. Nothing waits for the GPU.

    Args:
        overlaps: IoU of faces and anchors, (faces, anchors), with at least one of both.
        assigned: int64 (anchors,), the number of each one's face from 1, 0 for background, -1 for neither.
        min_iou: A face gets none if none covers it as well as this.
        every_anchor: Whether a face gets all anchors that cover it equally well, or the first of them.

    Returns:
        `assigned` anew, and which anchors have changed hands or were confirmed, bool (anchors,).

    Example:
        >>> overlaps = torch.tensor([[0.9, 0.5, 0.1], [0.8, 0.4, 0.2]])
        >>> match_low_quality(overlaps, torch.tensor([1, 0, 0]), min_iou=0.3)[0]
        tensor([2, 0, 0])
    """
    best, first = overlaps.max(1, keepdim=True)
    wanted = overlaps == best if every_anchor else torch.zeros_like(overlaps, dtype=torch.bool).scatter(1, first, True)
    numbers = torch.arange(1, len(overlaps) + 1, dtype=torch.int32, device=overlaps.device)[:, None]
    last = torch.where(wanted & (best >= min_iou), numbers, 0).amax(0).long()
    return torch.where(last > 0, last, assigned), last > 0


@TASK_UTILS.register_module()
class VectorizedMaxIoUAssigner(MaxIoUAssigner):
    """MaxIoUAssigner, to the last anchor, with as many waits for a GPU whether there is one face or a thousand.

    On the CPU, where nothing is to be waited for and a loop touches less memory, it is MMDetection's own. Settings are
    those of MaxIoUAssigner.
    """

    def assign_wrt_overlaps(self, overlaps: Tensor, gt_labels: Tensor) -> AssignResult:
        """Assign by the overlaps of faces and anchors, (faces, anchors); see MaxIoUAssigner."""
        if overlaps.is_cpu or not self.match_low_quality or not overlaps.numel():
            return super().assign_wrt_overlaps(overlaps, gt_labels)
        self.match_low_quality = False
        try:
            result = super().assign_wrt_overlaps(overlaps, gt_labels)
        finally:
            self.match_low_quality = True
        result.gt_inds, matched = match_low_quality(overlaps, result.gt_inds, self.min_pos_iou, self.gt_max_assign_all)
        result.labels = torch.where(matched, gt_labels[(result.gt_inds - 1).clamp(min=0)], result.labels)
        return result
