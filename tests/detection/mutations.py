"""Files with the damage that files get: bytes changed, lost at the end, and lines that come twice or not at all."""

from collections.abc import Iterator

import numpy as np


def mutations(content: bytes, count: int, seed: int = 0) -> Iterator[bytes]:
    """So many damaged copies, the same for a seed."""
    rng = np.random.default_rng(seed)
    for i in range(count):
        position = int(rng.integers(len(content)))
        lines = content.splitlines(keepends=True)
        line = int(rng.integers(len(lines)))
        yield (
            content[:position] + bytes([content[position] ^ 1 << int(rng.integers(8))]) + content[position + 1 :],
            content[:position] + rng.bytes(1) + content[position + 1 :],
            content[:position],
            b''.join(lines[: line + 1] + lines[line:]),
            b''.join(lines[:line] + lines[line + 1 :]),
        )[i % 5]
