"""Embedding networks that come as a graph of operations instead of a known architecture."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from cloaker.networks.base import Crop, EmbeddingNetwork


@dataclass(frozen=True, slots=True)
class Node:
    """One operation: `output` = `function` of the values named `inputs`."""

    output: str
    inputs: tuple[str, ...]
    function: Callable[..., Tensor]


class GraphNetwork(EmbeddingNetwork):
    """Runs nodes in the order given, from the value `source` to the value `result`.

    `constants` are the weights by the names that nodes call them. Pixels are normalised to
    (x - `shift`) / `scale`, and their channels reversed where the graph wants `bgr`.
    """

    def __init__(  # noqa: PLR0913 - a graph and its normalisation, all keyword-only
        self,
        name: str,
        crop: Crop,
        *,
        nodes: Sequence[Node],
        constants: Mapping[str, Tensor],
        source: str,
        result: str,
        shift: float = 0.0,
        scale: float = 1.0,
        bgr: bool = False,
    ) -> None:
        super().__init__(name, crop)
        self.nodes = tuple(nodes)
        self.source, self.result = source, result
        self.shift, self.scale, self.bgr = shift, scale, bgr
        self._buffer_names = {key: f"constant_{i}" for i, key in enumerate(constants)}
        for key, buffer_name in self._buffer_names.items():
            self.register_buffer(buffer_name, constants[key])
        self._last_use = {key: i for i, node in enumerate(self.nodes) for key in node.inputs}
        self._check()

    def forward(self, x: Tensor) -> Tensor:
        """Return raw embeddings N x D of pixels in 0..255."""
        x = x.flip(1) if self.bgr else x
        values = {key: self.get_buffer(name) for key, name in self._buffer_names.items()}
        values[self.source] = (x - self.shift) / self.scale
        for i, node in enumerate(self.nodes):
            values[node.output] = node.function(*(values[key] for key in node.inputs))
            for key in {key for key in node.inputs if self._last_use[key] == i}:
                del values[key]  # without this, all activations of a batch stay in memory
        return values[self.result].flatten(1)

    def weight_names(self) -> list[str]:
        """Return the constants that are numbers of a layer, in the order of use."""
        used = dict.fromkeys(key for node in self.nodes for key in node.inputs)
        names = [self._buffer_names[key] for key in used if key in self._buffer_names]
        buffers = {name: self.get_buffer(name) for name in names}
        return [name for name, kept in buffers.items() if kept.is_floating_point() and kept.dim()]

    def _check(self) -> None:
        known = {self.source, *self._buffer_names}
        for node in self.nodes:
            if missing := set(node.inputs) - known:
                raise ValueError(f"the graph uses values that nothing makes: {sorted(missing)}")
            known.add(node.output)
        if self.result not in known or self.result in self._last_use:
            raise ValueError(f"the graph doesn't end in its result {self.result!r}")
