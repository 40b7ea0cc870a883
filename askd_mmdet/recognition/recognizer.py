"""A classifier while it trains, an embedder when it predicts."""

import torch
from mmpretrain.models import ImageClassifier
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor


@MODELS.register_module()
class FaceRecognizer(ImageClassifier):
    """mmpretrain's ImageClassifier whose predictions are embeddings instead of classes.

    As the verification and identification protocols want it, the features of a picture and of its mirror image are
    concatenated; they are not normalised.
    """

    def predict(self, inputs: Tensor, data_samples: list[DataSample] | None = None) -> list[DataSample]:
        """Give every data sample its `embedding`, float32 (2 * embedding_dims,).

        Args:
            inputs: (N, 3, H, W), normalised.
            data_samples: N samples, new ones where None.
        """
        features = torch.cat([self.extract_feat(image)[-1] for image in (inputs, inputs.flip(-1))], 1).float()
        data_samples = data_samples or [DataSample() for _ in features]
        for sample, embedding in zip(data_samples, features, strict=True):
            sample.set_field(embedding, 'embedding')
        return data_samples
