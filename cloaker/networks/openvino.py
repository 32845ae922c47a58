"""Reading OpenVINO's intermediate representation (IR version 10 and 11: .xml graph, .bin data).

Only the operations of Open Model Zoo's face-reidentification-retail-0095 are known.
"""

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from xml.etree import ElementTree as ET

import torch
from torch import Tensor
from torch.nn import functional as F

from cloaker.networks.base import Crop
from cloaker.networks.graph import GraphNetwork, Node

# Open Model Zoo's reference landmarks for this network, as fractions of the crop.
_OMZ_LANDMARKS = (
    (0.31556875, 0.46157410714),
    (0.68262291667, 0.46157410714),
    (0.5002625, 0.64050535714),
    (0.349471875, 0.82469196429),
    (0.65343645833, 0.82325089285),
)
OMZ_128 = Crop("omz-128", tuple((128 * x, 128 * y) for x, y in _OMZ_LANDMARKS), 128, 128)

_DTYPES = {"f16": torch.float16, "f32": torch.float32}


def load(name: str, *, xml: bytes, binary: bytes) -> GraphNetwork:
    """Build a network out of an IR's two files; it is fed BGR, its normalisation is inside.

    Raises ValueError on damaged files and on operations that are not known here.
    """
    try:
        root = ET.fromstring(xml)  # noqa: S314 - its SHA-256 is checked before
    except ET.ParseError as error:
        raise ValueError(f"no OpenVINO graph: {error}") from error
    layers = root.findall("layers/layer")
    inputs = _inputs(root)
    data = bytearray(binary)
    constants = {_id(e): _constant(e, data) for e in layers if e.get("type") == "Const"}
    return GraphNetwork(
        name,
        OMZ_128,
        nodes=[_node(e, inputs) for e in layers if e.get("type") in _OPERATIONS],
        constants=constants,
        source=_only(layers, "Parameter"),
        result=inputs[_only(layers, "Result")][0],
        bgr=True,
    )


def _id(layer: ET.Element) -> str:
    return layer.attrib["id"]


def _only(layers: Sequence[ET.Element], kind: str) -> str:
    unknown = {e.get("type", "") for e in layers} - _OPERATIONS.keys() - _STRUCTURE
    if unknown:
        raise ValueError(f"unknown OpenVINO operations: {', '.join(sorted(unknown))}")
    (layer,) = (e for e in layers if e.get("type") == kind)
    return _id(layer)


def _inputs(root: ET.Element) -> dict[str, tuple[str, ...]]:
    """Return for each layer the layers that feed it, in the order of its ports."""
    edges = sorted(
        (e.attrib["to-layer"], int(e.attrib["to-port"]), e.attrib["from-layer"])
        for e in root.findall("edges/edge")
    )
    feeds: dict[str, tuple[str, ...]] = {}
    for to_layer, _, from_layer in edges:
        feeds[to_layer] = (*feeds.get(to_layer, ()), from_layer)
    return feeds


def _constant(layer: ET.Element, data: bytearray) -> Tensor:
    attributes = _attributes(layer)
    dtype = _DTYPES[attributes["element_type"]]
    shape = _numbers(attributes["shape"])
    values = torch.frombuffer(
        data, dtype=dtype, count=math.prod(shape), offset=int(attributes["offset"])
    )
    if len(shape) == 5:  # groups x outputs x inputs x height x width
        shape = (shape[0] * shape[1], *shape[2:])
    return values.reshape(shape).float()


def _attributes(layer: ET.Element) -> Mapping[str, str]:
    data = layer.find("data")
    return {} if data is None else data.attrib


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(",")) if text else ()


def _node(layer: ET.Element, inputs: Mapping[str, tuple[str, ...]]) -> Node:
    build = _OPERATIONS[layer.attrib["type"]]
    return Node(_id(layer), inputs[_id(layer)], build(_attributes(layer)))


def _convolution(data: Mapping[str, str]) -> Callable[..., Tensor]:
    return partial(_convolve, stride=_numbers(data["strides"]), padding=_padding(data))


def _convolve(
    x: Tensor, weight: Tensor, *, stride: tuple[int, ...], padding: tuple[int, ...]
) -> Tensor:
    groups = x.shape[1] // weight.shape[1]
    return F.conv2d(x, weight, None, stride, padding, groups=groups)


def _average_pool(data: Mapping[str, str]) -> Callable[..., Tensor]:
    kernel, stride = _numbers(data["kernel"]), _numbers(data["strides"])
    return partial(F.avg_pool2d, kernel_size=kernel, stride=stride, padding=_padding(data))


def _padding(data: Mapping[str, str]) -> tuple[int, ...]:
    if data["pads_begin"] != data["pads_end"] or set(data.get("dilations", "1")) - set("1, "):
        raise ValueError("uneven padding and dilation are not known here")
    return _numbers(data["pads_begin"])


def _prelu(x: Tensor, slope: Tensor) -> Tensor:
    return F.prelu(x, slope.flatten())


_OPERATIONS: Mapping[str, Callable[[Mapping[str, str]], Callable[..., Tensor]]] = {
    "Add": lambda _: operator.add,
    "AvgPool": _average_pool,
    "Convert": lambda _: Tensor.float,
    "Convolution": _convolution,
    "GroupConvolution": _convolution,
    "Multiply": lambda _: operator.mul,
    "PReLU": lambda _: _prelu,
    "Sigmoid": lambda _: torch.sigmoid,
}
_STRUCTURE = {"Const", "Parameter", "Result"}
