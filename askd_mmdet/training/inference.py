"""A trained network in use, whatever its task: pictures through the test pipeline and the network, batch by batch."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from askd_mmdet.training.files import first_names

Picture = str | Path | np.ndarray


def set_up(model: nn.Module, device: str | None = None) -> None:
    """Put a network on a device, by default a GPU where there is one, for use.

    Raises:
        ValueError: When torch has no such device.
    """
    device = device or ('cuda' if torch.cuda.is_available() else 'cpu')
    try:
        model.to(device).eval()
    except (RuntimeError, AssertionError) as error:  # torch without CUDA asserts
        raise ValueError(f'cannot use the device {device!r}: {str(error).splitlines()[0]}') from error


def run_readable(
    model: nn.Module, pipeline: Callable, images: Iterable[Picture], batch_size: int, take: Callable
) -> tuple[list, dict[int, Picture]]:
    """Run a network on pictures.

    Args:
        model: Of OpenMMLab, with a `test_step`.
        pipeline: Transforms that begin with `LoadPicture`, whose None for a picture that cannot be read passes them.
        images: Paths, or BGR arrays uint8 (H, W, 3).
        batch_size: Pictures that pass the network together.
        take: What to keep of the data samples of a batch, a list or array of as many.

    Returns:
        What was kept, and the pictures that cannot be read by their numbers.

    Raises:
        ValueError: For an array of another type or shape.
    """
    kept, batch, unreadable = [], [], {}

    def run():
        data = {key: [sample[key] for sample in batch] for key in ('inputs', 'data_samples')}
        with torch.inference_mode():
            kept.extend(take(model.test_step(data)))
        batch.clear()

    for i, image in enumerate(images):
        if (sample := pipeline(_source(image))) is None:
            unreadable[i] = image
            continue
        batch.append(sample)
        if len(batch) == batch_size:
            run()
    if batch:
        run()
    return kept, unreadable


def cannot_read(images: Sequence[Picture], total: int) -> ValueError:
    """The error that names the first of the pictures that cannot be read."""
    return ValueError(
        f'cannot read {len(images)} of {total} pictures: {first_names(images)}; '
        'check that the files are there and whole'
    )


def _source(image):
    """A picture as LoadPicture takes it, with the number that detectors ask for."""
    if not isinstance(image, np.ndarray):
        return dict(img_path=str(image), img_id=0)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] != 3 or not image.size:
        raise ValueError(f'found an image {image.dtype} {image.shape}, expected BGR, uint8 (H, W, 3)')
    return dict(img_path='array', img_id=0, img=image)
