"""FaceNet's InceptionResnetV1 as ported by facenet-pytorch; the only file that imports it here.

facenet-pytorch is no longer maintained: nothing is downloaded through it, and its weights are
read as tensors only.
"""

from typing import Any

from torch import Tensor, nn

from cloaker.networks.base import Crop, EmbeddingNetwork
from cloaker.networks.checkpoint import read_checkpoint

# Where MTCNN's landmarks lie in its own box (margin 0, stretched to 160 x 160): mean over 400
# photos and their mirror images. A box neither turns nor keeps its proportions, so this crop
# comes near the networks' training crops without being equal to them.
MTCNN_160 = Crop(
    "mtcnn-160",
    ((47.1, 62.2), (118.8, 62.1), (83.0, 94.2), (51.2, 121.1), (114.3, 121.1)),
    160,
    160,
)


class FaceNet(EmbeddingNetwork):
    """InceptionResnetV1; pixels are normalised to (x - 127.5) / 128.

    The embeddings are those before the normalisation to unit length, as Fawkes wants them.
    """

    def __init__(self, name: str) -> None:
        from facenet_pytorch import InceptionResnetV1

        super().__init__(name, MTCNN_160)
        self.network = InceptionResnetV1(pretrained=None)
        # With an idle classifier it returns what it would otherwise normalise.
        self.network.logits = nn.Identity()
        self.network.classify = True

    def forward(self, x: Tensor) -> Tensor:
        """Return raw embeddings N x 512 of pixels in 0..255."""
        embedding: Tensor = self.network((x - 127.5) / 128.0)
        return embedding


def load(name: str, content: bytes) -> FaceNet:
    """Build a network out of the bytes of a facenet-pytorch state dict; its classifier is dropped."""
    state: dict[str, Any] = read_checkpoint(content)
    network = FaceNet(name)
    network.network.load_state_dict(
        {key: value for key, value in state.items() if not key.startswith("logits.")}
    )
    return network
