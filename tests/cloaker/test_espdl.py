"""ESP-DL models: FlatBuffers written here, read by the loader, compared with torch."""

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch.nn import functional as F

from cloaker.networks import espdl

Writer = Callable[[bytearray], int]
"""Appends something to a buffer and returns where it begins."""


def text(value: str) -> Writer:
    return numbers("<u1", value.encode())


def numbers(dtype: str, values: Sequence[int] | bytes, unit: int = 1) -> Writer:
    data = np.array(list(values), dtype).tobytes()
    count = len(values) if unit == 1 else -(-len(data) // unit)

    def write(buffer: bytearray) -> int:
        start = len(buffer)
        buffer += (
            struct.pack("<I", count) + data + bytes(count * unit - len(data) if unit > 1 else 0)
        )
        return start

    return write


def several(items: Sequence[Writer]) -> Writer:
    def write(buffer: bytearray) -> int:
        start = len(buffer)
        buffer += struct.pack("<I", len(items)) + bytes(4 * len(items))
        for i, item in enumerate(items):
            refer(buffer, start + 4 + 4 * i, item)
        return start

    return write


def refer(buffer: bytearray, place: int, item: Writer) -> None:
    struct.pack_into("<I", buffer, place, item(buffer) - place)


def table(fields: Mapping[int, Writer | bytes]) -> Writer:
    """Write a FlatBuffers table: bytes stand in place, all else is referred to."""

    def write(buffer: bytearray) -> int:
        sizes = {key: len(v) if isinstance(v, bytes) else 4 for key, v in fields.items()}
        offsets = [0] * (max(fields) + 1)
        size = 4
        for key, length in sizes.items():
            offsets[key], size = size, size + length
        fields_at = len(buffer)
        buffer += struct.pack(f"<HH{len(offsets)}H", 4 + 2 * len(offsets), size, *offsets)
        start = len(buffer)
        buffer += struct.pack("<i", start - fields_at) + bytes(size - 4)
        for key, value in fields.items():
            if isinstance(value, bytes):
                buffer[start + offsets[key] : start + offsets[key] + len(value)] = value
            else:
                refer(buffer, start + offsets[key], value)
        return start

    return write


def attribute(name: str, value: int | Sequence[int]) -> Writer:
    if isinstance(value, int):
        return table({0: text(name), 3: struct.pack("<i", 2), 5: struct.pack("<q", value)})
    return table({0: text(name), 3: struct.pack("<i", 7), 11: numbers("<i8", value)})


def node(kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> Writer:
    listed = [attribute(key, value) for key, value in attributes.items()]
    return table(
        {0: several([text(i) for i in inputs]), 1: several([text(output)]), 3: text(kind)}
        | ({5: several(listed)} if listed else {})
    )


def quantised(name: str, shape: Sequence[int], dtype: str, values: NDArray[Any]) -> Writer:
    kind = {"<i1": 3, "<i2": 5, "<i4": 6}[dtype]
    return table(
        {
            0: numbers("<i8", shape),
            1: struct.pack("<i", kind),
            6: text(name),
            8: numbers(dtype, values.flatten().tolist(), unit=16),
            13: numbers("<i8", [-3]),
        }
    )


def pack_groups(kernel: NDArray[Any]) -> NDArray[Any]:
    """Write out x in x height x width as ESP-DL does: groups of 16 outputs, innermost."""
    groups = [kernel[i : i + 16].transpose(2, 3, 1, 0) for i in range(0, len(kernel), 16)]
    return np.concatenate([group.flatten() for group in groups])


def model(nodes: Sequence[Writer], weights: Sequence[Writer], output: str) -> bytes:
    graph = table(
        {
            0: several(nodes),
            2: several(weights),
            4: several([table({0: text("x")})]),
            5: several([table({0: text(output)})]),
        }
    )
    buffer = bytearray(4)
    refer(buffer, 0, table({7: graph}))
    return b"EDL2" + bytes(12) + bytes(buffer)


class TestEspDl:
    def example(self) -> tuple[bytes, dict[str, NDArray[Any]]]:
        random = np.random.default_rng(0)
        arrays = {
            "kernel": random.integers(-9, 9, (20, 3, 3, 3)),
            "bias": random.integers(-9, 9, 20),
            "depthwise": random.integers(-9, 9, (20, 1, 3, 3)),
            "slope": random.integers(-9, 9, 20),
            "dense": random.integers(-9, 9, (5, 40, 1, 1)),
            "offset": random.integers(-9, 9, 5),
        }
        weights = [
            quantised("kernel", (3, 3, 3, 20), "<i1", pack_groups(arrays["kernel"])),
            quantised("bias", (20,), "<i4", arrays["bias"]),
            quantised("depthwise", (3, 3, 20, 1), "<i1", pack_groups(arrays["depthwise"])),
            quantised("slope", (20, 1, 1), "<i2", arrays["slope"]),
            quantised("dense", (1, 1, 40, 5), "<i1", pack_groups(arrays["dense"])),
            quantised("offset", (5,), "<i4", arrays["offset"]),
        ]
        convolution = {"strides": (8, 8), "dilations": (1, 1), "pads": (1, 1, 1, 1)}
        whole = {"strides": (14, 14), "dilations": (1, 1), "pads": (1, 1, 1, 1)}
        nodes = [
            node("Conv", ("x", "kernel", "bias"), "a", group=1, **convolution),
            node("PRelu", ("a", "slope"), "b"),
            node("Conv", ("b", "depthwise", "bias"), "c", group=20, **whole),
            node("Add", ("c", "c"), "d"),
            node("Concat", ("c", "d"), "e", axis=3),
            node("Transpose", ("e",), "f"),
            node("Flatten", ("f",), "g"),
            node("Gemm", ("g", "dense", "offset"), "y"),
        ]
        return model(nodes, weights, "y"), arrays

    def test_runs_the_graph(self) -> None:
        content, arrays = self.example()
        network = espdl.load("net", content)
        x = torch.rand(2, 3, 112, 112) * 255
        w = {k: torch.from_numpy(v).float() / 8 for k, v in arrays.items()}
        a = F.conv2d((x - 127.5) / 127.5, w["kernel"], w["bias"], stride=8, padding=1)
        b = F.prelu(a, w["slope"])
        c = F.conv2d(b, w["depthwise"], w["bias"], stride=14, padding=1, groups=20)
        g = torch.cat((c, 2 * c), dim=1).flatten(1)
        expected = F.linear(g, w["dense"].flatten(1), w["offset"])
        torch.testing.assert_close(network(x), expected, rtol=1e-4, atol=1e-3)

    @settings(max_examples=50)
    @given(data=st.data())
    def test_any_truncation_is_refused(self, data: st.DataObject) -> None:
        content, _ = self.example()
        cut = data.draw(st.integers(min_value=0, max_value=len(content) - 17))
        with pytest.raises((ValueError, LookupError)):
            espdl.load("net", content[:cut])

    def test_an_unknown_operation_is_refused(self) -> None:
        with pytest.raises(ValueError, match="unknown ESP-DL operation: Relu"):
            espdl.load("net", model([node("Relu", ("x",), "y")], [], "y"))

    @given(
        outputs=st.integers(min_value=1, max_value=50),
        inputs=st.integers(min_value=1, max_value=5),
        side=st.integers(min_value=1, max_value=3),
    )
    def test_groups_of_16_are_undone(self, outputs: int, inputs: int, side: int) -> None:
        shape = (outputs, inputs, side, side)
        kernel = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
        unpacked = espdl.unpack_groups(pack_groups(kernel), (side, side, inputs, outputs))
        assert np.array_equal(unpacked, kernel)
