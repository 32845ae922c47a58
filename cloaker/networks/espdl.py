"""Reading ESP-DL's .espdl container: an ONNX-like graph in FlatBuffers with int8 weights.

A value is an integer times two to the power of its tensor's exponent. The weights are turned into
float32 and the rounding between layers is left out, so that the network stays differentiable.
After a 16-byte header (`EDL2`) comes a FlatBuffer; field numbers are those of ESP-DL's schema.
"""

import math
import operator
import struct
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from cloaker.networks.base import ARCFACE_112
from cloaker.networks.flatbuffer import Table
from cloaker.networks.graph import GraphNetwork, Node

_HEADER_BYTES = 16
_MODEL_GRAPH = 7
_GRAPH_NODES, _GRAPH_WEIGHTS, _GRAPH_INPUTS, _GRAPH_OUTPUTS = 0, 2, 4, 5
_NODE_INPUTS, _NODE_OUTPUTS, _NODE_OPERATION, _NODE_ATTRIBUTES = 0, 1, 3, 5
_ATTRIBUTE_NAME, _ATTRIBUTE_TYPE, _ATTRIBUTE_INT, _ATTRIBUTE_INTS = 0, 3, 5, 11
_TENSOR_SHAPE, _TENSOR_TYPE, _TENSOR_NAME, _TENSOR_DATA, _TENSOR_EXPONENTS = 0, 1, 6, 8, 13
_VALUE_NAME = 0
_INT, _INTS = 2, 7
_DTYPES = {3: "i1", 5: "<i2", 6: "<i4"}
_DATA_UNIT_BYTES = 16

Attributes = Mapping[str, Any]


def load(name: str, content: bytes) -> GraphNetwork:
    """Build a network out of the bytes of an .espdl file.

    Pixels are normalised to (x - 127.5) / 127.5. Raises ValueError on damaged files and on
    operations that are not known here.
    """
    if content[:4] != b"EDL2":
        raise ValueError("no ESP-DL model: it begins with EDL2")
    try:
        return _network(name, Table.root(content[_HEADER_BYTES:]).table(_MODEL_GRAPH))
    except (struct.error, UnicodeDecodeError) as error:
        raise ValueError(f"truncated or damaged ESP-DL model: {error}") from error


def _network(name: str, graph: Table) -> GraphNetwork:
    weights = {table.string(_TENSOR_NAME): table for table in graph.tables(_GRAPH_WEIGHTS)}
    nodes: list[Node] = []
    constants: dict[str, Tensor] = {}
    for table in graph.tables(_GRAPH_NODES):
        operation, attributes = table.string(_NODE_OPERATION), _attributes(table)
        if operation not in _OPERATIONS:
            raise ValueError(f"unknown ESP-DL operation: {operation}")
        inputs = table.strings(_NODE_INPUTS)
        for place, key in enumerate(inputs):
            if key in weights:
                is_kernel = operation in _KERNEL_OPERATIONS and place == 1
                grouped = attributes.get("group", 1) > 1
                read = partial(_kernel, grouped=grouped) if is_kernel else _vector
                constants[key] = read(weights[key])
        (output,) = table.strings(_NODE_OUTPUTS)
        nodes.append(Node(output, inputs, _OPERATIONS[operation](attributes)))
    return GraphNetwork(
        name,
        ARCFACE_112,
        nodes=nodes,
        constants=constants,
        source=graph.tables(_GRAPH_INPUTS)[0].string(_VALUE_NAME),
        result=graph.tables(_GRAPH_OUTPUTS)[0].string(_VALUE_NAME),
        shift=127.5,
        scale=127.5,
    )


def _attributes(node: Table) -> dict[str, Any]:
    attributes: dict[str, Any] = {}
    for table in node.tables(_NODE_ATTRIBUTES):
        key, kind = table.string(_ATTRIBUTE_NAME), table.int32(_ATTRIBUTE_TYPE)
        if kind == _INT:
            attributes[key] = table.struct_int64(_ATTRIBUTE_INT)
        elif kind == _INTS:
            attributes[key] = tuple(table.array(_ATTRIBUTE_INTS, "<i8").tolist())
    return attributes


def _values(tensor: Table) -> NDArray[np.float32]:
    """Return a tensor's data, flat, as stored; trailing padding is cut off."""
    raw = tensor.array(_TENSOR_DATA, f"V{_DATA_UNIT_BYTES}").tobytes()
    count = math.prod(_shape(tensor))
    integers = np.frombuffer(raw, _DTYPES[tensor.int32(_TENSOR_TYPE)], count)
    exponent = int(tensor.array(_TENSOR_EXPONENTS, "<i8")[0])
    return integers.astype(np.float32) * np.float32(2.0**exponent)


def _shape(tensor: Table) -> list[int]:
    shape: list[int] = tensor.array(_TENSOR_SHAPE, "<i8").tolist()
    return shape


def _vector(tensor: Table) -> Tensor:
    return torch.from_numpy(_values(tensor))


def _kernel(tensor: Table, *, grouped: bool) -> Tensor:
    """Return out x in x height x width of a kernel stored as height x width x in x out.

    A depthwise kernel has its channels where others have inputs.
    """
    height, width, inputs, outputs = _shape(tensor)
    if grouped:
        inputs, outputs = 1, inputs * outputs
    return torch.from_numpy(unpack_groups(_values(tensor), (height, width, inputs, outputs)))


def unpack_groups(
    values: NDArray[np.float32], shape: tuple[int, int, int, int]
) -> NDArray[np.float32]:
    """Undo the layout N16HWC16: outputs in groups of 16, each height x width x in x 16.

    The last group is shorter when the outputs are no multiple of 16. `shape` is height, width,
    inputs, outputs; the answer is outputs x inputs x height x width.
    """
    height, width, inputs, outputs = shape
    area = height * width * inputs
    kernel = np.empty((outputs, inputs, height, width), np.float32)
    for first in range(0, outputs, 16):
        size = min(16, outputs - first)
        group = values[first * area : (first + size) * area].reshape(height, width, inputs, size)
        kernel[first : first + size] = group.transpose(3, 2, 0, 1)
    return kernel


def _convolution(attributes: Attributes) -> Callable[..., Tensor]:
    pads = attributes["pads"]
    if pads[:2] != pads[2:]:
        raise ValueError(f"uneven padding is not known here: {pads}")
    return partial(
        F.conv2d,
        stride=attributes["strides"],
        padding=pads[:2],
        dilation=attributes["dilations"],
        groups=attributes["group"],
    )


def _prelu(x: Tensor, slope: Tensor) -> Tensor:
    return F.prelu(x, slope.flatten())


def _linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.linear(x, weight.flatten(1), bias)


def _concatenate(*parts: Tensor) -> Tensor:
    return torch.cat(parts, dim=1)


def _same(x: Tensor) -> Tensor:
    return x


def _flatten(x: Tensor) -> Tensor:
    return x.flatten(1)


def _channels_axis(attributes: Attributes) -> Callable[..., Tensor]:
    if attributes["axis"] != 3:
        raise ValueError(f"only channels can be joined, not axis {attributes['axis']}")
    return _concatenate


# Values are N x H x W x C there and N x C x H x W here: transposing back to N x C x H x W is idle.
_OPERATIONS: Mapping[str, Callable[[Attributes], Callable[..., Tensor]]] = {
    "Add": lambda _: operator.add,
    "Concat": _channels_axis,
    "Conv": _convolution,
    "Flatten": lambda _: _flatten,
    "Gemm": lambda _: _linear,
    "PRelu": lambda _: _prelu,
    "Transpose": lambda _: _same,
}
_KERNEL_OPERATIONS: Sequence[str] = ("Conv", "Gemm")
