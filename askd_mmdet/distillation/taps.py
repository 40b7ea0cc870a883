"""Taps: the outputs of chosen modules, collected while a model runs."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from fnmatch import filter as match
from functools import partial

import torch
from torch import Tensor, nn


class _AllTapped(Exception):
    """Ends a forward pass whose remaining layers nobody looks at."""


class Taps:
    """Collects what the modules of a model put out, in the order in which they run.

    Args:
        model: The network.
        patterns: For each kind of output a pattern over the names of `model.named_modules()`; `*` also matches dots.
        owner: 'student' or 'teacher', for messages.

    Raises:
        ValueError: When a pattern matches no module; while the model runs, when a tapped module puts out what is no
            tensor, or lies inside one under activation checkpointing (`with_cp`), where it runs without a gradient
            first and then once more.

    Attributes:
        matched: How many modules each pattern matches.
        fired: The names of the modules whose outputs :meth:`stop` handed out, in the same order.
    """

    def __init__(self, model: nn.Module, patterns: dict[str, str], owner: str):
        self.owner = owner
        self.matched = {}
        self.outputs = None
        modules = dict(model.named_modules())
        for kind, pattern in patterns.items():
            names = match(modules, pattern)
            if not names:
                similar = get_close_matches(pattern, modules, n=3, cutoff=0) or 'none'
                raise ValueError(
                    f'the tap {kind}={pattern!r} matches no module of the {owner} ({type(model).__name__}); '
                    f'similar names: {similar}'
                )
            self.matched[kind] = len(names)
            for name in names:
                modules[name].register_forward_hook(partial(self._collect, kind, name))

    def _collect(self, kind: str, name: str, module: nn.Module, inputs: tuple, output) -> None:
        if self.outputs is None:
            return
        if self._graded and not torch.is_grad_enabled():
            raise ValueError(
                f'the {self.owner} recomputes {name!r} in the backward pass (activation checkpointing, with_cp=True), '
                'so that a tap sees it without a gradient; set with_cp=False, or tap the block around it'
            )
        outputs = [output] if isinstance(output, Tensor) else output
        if not (isinstance(outputs, (list, tuple)) and all(isinstance(each, Tensor) for each in outputs)):
            raise ValueError(
                f'{name!r} of the {self.owner} puts out {type(output).__name__}, which is no tensor and no list of '
                'tensors: tap modules inside it'
            )
        self.outputs[kind].extend(outputs)
        self.fired[kind].extend([name] * len(outputs))
        # Where one kind has more than its share, so that the total deceives, it would have too many later as well.
        self._awaited -= len(outputs)
        if not self._awaited:
            raise _AllTapped

    def counts(self) -> dict[str, int]:
        """How many outputs of each kind there are."""
        return {kind: len(outputs) for kind, outputs in self.outputs.items()}

    def start(self, stop_at: dict[str, int] | None = None) -> None:
        """Forget earlier outputs and collect from now on; see :meth:`recording` for `stop_at`.

        Where gradients are on now, an output that is made without them is refused.
        """
        self.outputs = {kind: [] for kind in self.matched}
        self.fired = {kind: [] for kind in self.matched}
        self._awaited = sum(stop_at.values()) if stop_at else -1
        self._graded = torch.is_grad_enabled()

    def stop(self) -> dict[str, list[Tensor]]:
        """Collect no longer, and hand out what there is."""
        outputs, self.outputs = self.outputs, None
        return outputs

    @contextmanager
    def recording(self, stop_at: dict[str, int]) -> Iterator[None]:
        """Run the model in this context only until `stop_at` outputs of each kind are there.

        Raises:
            ValueError: When the model ends with other numbers of outputs.
        """
        self.start(stop_at)
        with suppress(_AllTapped):
            yield
        if self.counts() != stop_at:
            raise ValueError(
                f'the taps do not fire equally often: {self.counts()} outputs of the {self.owner} stand against '
                f'{stop_at}; the patterns must pick the same layers in both networks'
            )
