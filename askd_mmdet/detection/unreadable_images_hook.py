"""Says which pictures could not be read, wherever in the worker processes that happened."""

import logging
from collections import defaultdict

from mmengine.dist import all_gather_object
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.registry import HOOKS


@HOOKS.register_module()
class UnreadableImagesHook(Hook):
    """Collect the pictures that the data set replaced, warn of them, and list them at the end.

    They arrive as the metainfo `unreadable` of the data samples, see `WiderFaceTxtDataset`. Each
    process warns of the first ones it meets; the list at the end of training, of a validation and
    of a test joins all processes.

    Args:
        warnings: How many pictures each process warns of when it meets them.
    """

    def __init__(self, warnings: int = 10):
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
