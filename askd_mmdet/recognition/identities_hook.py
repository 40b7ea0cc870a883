"""Ends a training before its first step where the data have more identities than the classifier."""

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from mmpretrain.registry import HOOKS


@HOOKS.register_module()
class IdentitiesHook(Hook):
    """Compares the identities of the training data with the classes of the head, once.

    On a GPU the head does not look at the labels of a batch, since it would have to wait for them. MMPretrain's
    ClassNumCheckHook refuses spare classes too, and looks for identities in the pairs of a validation.

    Raises:
        ValueError: Before the first step, when there are more identities than classes.
    """

    def before_train(self, runner: Runner) -> None:
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        identities = len(getattr(runner.train_dataloader.dataset, 'metainfo', {}).get('classes') or ())
        classes = model.head.num_classes
        if identities > classes:
            raise ValueError(
                f'the training data have {identities} identities, and the head has {classes} classes: set '
                f'model.head.num_classes={identities}'
            )
