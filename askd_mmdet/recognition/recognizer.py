"""A classifier while it trains, an embedder when it predicts."""

import torch
from mmpretrain.models import ImageClassifier
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor


@MODELS.register_module()
class FaceRecognizer(ImageClassifier):
    """mmpretrain's ImageClassifier whose predictions are embeddings instead of classes.

    The features of a picture and of its mirror image are concatenated, as the verification protocol wants them, and not
    normalised; identification adds the two halves up, see `IdentificationMetric`.
    """

    def predict(self, inputs: Tensor, data_samples: list[DataSample] | None = None) -> list[DataSample]:
        """Give every data sample its `embedding`, float32 (2 * embedding_dims,).

        Args:
            inputs: (N, 3, H, W), normalised.
            data_samples: N samples, new ones where None. A field `mirrored`, uint8 or float (3, H, W) in the data set's
                range, is taken for the mirror image, see `LowResolution(keep_mirrored=True)`.
        """
        mirrored = inputs.flip(-1)
        if data_samples and 'mirrored' in data_samples[0]:
            batch = dict(inputs=[sample.mirrored for sample in data_samples])
            mirrored = self.data_preprocessor(batch)['inputs']
        features = torch.cat([self.extract_feat(image)[-1] for image in (inputs, mirrored)], 1).float()
        data_samples = data_samples or [DataSample() for _ in features]
        for sample, embedding in zip(data_samples, features, strict=True):
            sample.set_field(embedding, 'embedding')
        return data_samples
