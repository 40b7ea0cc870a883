"""Verification accuracy as an MMEngine metric (table 1), and what it shares with identification."""

import logging
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from mmpretrain.registry import METRICS

from askd_mmdet.recognition.verification import contiguous_folds, tar_at_far, verify


class EmbeddingMetric(BaseMetric):
    """Gather the embeddings of all pictures of a data set. A subclass says in `compute_metrics` what they are worth.

    Args:
        out_dir: Where to write the curve, as CSV and as a picture. A later evaluation overwrites it.
        collect_device: 'cpu' or 'gpu', see BaseMetric.
        prefix: Of the names of the metrics.

    Raises:
        ValueError: In :meth:`process`, when an embedding is not finite; when evaluating, when pictures are missing or
            the data set does not say what it should.
    """

    def __init__(self, out_dir: str | None = None, collect_device: str = 'cpu', prefix: str | None = None):
        super().__init__(collect_device, prefix)
        self.out_dir = out_dir

    def process(self, data_batch: dict, data_samples: list[dict]) -> None:
        """Keep the embeddings of a batch in float32.

        Args:
            data_batch: Not used.
            data_samples: For each picture `sample_idx` and `embedding` (D,), maybe `img_path` and `unreadable`.
        """
        batch = [
            (
                int(sample['sample_idx']),
                sample['embedding'].detach().cpu().float().numpy(),
                bool(sample.get('unreadable')),
            )
            for sample in data_samples
        ]
        broken = [
            str(sample.get('img_path', f'number {index}'))
            for sample, (index, embedding, _) in zip(data_samples, batch)
            if not np.isfinite(embedding).all()
        ]
        if broken:
            raise ValueError(
                f'the embeddings of {len(broken)} of {len(batch)} pictures of a batch hold NaN or infinity: '
                f'{", ".join(broken[:5])}{", ..." if len(broken) > 5 else ""}; check the weights of the model'
            )
        self.results += batch

    def from_dataset(self, *keys: str) -> list[np.ndarray]:
        """What the metainfo of the data set holds under the keys."""
        meta = self.dataset_meta or {}
        if missing := [key for key in keys if key not in meta]:
            raise ValueError(
                f'{type(self).__name__} needs {" and ".join(keys)} in the metainfo of the data set, which has no '
                f'{" and no ".join(missing)}; evaluate it on a data set for {self.default_prefix}'
            )
        return [np.asarray(meta[key]) for key in keys]

    def gather(self, results: list[tuple], size: int) -> tuple[np.ndarray, np.ndarray]:
        """Put the embeddings into the order of the data set. `results` is emptied, so that few are held twice.

        Args:
            results: `sample_idx`, embedding (D,) and whether the picture was unreadable, in any order, some maybe twice.
            size: How many pictures the data set has, M.

        Returns:
            Embeddings, float32 (M, D), and which pictures could be read, bool (M,).
        """
        indices = np.array([index for index, *_ in results], np.int64)
        if len(unknown := np.setdiff1d(indices, range(size))):
            raise ValueError(f'picture {unknown[0]} came, but the metainfo of the data set speaks of {size} only')
        if len(missing := np.setdiff1d(range(size), indices)):
            raise ValueError(
                f'{len(missing)} of the {size} pictures of the data set have no embedding: number '
                f'{", ".join(map(str, missing[:5]))}{", ..." if len(missing) > 5 else ""}; evaluate the whole data set '
                '(the sampler of its data loader should neither skip pictures nor have another size)'
            )
        self.results.clear()  # holds the same embeddings when there is one process
        embeddings = np.empty((size, len(results[0][1])), np.float32)
        readable = np.ones(size, bool)
        while results:
            index, embedding, unreadable = results.pop()
            embeddings[index], readable[index] = embedding, not unreadable
        return embeddings, readable

    def write_curve(self, name: str, columns: dict[str, np.ndarray]) -> None:
        """Write `name`.csv and a picture of the second column over the first, on a logarithmic axis."""
        if self.out_dir is None:
            return
        path = Path(self.out_dir, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        table = np.column_stack(list(columns.values()))
        np.savetxt(path.with_suffix('.csv'), table, '%.9g', ',', header=','.join(columns), comments='')
        figure = Figure(layout='constrained')
        axes = figure.subplots()
        # A logarithm knows no 0.
        axes.step(*table[table[:, 0] > 0, :2].T, where='post')
        axes.set(xscale='log', ylim=(0, 1.01), **dict(zip(('xlabel', 'ylabel'), columns)))
        axes.grid(alpha=0.3)
        figure.savefig(path.with_suffix('.png'), dpi=150)


def warn(message: str) -> None:
    print_log(message, 'current', logging.WARNING)


@METRICS.register_module()
class VerificationMetric(EmbeddingMetric):
    """Accuracy in ten folds by the protocol of LFW, and the ROC, see :func:`verify`; all as fractions in [0, 1].

    The metainfo of the data set holds `pairs`, int (N, 2), picture indices in the order of the protocol, and `same`,
    bool (N,). A pair with a picture that could not be read is left out; the others stay in their folds.

    `out_dir` gets roc.csv and roc.png. The other arguments and the errors are those of :class:`EmbeddingMetric`.
    """

    default_prefix = 'verification'

    def compute_metrics(self, results: list[tuple]) -> dict[str, float]:
        """Mean accuracy and its standard deviation over the folds, TAR at FAR 1e-3 and 1e-4, and AUC.

        Args:
            results: See :meth:`gather`.
        """
        pairs, same = self.from_dataset('pairs', 'same')
        embeddings, readable = self.gather(results, pairs.max() + 1)
        kept = readable[pairs].all(1)
        if not kept.all():
            warn(
                f'{(~kept).sum()} of {len(kept)} pairs are left out of the verification, '
                f'as {(~readable).sum()} pictures could not be read'
            )
        first, second = embeddings[pairs[kept].T]
        result = verify(first, second, same[kept], contiguous_folds(len(pairs))[kept])
        self.write_curve('roc', {'false accept rate': result.far, 'true accept rate': result.tar, 'threshold': result.thresholds})
        return {
            'accuracy': result.accuracy,
            'std': result.std,
            'tar@far=1e-3': tar_at_far(result.far, result.tar, 1e-3),
            'tar@far=1e-4': tar_at_far(result.far, result.tar, 1e-4),
            'auc': result.auc,
        }
