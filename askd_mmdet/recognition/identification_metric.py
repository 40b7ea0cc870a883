"""Identification accuracy as an MMEngine metric (table 2)."""

import logging

import numpy as np
from mmengine.logging import print_log
from mmpretrain.registry import METRICS

from askd_mmdet.recognition.embedding_metric import EmbeddingMetric
from askd_mmdet.recognition.identification import identification_ranks, match_characteristic
from askd_mmdet.training.settings import check_numbers


@METRICS.register_module()
class IdentificationMetric(EmbeddingMetric):
    """The share of probes, in %, identified within the first faces of the gallery; see :func:`identification_ranks`.

    The features of a picture and of its mirror image, the halves of an embedding, are added up, as the authors' code
    does for TinyFace. Probes that have no mate in the gallery are left out. Gallery faces that could not be read find
    nobody: a probe is missed when it, or all its mates, could not be read. All are counted. The data set's metainfo has
    `labels`, int (N,), and `is_probe`, bool (N,), with all probes first.

    Args:
        ranks: Which ranks to report.
        **kwargs: See :class:`EmbeddingMetric`; the curve is the CMC.

    Raises:
        ValueError: When no probe has a mate; also see :class:`EmbeddingMetric`.
    """

    default_prefix = 'identification'

    def __init__(self, ranks: tuple[int, ...] = (1, 5, 10, 50), **kwargs):
        super().__init__(**kwargs)
        check_numbers('IdentificationMetric', 'ranks', ranks, whole=True, at_least=1)
        self.ranks = ranks

    def compute_metrics(self, results: list[tuple]) -> dict[str, float]:
        labels, is_probe = (np.asarray(self.dataset_meta[key]) for key in ('labels', 'is_probe'))
        embeddings, unreadable = self.gather(results, len(labels))
        embeddings = embeddings.reshape(len(labels), 2, -1).sum(1)
        probes = is_probe.sum()
        if not is_probe[:probes].all():
            raise ValueError('found probes behind gallery faces, expected all probes first')
        gallery, gallery_labels = embeddings[probes:], labels[probes:]
        mated = np.flatnonzero(np.isin(labels[:probes], gallery_labels))
        if unreadable[probes:].any():
            gallery, gallery_labels = (x[~unreadable[probes:]] for x in (gallery, gallery_labels))
        ranks = identification_ranks(embeddings[mated], labels[mated], gallery, gallery_labels)
        alone = ranks == 0
        total = len(labels) - probes
        ranks[alone | unreadable[mated]] = total + 1  # never, not last
        for count, what in (
            (probes - len(mated), 'probes have no mate in the gallery and were left out'),
            (unreadable[mated].sum(), 'probes could not be read and count as missed'),
            (alone.sum(), 'probes whose mates could not be read count as missed'),
            (unreadable[probes:].sum(), 'gallery faces could not be read and were left out'),
        ):
            if count:
                print_log(f'{count} {what}', 'current', logging.WARNING)
        curve = match_characteristic(ranks, total)
        self.save_curve('cmc', np.arange(len(curve)) + 1, curve, ('rank', 'identified'), log=True)
        return {f'rank@{rank}': 100 * curve[min(rank, len(curve)) - 1].item() for rank in self.ranks}
