"""Taps: the outputs of chosen modules, collected while a model runs."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from fnmatch import filter as match
from functools import partial

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
        ValueError: When a pattern matches no module, or a tapped module of the student lies under activation
            checkpointing (`with_cp`), where it would run without a gradient first and then once more.
    """

    def __init__(self, model: nn.Module, patterns: dict[str, str], owner: str):
        self.owner = owner
        self.matched = {}
        self.outputs = None
        modules = dict(model.named_modules())
        checkpointed = [
            f'{name}.' for name, module in modules.items() if getattr(module, 'with_cp', False) and owner == 'student'
        ]
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
                if any(name.startswith(parent) for parent in checkpointed):
                    raise ValueError(
                        f'the {owner} recomputes {name!r} in the backward pass (with_cp=True), so that a tap sees it '
                        'twice and without a gradient; set with_cp=False'
                    )
                modules[name].register_forward_hook(partial(self._collect, kind))

    def _collect(self, kind: str, module: nn.Module, inputs: tuple, output) -> None:
        if self.outputs is None:
            return
        self.outputs[kind].extend([output] if isinstance(output, Tensor) else output)
        if self.counts() == self._stop_at:
            raise _AllTapped

    def counts(self) -> dict[str, int]:
        """How many outputs of each kind there are."""
        return {kind: len(outputs) for kind, outputs in self.outputs.items()}

    def start(self, stop_at: dict[str, int] | None = None) -> None:
        """Forget earlier outputs and collect from now on; see :meth:`recording` for `stop_at`."""
        self.outputs = {kind: [] for kind in self.matched}
        self._stop_at = stop_at

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
