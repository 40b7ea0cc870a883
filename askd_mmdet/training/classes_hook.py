"""Ends a run before its first step where labels do not mean what the network takes them for."""

from collections.abc import Sequence

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from askd_mmdet.training.files import first_names


@HOOKS.register_module()
class ClassesHook(Hook):
    """Compares the classes of the training data, or the persons, with those of the head and of the other data, once.

    On a GPU the head does not look at the labels of a batch, since it would have to wait for them. MMPretrain's
    ClassNumCheckHook refuses spare classes too, looks for identities in the pairs of a validation, and compares no
    names: of a validation that lacks a folder all later classes would count as others.

    Raises:
        ValueError: Before the first step, when the training data have more classes than the head, or when validation
            data, or test data of a network whose checkpoint knows its classes, have others.
    """

    trained = None

    def before_train(self, runner: Runner) -> None:
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        classes = _classes(runner.train_dataloader)
        outputs = getattr(getattr(model, 'head', None), 'num_classes', len(classes))
        if len(classes) > outputs:
            raise ValueError(
                f'the training data have {len(classes)} classes, and the head has {outputs}: set '
                f'model.head.num_classes={len(classes)}'
            )
        self.trained = classes
        if runner.val_loop:
            _compare(classes, _classes(runner.val_dataloader), 'validation')

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Take note of what a network was trained on."""
        self.trained = ((checkpoint.get('meta') or {}).get('dataset_meta') or {}).get('classes')

    def before_test(self, runner: Runner) -> None:
        _compare(self.trained or (), _classes(runner.test_dataloader), 'test')


def _classes(loader: DataLoader) -> Sequence[str]:
    """The names of the classes; none where the data do not tell."""
    return getattr(loader.dataset, 'metainfo', {}).get('classes') or ()


def _compare(trained, others, what):
    if trained and others and list(trained) != list(others):
        missing = [name for name in trained if name not in others]
        spare = [name for name in others if name not in trained]
        parts = [
            f'{len(names)} {how} ({first_names(names)})'
            for names, how in ((missing, 'missing'), (spare, 'unknown'))
            if names
        ]
        raise ValueError(
            f'the {what} data have other classes than the training data, {" and ".join(parts) or "in another order"}, '
            'so their labels would mean others: let both have the same folders, of which some may be empty'
        )
