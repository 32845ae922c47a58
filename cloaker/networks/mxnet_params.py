"""Reading MXNet's .params container (NDArray list format, magic 0x112).

Layout, little-endian: u64 magic, u64 reserved, u64 count; per array a u32 version tag, i32 storage
type, u32 rank, i64 sizes, i32 device type and number, i32 dtype, the data; then u64 count of names,
each a u64 length and UTF-8 text. A name starts with `arg:` or `aux:`.
"""

import math
import struct

import torch
from torch import Tensor

_LIST_MAGIC = 0x112
_ARRAY_V2 = 0xF993FAC9  # version 1 (...C8) has no storage type
_ARRAY_V3 = 0xF993FACA
_FLOAT32 = 0


def read_params(content: bytes) -> dict[str, Tensor]:
    """Return the float32 tensors of a .params file's bytes by name.

    Raises ValueError on anything but a complete file of dense float32 arrays.
    """
    try:
        return _Reader(content).read()
    except (struct.error, UnicodeDecodeError) as error:
        raise ValueError(f"truncated or damaged MXNet parameters: {error}") from error


class _Reader:
    def __init__(self, content: bytes) -> None:
        self.content = content
        self.offset = 0

    def read(self) -> dict[str, Tensor]:
        magic, _, count = self._unpack("<QQQ")
        if magic != _LIST_MAGIC:
            raise ValueError(f"no MXNet parameters: they begin with {_LIST_MAGIC:#x}")
        arrays = [self._array() for _ in range(count)]
        names = [self._bytes(*self._unpack("<Q")).decode() for _ in range(*self._unpack("<Q"))]
        if len(names) != len(arrays) or self.offset != len(self.content):
            raise ValueError("MXNet parameters don't end where they should")
        return dict(zip(names, arrays, strict=True))

    def _array(self) -> Tensor:
        (version,) = self._unpack("<I")
        if version not in (_ARRAY_V2, _ARRAY_V3):
            raise ValueError(f"unknown version of an MXNet array: {version:#x}")
        (storage,) = self._unpack("<i")
        (rank,) = self._unpack("<I")
        shape = self._unpack(f"<{rank}q")
        _, _, dtype = self._unpack("<iii")
        if storage > 0 or dtype != _FLOAT32:
            raise ValueError(f"only dense float32 is read, not storage {storage}, type {dtype}")
        data = bytearray(self._bytes(4 * math.prod(shape)))
        return torch.frombuffer(data, dtype=torch.float32).reshape(shape)

    def _unpack(self, layout: str) -> tuple[int, ...]:
        values = struct.unpack_from(layout, self.content, self.offset)
        self.offset += struct.calcsize(layout)
        return values

    def _bytes(self, length: int) -> bytes:
        end = self.offset + length
        if not self.offset <= end <= len(self.content):
            raise ValueError("truncated MXNet parameters")
        part = self.content[self.offset : end]
        self.offset = end
        return part
