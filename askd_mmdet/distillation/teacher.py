"""The frozen teacher: folded for inference, and run no further than its last tap."""

import copy
from contextlib import suppress

import torch
from mmcv.cnn import fuse_conv_bn
from mmengine.logging import print_log
from torch import Tensor, nn

from askd_mmdet.distillation.taps import Taps

# Relative. Rounding makes 1e-5; a norm folded into a convolution that it does not follow makes something of order 1.
_TOLERANCE = 1e-3


class Teacher:
    """Says what the taps of a frozen network put out for HR images.

    For speed the batch norms are folded into the convolutions before them, and the weights laid out channels last. The
    first images decide: unless every tap puts out what it did before, the network runs as it was built.

    Args:
        model: The network with its weights, on its device.
        patterns: See :class:`Taps`.
        dtype: Of its convolutions, by autocast; by default as around it.

    Attributes:
        model: The network that runs.
        matched: How many modules each pattern matches.
    """

    def __init__(self, model: nn.Module, patterns: dict[str, str], dtype: torch.dtype | None = None):
        self.dtype = dtype
        folded = _fold(model.eval().requires_grad_(False))
        built = model, Taps(model, patterns, 'teacher')
        self.matched = built[1].matched
        self._built = built if folded else None
        self.model, self.taps = (folded, Taps(folded, patterns, 'teacher')) if folded else built

    @property
    def tested(self) -> nn.Module:
        """The network that runs if images have decided on it, else as it was built: for other images."""
        return self._built[0] if self._built else self.model

    @torch.no_grad()
    def counts(self, hr_inputs: list[Tensor]) -> dict[str, int]:
        """How many outputs of each kind the taps have in a whole run, up to a head that needs more than pictures."""
        self.taps.start()
        with suppress(AssertionError, AttributeError, TypeError):
            _show(self.model, hr_inputs)
        counts = self.taps.counts()
        self.taps.stop()
        return counts

    def see(self, hr_inputs: list[Tensor] | Tensor, counts: dict[str, int]) -> dict[str, list[Tensor]]:
        """What the taps put out for a batch of HR images, by kind, without gradients.

        Args:
            hr_inputs: The batch as the data preprocessor takes it.
            counts: How many outputs of each kind to wait for; the network runs no further.

        Raises:
            ValueError: When the network ends with other numbers of outputs, or needs more than pictures.
        """
        if self._built:
            with torch.autocast(next(self.model.parameters()).device.type, enabled=False):
                expected = _run(*self._built, hr_inputs, counts)
                try:
                    found = _run(self.model, self.taps, hr_inputs, counts)
                except RuntimeError:  # of an operator that takes no other layout, as mmcv's deformable convolutions
                    found = None
            pairs = (pair for kind in counts for pair in zip(expected[kind], found[kind])) if found else ()
            if not found or not all(torch.dist(a, b) <= _TOLERANCE * a.norm() for a, b in pairs):
                self.model, self.taps = self._built
                print_log(
                    'The teacher runs as it was built: folded and channels last it would teach otherwise.', 'current'
                )
            self._built = None
        if self.dtype is None:
            return _run(self.model, self.taps, hr_inputs, counts)
        with torch.autocast(next(self.model.parameters()).device.type, self.dtype, self.dtype != torch.float32):
            return _run(self.model, self.taps, hr_inputs, counts)


def _fold(model):
    """A folded copy, or None where that is impossible."""
    try:
        folded = fuse_conv_bn(copy.deepcopy(model)).requires_grad_(False)
    except (AttributeError, RuntimeError, TypeError):  # a norm without weights, or of other channels
        return None
    return folded.to(memory_format=torch.channels_last)


def _show(model, hr_inputs):
    model(model.data_preprocessor(dict(inputs=hr_inputs), False)['inputs'], mode='tensor')


def _run(model, taps, hr_inputs, counts):
    try:
        with torch.no_grad(), taps.recording(stop_at=counts):
            _show(model, hr_inputs)
    except (AssertionError, AttributeError, TypeError) as error:
        missing = [kind for kind, count in taps.counts().items() if count < counts[kind]]
        raise ValueError(
            f'the teacher does not get as far as its taps {missing} (it ends with {type(error).__name__}: {error}): it '
            'sees pictures alone, without the boxes or proposals that the heads of two-stage detectors (RPN, RoI) '
            'need; tap the backbone or the neck'
        ) from error
    return taps.stop()
