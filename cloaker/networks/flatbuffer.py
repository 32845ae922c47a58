"""The part of the FlatBuffers wire format that a reader of ESP-DL models needs."""

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Table:
    """A FlatBuffers table: fields by number, absent ones read as zero or empty.

    Raises struct.error when the bytes end too early.
    """

    def __init__(self, content: bytes, position: int) -> None:
        self._content = content
        self._position = position
        self._fields = position - self._integer("<i", position)
        self._field_count = (self._integer("<H", self._fields) - 4) // 2

    @classmethod
    def root(cls, content: bytes) -> "Table":
        """Return the table that a buffer begins with."""
        return cls(content, *struct.unpack_from("<I", content, 0))

    def int32(self, field: int) -> int:
        """Return a 32-bit integer."""
        place = self._place(field)
        return self._integer("<i", place) if place else 0

    def struct_int64(self, field: int) -> int:
        """Return the 64-bit integer of a struct stored in place."""
        place = self._place(field)
        return self._integer("<q", place) if place else 0

    def string(self, field: int) -> str:
        """Return a text."""
        place = self._place(field)
        return self._text(place) if place else ""

    def strings(self, field: int) -> tuple[str, ...]:
        """Return a vector of texts."""
        return tuple(self._text(place) for place in self._offsets(field))

    def table(self, field: int) -> "Table":
        """Return a table within this one."""
        return Table(self._content, self._follow(self._place(field)))

    def tables(self, field: int) -> tuple["Table", ...]:
        """Return a vector of tables."""
        return tuple(Table(self._content, self._follow(p)) for p in self._offsets(field))

    def array(self, field: int, dtype: str) -> NDArray[Any]:
        """Return a vector of numbers or structs."""
        start, count = self._vector(field)
        element = np.dtype(dtype)
        if start + count * element.itemsize > len(self._content):
            raise struct.error("a vector is longer than the buffer")
        return np.frombuffer(self._content, element, count, start)

    def _integer(self, layout: str, place: int) -> int:
        if place < 0:
            raise struct.error("an offset points before the buffer")
        value: int = struct.unpack_from(layout, self._content, place)[0]
        return value

    def _place(self, field: int) -> int:
        """Return where a field lies, 0 if it is absent."""
        if field >= self._field_count:
            return 0
        offset = self._integer("<H", self._fields + 4 + 2 * field)
        return self._position + offset if offset else 0

    def _follow(self, place: int) -> int:
        return place + self._integer("<I", place)

    def _vector(self, field: int) -> tuple[int, int]:
        place = self._place(field)
        if not place:
            return 0, 0
        start = self._follow(place)
        return start + 4, self._integer("<I", start)

    def _offsets(self, field: int) -> range:
        start, count = self._vector(field)
        return range(start, start + 4 * count, 4)

    def _text(self, place: int) -> str:
        start = self._follow(place)
        length = self._integer("<I", start)
        text = self._content[start + 4 : start + 4 + length]
        if len(text) != length:
            raise struct.error("a text is longer than the buffer")
        return text.decode()
