"""Foreign containers of weights: files written here, read by the loaders, compared with torch."""

import io
import struct
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from cloaker.networks import edgeface, facenet, mobilefacenet, openvino
from cloaker.networks.base import EmbeddingNetwork
from cloaker.networks.checkpoint import read_checkpoint
from cloaker.networks.mxnet_params import read_params

Network = TypeVar("Network", bound=nn.Module)


def randomise(network: Network, seed: int = 0) -> Network:
    """Give every weight and statistic a value of its own, so that a mix-up shows."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for key, tensor in network.state_dict().items():
            if key.endswith("running_var"):
                tensor.uniform_(0.8, 1.2, generator=generator)
            elif tensor.is_floating_point():
                tensor.add_(torch.randn(tensor.shape, generator=generator), alpha=0.05)
    return network.eval()


def pixels(network: EmbeddingNetwork, count: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    size = (count, 3, network.crop.height, network.crop.width)
    return torch.rand(size, generator=generator) * 255


def saved(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


@torch.inference_mode()
def assert_same(a: EmbeddingNetwork, b: EmbeddingNetwork) -> None:
    x = pixels(a)
    torch.testing.assert_close(a.eval()(x), b.eval()(x), rtol=1e-4, atol=1e-5)


class TestCheckpoint:
    def test_of_something_else_is_refused(self) -> None:
        for content, key in (({"a": 1}, None), ({"a": torch.ones(1)}, "net"), ([1], None)):
            with pytest.raises(ValueError, match="no state dict"):
                read_checkpoint(saved(content), key=key)

    def test_no_code_is_run(self) -> None:
        class Trap:
            def __reduce__(self) -> tuple[Any, ...]:
                return (pytest.fail, ("code ran",))

        with pytest.raises(Exception, match="Weights only load failed"):
            read_checkpoint(saved({"a": Trap()}))


class TestMobileFaceNetCheckpoint:
    def foreign(self, network: nn.Module) -> dict[str, Tensor]:
        """Rename the layers as another implementation would, in the same order."""
        return {
            f"arcface.layer{i}.{key.rpartition('.')[2]}": tensor
            for i, (key, tensor) in enumerate(network.state_dict().items())
        }

    def test_layers_are_found_by_their_order(self) -> None:
        network = randomise(mobilefacenet.MobileFaceNet("a"))
        content = saved({"epoch": 3, "net": self.foreign(network)})
        loaded = mobilefacenet.load_checkpoint(mobilefacenet.MobileFaceNet("b"), content, key="net")
        assert_same(network, loaded)

    def test_a_layer_too_few(self) -> None:
        state = self.foreign(mobilefacenet.MobileFaceNet("a"))
        state.popitem()
        with pytest.raises(ValueError, match="332 tensors, not the 333"):
            mobilefacenet.load_checkpoint(mobilefacenet.MobileFaceNet("b"), saved(state))

    def test_another_order(self) -> None:
        state = dict(reversed(self.foreign(mobilefacenet.MobileFaceNet("a")).items()))
        with pytest.raises(ValueError, match="stands where a MobileFaceNet has"):
            mobilefacenet.load_checkpoint(mobilefacenet.MobileFaceNet("b"), saved(state))


def params(tensors: Mapping[str, Tensor], version: int = 0xF993FAC9, dtype: int = 0) -> bytes:
    """Write MXNet's .params container."""
    parts = [struct.pack("<QQQ", 0x112, 0, len(tensors))]
    for tensor in tensors.values():
        rank = tensor.dim()
        parts += [struct.pack(f"<IiI{rank}q", version, 0, rank, *tensor.shape)]
        parts += [struct.pack("<iii", 1, 0, dtype), tensor.numpy().astype("<f4").tobytes()]
    parts.append(struct.pack("<Q", len(tensors)))
    for name in tensors:
        parts += [struct.pack("<Q", len(name.encode())), name.encode()]
    return b"".join(parts)


TENSORS = {"arg:a": torch.arange(6.0).reshape(2, 3), "aux:ü": torch.tensor([7.0])}


class TestMxnetParams:
    def test_reads_names_shapes_and_values(self) -> None:
        read = read_params(params(TENSORS))
        assert list(read) == ["arg:a", "aux:ü"]
        for key, tensor in TENSORS.items():
            assert torch.equal(read[key], tensor)

    @given(cut=st.integers(min_value=0, max_value=100))
    def test_any_truncation_is_refused(self, cut: int) -> None:
        content = params(TENSORS)
        with pytest.raises(ValueError, match="MXNet"):
            read_params(content[: min(cut, len(content) - 1)])

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"\x00" * 24, "begin with 0x112"),
            (params(TENSORS, version=1), "unknown version"),
            (params(TENSORS, dtype=1), "only dense float32"),
            (params(TENSORS) + b"x", "don't end where they should"),
        ],
    )
    def test_anything_else_is_refused(self, content: bytes, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            read_params(content)

    def test_a_whole_network(self) -> None:
        network = randomise(mobilefacenet.MobileFaceNet("a", scale=128.0, eps=1e-3, last_eps=2e-5))
        network.state_dict()["embedding.norm.weight"].fill_(1)
        bias = torch.linspace(-0.1, 0.1, 128)
        loaded = mobilefacenet.load_mxnet("b", params(self.as_mxnet(network, bias)))
        assert_same(network, loaded)

    def as_mxnet(self, network: nn.Module, bias: Tensor) -> dict[str, Tensor]:
        state = network.state_dict()
        kinds = {
            "conv.weight": "arg:{}_conv2d_weight",
            "norm.weight": "arg:{}_batchnorm_gamma",
            "norm.bias": "arg:{}_batchnorm_beta",
            "norm.running_mean": "aux:{}_batchnorm_moving_mean",
            "norm.running_var": "aux:{}_batchnorm_moving_var",
            "activation.weight": "arg:{}_relu_gamma",
        }
        stages = {0: "dconv_23", 5: "dconv_34", 12: "dconv_45"}
        stages |= {1 + i: f"res_3_block{i}" for i in range(4)}
        stages |= {6 + i: f"res_4_block{i}" for i in range(6)}
        stages |= {13 + i: f"res_5_block{i}" for i in range(2)}
        layers = {"stem": "conv_1", "stem_depthwise": "conv_2_dw", "last": "conv_6sep"}
        layers["global_depthwise"] = "conv_6dw7_7"
        for i, stage in stages.items():
            for part, suffix in (("expand", "sep"), ("depthwise", "dw"), ("project", "proj")):
                layers[f"blocks.{i}.{part}"] = f"{stage}_conv_{suffix}"
        tensors = {
            name.format(layer): state[f"{unit}.{kind}"]
            for unit, layer in layers.items()
            for kind, name in kinds.items()
            if f"{unit}.{kind}" in state
        }
        return tensors | {
            "arg:fc1_weight": state["embedding.conv.weight"].flatten(1),
            "arg:pre_fc1_bias": bias,
            "arg:fc1_gamma": torch.full((128,), 5.0),
            "arg:fc1_beta": state["embedding.norm.bias"],
            "aux:fc1_moving_mean": state["embedding.norm.running_mean"] + bias,
            "aux:fc1_moving_var": state["embedding.norm.running_var"],
        }


class TestEdgeFaceCheckpoint:
    def quantised(self, network: edgeface.EdgeFace) -> dict[str, Any]:
        """Pack linear layers as dynamic quantisation does, and round the network alike."""
        state: dict[str, Any] = {f"model.{k}": v for k, v in network.state_dict().items()}
        for name, layer in network.named_modules():
            if isinstance(layer, nn.Linear):
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    weight = torch.quantize_per_tensor(layer.weight, 0.002, 0, torch.qint8)
                del state[f"model.{name}.weight"]
                packed = (weight, state.pop(f"model.{name}.bias"))
                state[f"model.{name}.scale"] = torch.tensor(1.0)
                state[f"model.{name}.zero_point"] = torch.tensor(0)
                state[f"model.{name}._packed_params.dtype"] = torch.qint8
                state[f"model.{name}._packed_params._packed_params"] = packed
                layer.weight.data.copy_(weight.dequantize())
        return state

    def test_packed_layers_become_float(self) -> None:
        network = randomise(edgeface.EdgeFace("a", edgeface.XXS))
        content = saved(self.quantised(network))
        loaded = edgeface.load_quantised(edgeface.EdgeFace("b", edgeface.XXS), content)
        assert_same(network, loaded)

    def test_the_other_size_is_refused(self) -> None:
        content = saved(edgeface.EdgeFace("a", edgeface.XXS).state_dict())
        with pytest.raises(RuntimeError, match="size mismatch"):
            edgeface.load_quantised(edgeface.EdgeFace("b", edgeface.XS), content)


class TestFaceNetCheckpoint:
    def test_the_classifier_is_dropped_and_embeddings_stay_raw(self) -> None:
        from facenet_pytorch import InceptionResnetV1

        reference = randomise(InceptionResnetV1(pretrained=None))
        state = reference.state_dict() | {"logits.weight": torch.ones(3, 512)}
        loaded = facenet.load("b", saved(state)).eval()
        x = pixels(loaded)
        with torch.inference_mode():
            raw = loaded(x)
            expected = reference((x - 127.5) / 128)
        assert (raw.norm(dim=1) - 1).abs().min() > 0.1
        torch.testing.assert_close(F.normalize(raw, dim=1), expected)


def layer(index: int, kind: str, ports: int = 0, **data: object) -> str:
    attributes = " ".join(f'{key}="{value}"' for key, value in data.items())
    inputs = "".join(f'<port id="{port}"/>' for port in range(ports))
    return f'<layer id="{index}" type="{kind}"><data {attributes}/><input>{inputs}</input></layer>'


def intermediate_representation(
    constants: Sequence[NDArray[Any]], operations: Sequence[tuple[str, tuple[int, ...], Any]]
) -> tuple[bytes, bytes]:
    """Write an IR: layer 0 is the input, 1... the constants, then operations in order."""
    layers, edges, binary = [layer(0, "Parameter")], [], b""
    for i, array in enumerate(constants, start=1):
        kind = {"f2": "f16", "f4": "f32"}[array.dtype.str[1:]]
        shape = ", ".join(map(str, array.shape))
        layers.append(layer(i, "Const", element_type=kind, shape=shape, offset=len(binary)))
        binary += array.tobytes()
    for i, (kind, inputs, data) in enumerate(operations, start=len(layers)):
        layers.append(layer(i, kind, len(inputs), **data))
        edges += [
            f'<edge from-layer="{source}" to-layer="{i}" to-port="{port}"/>'
            for port, source in enumerate(inputs)
        ]
    xml = f"<net><layers>{''.join(layers)}</layers><edges>{''.join(edges)}</edges></net>"
    return xml.encode(), binary


EVEN = {"strides": "2, 2", "pads_begin": "1, 1", "pads_end": "1, 1", "dilations": "1, 1"}


class TestOpenVino:
    def test_runs_the_graph(self) -> None:
        random = np.random.default_rng(0)
        kernel = random.normal(size=(4, 3, 3, 3)).astype("<f2")
        depthwise = random.normal(size=(4, 1, 1, 3, 3)).astype("<f4")
        slope, scale = np.array([0.2], "<f2"), np.full((1, 1, 1, 1), 0.01, "<f4")
        xml, binary = intermediate_representation(
            (kernel, depthwise, slope, scale),
            (
                ("Multiply", (0, 4), {}),
                ("Convert", (1,), {}),
                ("Convolution", (5, 6), EVEN),
                ("PReLU", (7, 3), {}),
                ("GroupConvolution", (8, 2), EVEN),
                ("Sigmoid", (9,), {}),
                ("Add", (10, 9), {}),
                (
                    "AvgPool",
                    (11,),
                    EVEN | {"kernel": "32, 32", "pads_begin": "0, 0", "pads_end": "0, 0"},
                ),
                ("Result", (12,), {}),
            ),
        )
        network = openvino.load("net", xml=xml, binary=binary)
        x = pixels(network)
        y = F.conv2d(x.flip(1) * 0.01, torch.from_numpy(kernel).float(), stride=2, padding=1)
        y = F.leaky_relu(y, float(slope[0]))
        y = F.conv2d(y, torch.from_numpy(depthwise)[:, 0], stride=2, padding=1, groups=4)
        expected = (y.sigmoid() + y).mean(dim=(2, 3))
        torch.testing.assert_close(network(x), expected, rtol=1e-4, atol=1e-4)
        assert network.crop.points[2] == pytest.approx((64.03, 81.98), abs=0.01)

    @pytest.mark.parametrize(
        ("operations", "message"),
        [
            ([("Relu", (0,), {}), ("Result", (1,), {})], "unknown OpenVINO operations: Relu"),
            ([("Sigmoid", (7,), {}), ("Result", (1,), {})], "values that nothing makes"),
            (
                [
                    ("AvgPool", (0,), EVEN | {"kernel": "2", "pads_end": "0, 0"}),
                    ("Result", (1,), {}),
                ],
                "uneven",
            ),
        ],
    )
    def test_what_is_not_known_is_refused(
        self, operations: Sequence[tuple[str, tuple[int, ...], Any]], message: str
    ) -> None:
        xml, binary = intermediate_representation((), operations)
        with pytest.raises(ValueError, match=message):
            openvino.load("net", xml=xml, binary=binary)

    def test_short_data_are_refused(self) -> None:
        xml, binary = intermediate_representation(
            (np.ones(4, "<f4"),), [("Add", (0, 1), {}), ("Result", (2,), {})]
        )
        with pytest.raises(ValueError, match="buffer"):
            openvino.load("net", xml=xml, binary=binary[:-1])

    def test_no_xml_is_refused(self) -> None:
        with pytest.raises(ValueError, match="no OpenVINO graph"):
            openvino.load("net", xml=b"{}", binary=b"")
