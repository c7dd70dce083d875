"""The .npy files of an artifact: dtype and shape are checked against the file's length before
anything is allocated."""

from __future__ import annotations

import math
import re

import numpy as np
from numpy.typing import NDArray

from router_lab.runtime.errors import PolicyError

_MAGIC = b"\x93NUMPY\x01\x00"
_HEADER = re.compile(
    rb"\{'descr': '([<|][a-z][0-9])', 'fortran_order': False, 'shape': \((\d{1,10}),(?: (\d{1,10}))?\), \} *\n"
)


def dump(array: NDArray[np.generic]) -> bytes:
    """Version 1.0 of the .npy format, little-endian, C order; written here so that the bytes never
    depend on numpy."""
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    shape = f"({little.shape[0]},)" if little.ndim == 1 else f"({little.shape[0]}, {little.shape[1]})"
    header = f"{{'descr': '{little.dtype.str}', 'fortran_order': False, 'shape': {shape}, }}"
    # The data starts on a multiple of 64 bytes, as the format asks for.
    header += " " * (-(len(_MAGIC) + 2 + len(header) + 1) % 64) + "\n"
    return _MAGIC + len(header).to_bytes(2, "little") + header.encode("ascii") + little.tobytes()


def load(data: bytes, name: str, dtype: str, shape: tuple[int, ...]) -> NDArray[np.generic]:
    """The array in `data`, without a copy and read-only. `shape` may hold -1 for a length to be
    taken from the file.

    PolicyError unless header, dtype, shape and the file's length agree exactly.
    """
    if not data.startswith(_MAGIC) or len(data) < 10:
        raise PolicyError(f"{name}: not a .npy file of version 1.0")
    start = 10 + int.from_bytes(data[8:10], "little")
    match = _HEADER.fullmatch(data[10:start])
    if match is None:
        raise PolicyError(f"{name}: the .npy header is not a plain one ({data[10:start][:60]!r})")
    found = tuple(int(number) for number in match.groups()[1:] if number is not None)
    kind = match[1].decode("ascii")
    if kind != dtype:
        raise PolicyError(f"{name}: dtype {kind}, not {dtype}")
    if len(found) != len(shape) or any(
        want not in (-1, have) for have, want in zip(found, shape, strict=True)
    ):
        raise PolicyError(f"{name}: shape {found}, not {shape}")
    if len(data) - start != int(np.dtype(dtype).itemsize) * math.prod(found):
        raise PolicyError(f"{name}: {len(data) - start} bytes of data do not make shape {found} of {dtype}")
    return np.frombuffer(data, dtype, offset=start).reshape(found)
