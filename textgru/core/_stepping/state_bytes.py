"""The state of a session as bytes: the safetensors format (JSON that names the arrays, then their numbers), with the
cell's name in its metadata. Reading it executes nothing."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence

import numpy as np

KIND = "textgru.core session state"
NAMES = {"float32": "F32", "float64": "F64"}
LONGEST_HEADER = 1 << 20


def state_to_bytes(cell: str, names: Sequence[str], arrays: Sequence[np.ndarray]) -> bytes:
    """`arrays` (L, B, H), one for each of `names`, all of one dtype."""
    numbers = [array.astype(array.dtype.newbyteorder("<"), order="C").tobytes() for array in arrays]
    checksum = zlib.crc32(b"".join(numbers))
    header: dict[str, object] = {"__metadata__": {"kind": KIND, "cell": cell, "crc32": str(checksum)}}
    at = 0
    for name, array, own in zip(names, arrays, numbers, strict=True):
        header[name] = {
            "dtype": NAMES[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [at, at + len(own)],
        }
        at += len(own)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + b"".join(numbers)


def state_from_bytes(
    data: bytes, cell: str, names: Sequence[str], shape: tuple[int, int, int], dtype: np.dtype
) -> tuple[np.ndarray, ...]:
    """The arrays. Raises ValueError for the state of another kind of session, and for damaged bytes."""
    size = int.from_bytes(data[:8], "little")
    text, body = data[8 : 8 + size], data[8 + size :]
    try:
        if len(data) < 8 or size > LONGEST_HEADER or len(text) != size:
            raise ValueError
        header = json.loads(text)
        metadata = header["__metadata__"]
        if metadata["kind"] != KIND:
            raise ValueError
        found = (metadata["cell"], {name: (header[name]["dtype"], header[name]["shape"]) for name in header.keys() - {
            "__metadata__"}})  # fmt: skip
        checksum = int(metadata["crc32"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ValueError("state: expected the bytes of a session's state; these are none, or damaged") from None
    wanted = (cell, {name: (NAMES[dtype.name], list(shape)) for name in names})
    if found != wanted:
        raise ValueError(f"state: expected that of {_said(*wanted)}, got that of {_said(*found)}")
    if zlib.crc32(body) != checksum or len(body) != len(names) * int(np.prod(shape)) * dtype.itemsize:
        raise ValueError("state: damaged: its numbers are not those that were saved")
    numbers = np.frombuffer(body, dtype.newbyteorder("<")).astype(dtype, copy=True)
    return tuple(numbers.reshape(len(names), *shape))


def _said(cell: object, arrays: Mapping[str, tuple[object, object]]) -> str:
    return f"{cell} with " + ", ".join(f"{name} {shape} {dtype}" for name, (dtype, shape) in sorted(arrays.items()))
