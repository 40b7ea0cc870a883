"""Identification rates as an MMEngine metric (table 3)."""

import numpy as np
from mmpretrain.registry import METRICS

from askd_mmdet.recognition.identification import cumulative_match, identification_ranks
from askd_mmdet.recognition.verification_metric import EmbeddingMetric, warn


@METRICS.register_module()
class IdentificationMetric(EmbeddingMetric):
    """The fraction of probes with a mate among the 1, 5, 10 and 50 most similar gallery faces, as TinyFace has it.

    The metainfo of the data set holds `labels`, int (M,), -100 for distractors, and `is_probe`, bool (M,). A gallery
    face that could not be read is left out, and a probe that could not be read counts as missed. Probes without a
    mate in the gallery are left out.

    `out_dir` gets the whole cumulative match characteristic, cmc.csv and cmc.png. The other arguments and the errors
    are those of :class:`EmbeddingMetric`.
    """

    default_prefix = 'identification'

    def compute_metrics(self, results: list[tuple]) -> dict[str, float]:
        """The rates, in [0, 1], as `rank@1`, `rank@5`, `rank@10` and `rank@50`.

        Args:
            results: See :meth:`gather`.
        """
        labels, is_probe = self.from_dataset('labels', 'is_probe')
        embeddings, readable = self.gather(results, len(labels))
        in_gallery = ~is_probe & readable
        probes, gallery = embeddings[is_probe], embeddings[in_gallery]
        del embeddings  # TinyFace: 0.6 GB that would wait beside the gallery
        ranks = identification_ranks(probes, labels[is_probe], gallery, labels[in_gallery])
        missed = ~readable[is_probe] & (ranks > 0)
        ranks[missed] = len(gallery) + 1
        if not readable.all():
            warn(
                f'{(~is_probe & ~readable).sum()} gallery faces could not be read and are left out, '
                f'and {missed.sum()} probes could not be read and count as missed'
            )
        if unmated := (ranks == 0).sum():
            warn(f'{unmated} of {len(ranks)} probes have no mate in the gallery and are left out')
        rates = cumulative_match(ranks, len(gallery))
        self.write_curve('cmc', {'rank': np.arange(1, len(rates) + 1), 'identification rate': rates})
        return {f'rank@{k}': float(rates[min(k, len(rates)) - 1]) for k in (1, 5, 10, 50)}
