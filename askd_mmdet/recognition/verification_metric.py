"""Verification accuracy as an MMEngine metric (tables 1 and 3)."""

import logging

import numpy as np
from mmengine.logging import print_log
from mmpretrain.registry import METRICS

from askd_mmdet.recognition.embedding_metric import EmbeddingMetric
from askd_mmdet.recognition.verification import number_folds, verify
from askd_mmdet.training.settings import check_number


@METRICS.register_module()
class VerificationMetric(EmbeddingMetric):
    """Accuracy and its standard deviation over the folds, TAR at FAR 1e-3 and 1e-4, AUC, all in %; see :func:`verify`.

    The data set's metainfo has `pairs`, int (N, 2), `same`, bool (N,), and where it says them `folds`. Pairs with a
    picture that could not be read are left out of their folds, and counted, as are folds of which no pair is left.

    Args:
        folds: Number of consecutive folds; by default those of the data set, or 10 where it does not say.
        **kwargs: See :class:`EmbeddingMetric`; the curve is the ROC. In `out_dir` also comes `answers.csv`, which says
            of every pair (its number, from 0) its fold, whether it shows one person, its cosine and whether that was
            decided rightly.

    Raises:
        ValueError: See :func:`verify` and :class:`EmbeddingMetric`.
    """

    default_prefix = 'verification'

    def __init__(self, folds: int | None = None, **kwargs):
        super().__init__(**kwargs)
        if folds is not None:
            check_number('VerificationMetric', 'folds', folds, whole=True, at_least=2)
        self.folds = folds

    def folds_of(self, meta: dict) -> np.ndarray:
        """The fold of every pair of a data set with this metainfo, int (N,).

        Raises:
            ValueError: When it has less pairs than folds.
        """
        count, folds = len(meta['pairs']), self.folds or meta.get('folds') or 10
        if count < folds:
            raise ValueError(f'found {count} pairs for {folds} folds; set the folds of VerificationMetric')
        return number_folds(count, folds)

    def compute_metrics(self, results: list[tuple]) -> dict[str, float]:
        pairs, same = (np.asarray(self.dataset_meta[key]) for key in ('pairs', 'same'))
        embeddings, unreadable = self.gather(results, pairs.max() + 1)
        folds = self.folds_of(self.dataset_meta)
        readable = ~unreadable[pairs].any(1)
        if not readable.all():
            lost = np.setdiff1d(folds, folds[readable])
            note = f', nothing is left of {len(lost)} folds' if len(lost) else ''
            _warn(
                f'left out {(~readable).sum()} of {len(pairs)} pairs: {unreadable.sum()} pictures could not be '
                f'read{note}'
            )
        left, numbers = np.unique(folds[readable], return_inverse=True)
        persons = np.bincount(numbers, same[readable])
        if one_kind := int(((persons == 0) | (persons == np.bincount(numbers))).sum()):
            _warn(
                f'{one_kind} of {len(left)} folds hold pairs of one kind alone, for which the others choose too strict '
                'or too lax a threshold: the accuracy is too low. Mix the pairs, or say how many folds they are in: in '
                "the list's first line, folds and pairs of each kind in a fold, or as the folds of VerificationMetric"
            )
        first, second = embeddings[pairs[readable].T]
        result = verify(first, second, same[readable], numbers)
        self.save_curve('roc', *result.roc(), ('FAR', 'TAR'), log=True)
        self.save_table(
            'answers',
            ('pair', 'fold', 'same', 'cosine', 'right'),
            [np.flatnonzero(readable), folds[readable], result.same, result.scores, result.right],
        )
        figures = dict(
            accuracy=result.accuracy,
            std=result.std,
            **{f'tar@far={far:g}': result.tar_at(far) for far in (1e-3, 1e-4)},
            auc=result.auc,
        )
        return {name: 100 * value for name, value in figures.items()}


def _warn(message):
    print_log(message, 'current', logging.WARNING)
