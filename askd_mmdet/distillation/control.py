"""A control experiment: what is a teacher worth that looks at other pictures?"""

import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner


@HOOKS.register_module()
class MismatchedTeacherHook(Hook):
    """Shows the teacher of :class:`DistillationHook` the HR image of the next sample of the batch, not of the same one.

    What a student gains all the same is no knowledge of where to look in its pictures, but what attention looks like on
    average, or regularisation.

    Raises:
        ValueError: In a batch without HR images, or of one sample, which has no other.

    Example:
        >>> batch = dict(hr_inputs=[torch.zeros(1), torch.ones(1)])
        >>> MismatchedTeacherHook().before_train_iter(None, 0, batch)
        >>> batch['hr_inputs']
        [tensor([1.]), tensor([0.])]
    """

    priority = 'HIGH'  # before DistillationHook takes the images

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None) -> None:
        images = data_batch.get('hr_inputs', ())
        if len(images) < 2:
            raise ValueError(
                f'MismatchedTeacherHook found {len(images)} HR images in the batch, expected at least 2; put '
                'DistillationHook beside it, without a store, and raise the batch size'
            )
        tensor = isinstance(images, torch.Tensor)
        data_batch['hr_inputs'] = images.roll(-1, 0) if tensor else [*images[1:], images[0]]
