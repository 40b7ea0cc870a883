"""What the two recognition metrics share: they gather embeddings, and draw a curve."""

import logging
from pathlib import Path

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from askd_mmdet.training.settings import check_choice, check_type

# Networks that tell people apart are far below.
_COLLAPSED = 0.9


def mean_cosine(embeddings: np.ndarray) -> float:
    """The cosine of two embeddings, averaged over all pairs of different ones.

    Args:
        embeddings: (N, D), not yet of length 1.

    Returns:
        In [-1, 1]; 0 of fewer than two.

    Example:
        >>> round(mean_cosine(np.float32([[1, 0], [0, 2], [3, 0]])), 3)
        0.333
    """
    count = len(embeddings)
    if count < 2:
        return 0.0
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    total = (embeddings / np.maximum(lengths, 1e-12)).sum(0, dtype=np.float64)
    return float((total @ total - count) / (count * (count - 1)))


class EmbeddingMetric(BaseMetric):
    """Gathers the embedding of every picture of a data set.

    Args:
        out_dir: Folder for the metric's curve, as CSV and as a picture; none by default.
        collect_device: See BaseMetric.
        prefix: See BaseMetric.
    """

    def __init__(self, out_dir: str | None = None, collect_device: str = 'cpu', prefix: str | None = None):
        check_type(type(self).__name__, 'out_dir', out_dir, str, Path, None)
        check_choice(type(self).__name__, 'collect_device', collect_device, ('cpu', 'gpu'))
        super().__init__(collect_device, prefix)
        self.out_dir = out_dir

    def process(self, data_batch: dict, data_samples: list[dict]) -> None:
        """Keep a batch's embeddings.

        Args:
            data_batch: Not used.
            data_samples: For each picture `sample_idx`, `img_path`, `embedding` (D,), and `unreadable` where a black
                picture stands in for it.

        Raises:
            ValueError: When an embedding is not finite.
        """
        for sample in data_samples:
            embedding = sample['embedding'].detach().float().cpu().numpy()
            if not np.isfinite(embedding).all():
                raise ValueError(
                    f'the embedding of {sample["img_path"]} is not finite: the checkpoint is broken, or half precision '
                    'overflowed'
                )
            self.results.append((sample['sample_idx'], embedding, bool(sample.get('unreadable'))))

    def gather(self, results: list[tuple], count: int) -> tuple[np.ndarray, np.ndarray]:
        """Embeddings (count, D) and whether each picture was unreadable, bool (count,), in the data set's order.

        Embeddings that nearly all point one way are warned of: it is the state in which a margin costs least, and into
        which a training falls at too high a rate.

        Raises:
            ValueError: When a picture was not evaluated.
        """
        if not results or max(index for index, *_ in results) >= count:
            raise ValueError(
                f'found {len(results)} embeddings for {count} pictures in the metainfo of the data set; '
                'evaluate it with its own data loader'
            )
        embeddings = np.empty((count, len(results[0][1])), np.float32)
        unreadable, missing = np.zeros(count, bool), np.ones(count, bool)
        for index, embedding, bad in results:
            embeddings[index], unreadable[index], missing[index] = embedding, bad, False
        if missing.any():
            raise ValueError(
                f'{missing.sum()} of {count} pictures were not evaluated, first those at '
                f'{np.flatnonzero(missing)[:5].tolist()}; evaluate the whole data set'
            )
        alike = mean_cosine(embeddings[~unreadable])
        if alike > _COLLAPSED:
            print_log(
                f'embeddings point nearly one way (the mean cosine of two is {alike:.2f}): the network is not trained '
                'or its training has collapsed; train it from another seed, at a lower rate or with a smaller margin',
                'current',
                logging.WARNING,
            )
        return embeddings, unreadable

    def save_table(self, name: str, columns: tuple[str, ...], values: list[np.ndarray]) -> None:
        """Write columns to `<name>.csv` in the folder that was asked for."""
        if self.out_dir:
            path = Path(self.out_dir, f'{name}.csv')
            path.parent.mkdir(parents=True, exist_ok=True)
            np.savetxt(path, np.stack(values, 1), '%.9g', ',', header=','.join(columns), comments='')

    def save_curve(self, name: str, x: np.ndarray, y: np.ndarray, labels: tuple[str, str], log: bool) -> None:
        """Write `<name>.csv` and `<name>.png` into the folder that was asked for."""
        if not self.out_dir:
            return
        import matplotlib.pyplot as plt

        folder = Path(self.out_dir)
        self.save_table(name, labels, [x, y])
        figure, axes = plt.subplots(figsize=(5, 4), layout='constrained')
        axes.plot(x, y, drawstyle='steps-post')
        axes.set(xlabel=labels[0], ylabel=labels[1], ylim=(0, 1.01), xscale='log' if log else 'linear')
        axes.grid(alpha=0.3)
        figure.savefig(folder / f'{name}.png', dpi=150)
        plt.close(figure)
        print_log(f'wrote {folder / name}.csv and .png', 'current')
