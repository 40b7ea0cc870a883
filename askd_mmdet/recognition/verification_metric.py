"""Verification accuracy as an MMEngine metric (tables 1 and 3)."""

import logging

import numpy as np
from mmengine.logging import print_log
from mmpretrain.registry import METRICS

from askd_mmdet.recognition.embedding_metric import EmbeddingMetric
from askd_mmdet.recognition.verification import verify
from askd_mmdet.training.settings import check_number


@METRICS.register_module()
class VerificationMetric(EmbeddingMetric):
    """Accuracy and its standard deviation over the folds, TAR at FAR 1e-3 and 1e-4, AUC, all in %; see :func:`verify`.

    The data set's metainfo has `pairs`, int (N, 2), and `same`, bool (N,). Pairs with a picture that could not be read
    are left out of their folds, and counted.

    Args:
        folds: Number of consecutive folds.
        **kwargs: See :class:`EmbeddingMetric`; the curve is the ROC. In `out_dir` also comes `answers.csv`, which says
            of every pair (its number, from 0) its fold, whether it shows one person, its cosine and whether that was
            decided rightly.

    Raises:
        ValueError: See :func:`verify` and :class:`EmbeddingMetric`.
    """

    default_prefix = 'verification'

    def __init__(self, folds: int = 10, **kwargs):
        super().__init__(**kwargs)
        check_number('VerificationMetric', 'folds', folds, whole=True, at_least=2)
        self.folds = folds

    def compute_metrics(self, results: list[tuple]) -> dict[str, float]:
        pairs, same = (np.asarray(self.dataset_meta[key]) for key in ('pairs', 'same'))
        embeddings, unreadable = self.gather(results, pairs.max() + 1)
        if len(pairs) < self.folds:
            raise ValueError(f'found {len(pairs)} pairs for {self.folds} folds; set the folds of VerificationMetric')
        folds = np.repeat(np.arange(self.folds), [len(part) for part in np.array_split(same, self.folds)])
        readable = ~unreadable[pairs].any(1)
        if not readable.all():
            print_log(
                f'left out {(~readable).sum()} of {len(pairs)} pairs: {unreadable.sum()} pictures could not be read',
                'current',
                logging.WARNING,
            )
        first, second = embeddings[pairs[readable].T]
        result = verify(first, second, same[readable], folds[readable])
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
