"""Writers of the recognition formats, from their definitions."""

import io
import pickle
import struct

import numpy as np
from PIL import Image

MAGIC = struct.pack('<I', 0xCED7230A)


def jpeg(seed=0, side=16):
    """A JPEG of noise."""
    stream = io.BytesIO()
    noise = np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)
    Image.fromarray(noise).save(stream, 'jpeg')
    return stream.getvalue()


def record(payload):
    """A payload as dmlc-core writes it: split at every magic number that lies on a multiple of four."""
    cuts = [i for i in range(0, len(payload) - 3, 4) if payload[i : i + 4] == MAGIC]
    starts, ends = [0, *(i + 4 for i in cuts)], [*cuts, len(payload)]
    out = b''
    for n, (start, end) in enumerate(zip(starts, ends)):
        place = 0 if not cuts else 1 if n == 0 else 3 if n == len(cuts) else 2
        part = payload[start:end]
        out += MAGIC + struct.pack('<I', place << 29 | len(part)) + part + bytes(-len(part) % 4)
    return out


def packed(labels, content=b''):
    """Header, further labels, picture."""
    if np.ndim(labels):
        return struct.pack('<IfQQ', len(labels), 0, 0, 0) + np.float32(labels).tobytes() + content
    return struct.pack('<IfQQ', 0, labels, 0, 0) + content


def write_records(folder, pictures, announce=True, name='train'):
    """`train.rec` and `train.idx` of (label, file) pairs, with insightface's record 0 and identity records."""
    payloads = {}
    if announce:
        identities = sorted({label for label, _ in pictures if np.ndim(label) == 0})
        payloads[0] = packed([len(pictures) + 1, len(pictures) + 1 + len(identities)])
    for key, (label, content) in enumerate(pictures, 1):
        payloads[key] = packed(label, content)
    if announce:
        for key, _ in enumerate(identities, len(pictures) + 1):
            payloads[key] = packed([1, 2])
    stream, lines = bytearray(), []
    for key, payload in payloads.items():
        lines.append(f'{key}\t{len(stream)}\n')
        stream += record(payload)
    (folder / f'{name}.rec').write_bytes(stream)
    (folder / f'{name}.idx').write_text(''.join(lines))
    return folder / f'{name}.rec'


def write_bundle(path, pictures, same, protocol=4):
    path.write_bytes(pickle.dumps((pictures, same), protocol))
    return path


def mutations(content, count=500, seed=0):
    """Copies of a file with a bit, a byte or a few bytes changed, inserted or lost, or cut off."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        place, length = rng.integers(len(content)), rng.integers(1, 5)
        before, after, new = content[:place], content[place:], rng.bytes(length)
        yield [
            before + bytes([after[0] ^ 1 << rng.integers(8)]) + after[1:],
            before + new[:1] + after[1:],
            before + new + after[length:],
            before + new + after,
            before + after[length:],
            before,
        ][rng.integers(6)]
