"""Pictures that cannot be read stop nothing: they are replaced, counted and named, whichever process met them."""

import copy
import logging
from collections import defaultdict

import numpy as np
from mmengine.dist import all_gather_object
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.registry import HOOKS

from askd_mmdet.training.files import first_names
from askd_mmdet.training.settings import check_number


class ReplacesUnreadable:
    """What a data set of MMEngine inherits first, so that a picture that cannot be read stops nothing.

    The first transform of the pipeline, `LoadPicture`, returns None for such a picture. Training takes another one at
    random, and testing a black one. The `data_samples` that result carry the paths as the metainfo `unreadable`, which
    brings them from the worker processes to :class:`UnreadableImagesHook` and to the metrics.

    Raises:
        RuntimeError: When `max_refetch` pictures in a row are unreadable or left out by a transform.
    """

    check_tool = ''  # the command that lists damaged pictures, for messages, where there is one

    def stand_in(self, info: dict) -> dict:
        """What the first transform would add for a black picture."""
        return dict(img=np.zeros((112, 112, 3), np.uint8), img_shape=(112, 112), ori_shape=(112, 112))

    def __getitem__(self, index: int) -> dict:
        """The sample of a picture, or of what stands in for an unreadable one."""
        load, *others = self.pipeline.transforms
        transform = copy.copy(self.pipeline)  # of its class: tools put in their own, which looks at what is in between
        transform.transforms = others
        tries = 1 if self.test_mode else self.max_refetch + 1
        unreadable = []
        for _ in range(tries):
            info = self.get_data_info(index)
            sample = load(info)
            if sample is None:
                unreadable.append(info['img_path'])
                if self.test_mode:
                    sample = info | self.stand_in(info)
            if sample is not None:
                sample = transform(sample)
            if sample is not None:
                if unreadable:
                    sample['data_samples'].set_metainfo(dict(unreadable=tuple(unreadable)))
                return sample
            index = self._rand_another()
        raise RuntimeError(
            f'none of {tries} pictures in a row gave a sample: a transform dropped '
            f'{tries - len(unreadable)}, and {len(unreadable)} could not be read'
            f'{": " if unreadable else ""}{first_names(unreadable)}'
            + (f'; "{self.check_tool}" says which pictures are damaged' if self.check_tool else '')
        )


@HOOKS.register_module()
class UnreadableImagesHook(Hook):
    """Collect the pictures that the data set replaced, warn of them, and list them at the end.

    They arrive as the metainfo `unreadable` of the data samples, see `ReplacesUnreadable`. Each
    process warns of the first ones it meets; the list at the end of training, of a validation and
    of a test joins all processes.

    Args:
        warnings: How many pictures each process warns of when it meets them.
    """

    def __init__(self, warnings: int = 10):
        check_number('UnreadableImagesHook', 'warnings', warnings, whole=True, at_least=0)
        self.warnings = warnings
        self.paths = defaultdict(set)

    def _after_iter(self, runner, batch_idx, data_batch=None, outputs=None, mode='train'):
        for sample in data_batch['data_samples']:
            for path in sample.get('unreadable', ()):
                if path not in self.paths[mode] and len(self.paths[mode]) < self.warnings:
                    print_log(f'cannot read {path}, replaced it', 'current', logging.WARNING)
                self.paths[mode].add(path)

    def after_train(self, runner) -> None:
        self._report('train')

    def after_val_epoch(self, runner, metrics=None) -> None:
        self._report('val')

    def after_test_epoch(self, runner, metrics=None) -> None:
        self._report('test')

    def _report(self, mode):
        paths = sorted(set().union(*all_gather_object(self.paths[mode])))
        if paths:
            listing = '\n  '.join(paths)
            print_log(f'{len(paths)} {mode} pictures could not be read:\n  {listing}', 'current', logging.WARNING)
