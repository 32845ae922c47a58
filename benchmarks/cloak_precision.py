"""Whether cloaking should run its networks in bfloat16, or through torch's compiler.

    OMP_NUM_THREADS=1 python benchmarks/cloak_precision.py FACES WEIGHTS --network edgeface_xxs

First the networks alone, at batch 16: milliseconds of the processor for a photo's way there and
back, beside float32 as cloaking runs it, and the smallest cosine between both's embeddings. The
compiler's own time is told apart (`--compile`); where it can't work, why. `--drawn` adds FaceNet
with weights drawn at random, which take as long as real ones. Then what cloaks made in float32 and
in bfloat16 (`--set precision=bfloat16`) do, as `cloak_effect.py` measures it: every judge is in
float32, and so are SSIM, tanh space and the optimiser.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from cloak_effect import Bench, gather
from real_photos import FILES, audit
from torch import Tensor, nn

from cloaker.levels import CHOICES
from cloaker.networks import bundled, facenet, registry
from cloaker.networks.base import EmbeddingNetwork
from cloaker.networks.lowered import as_run

BATCH = 16


def main() -> None:
    """Print the two tables."""
    arguments = _arguments()
    torch.set_num_threads(1)
    for name in {*arguments.network, *arguments.judge} - {*bundled.NAMES}:
        audit("weights", "add", name, str(arguments.weights / FILES[name]))
    print(
        "| network | variant | ms/photo | of float32's speed | least cosine |\n|---|---|---|---|---|"
    )
    for name in arguments.network:
        _speeds(registry.load(name), arguments)
    if arguments.drawn:
        torch.manual_seed(0)
        drawn = facenet.FaceNet("facenet, drawn").eval().requires_grad_(requires_grad=False)
        _speeds(drawn, arguments)
    if arguments.people:
        _effects(arguments)


def _speeds(network: EmbeddingNetwork, arguments: argparse.Namespace) -> None:
    crop = network.crop
    pixels = (255 * torch.rand(BATCH, 3, crop.height, crop.width)).requires_grad_()
    variants: dict[str, Callable[[Tensor], Tensor]] = {
        precision: as_run(network, precision) for precision in CHOICES["precision"]
    }
    plain = variants["float32"]
    if arguments.compile:
        compiled = torch.compile(plain)
        variants |= {"compiled": compiled} if _compiles(compiled, pixels) else {}
    taken: dict[str, list[float]] = {variant: [] for variant in variants}
    for _ in range(arguments.repeats + 1):  # by turns; the first one also loads kernels
        for variant, look in variants.items():
            taken[variant].append(_processor_s(look, pixels))
    with torch.no_grad():
        shown = plain(pixels)
        for variant, look in variants.items():
            least = nn.functional.cosine_similarity(shown, look(pixels), dim=1).min()
            ms, of = (1e3 * min(taken[one][1:]) / BATCH for one in (variant, "float32"))
            print(
                f"| {network.name} | {variant} | {ms:.2f} | {of / ms:.2f} | {least:.5f} |",
                flush=True,
            )


def _compiles(look: Callable[[Tensor], Tensor], pixels: Tensor) -> bool:
    started = time.process_time()
    try:
        _processor_s(look, pixels)
    except Exception as error:  # noqa: BLE001 - whatever keeps the compiler from working is told
        print(f"| | compiled | can't: {str(error).splitlines()[0]} | | |")
        return False
    print(f"| | compiled | {time.process_time() - started:.0f} s to compile | | |", flush=True)
    return True


def _processor_s(look: Callable[[Tensor], Tensor], pixels: Tensor) -> float:
    start = time.process_time()
    torch.autograd.grad(look(pixels).square().sum(), pixels)
    return time.process_time() - start


def _effects(arguments: argparse.Namespace) -> None:
    people = gather(arguments)
    for name in [one for one in arguments.network if one not in bundled.NAMES]:
        network = registry.load(name)
        judges = [network, *map(registry.load, arguments.judge)]
        for precision in CHOICES["precision"]:
            print(f"\ncloaked on {name} in {precision}")
            settings = [*arguments.set, f"precision={precision}"]
            with tempfile.TemporaryDirectory() as folder:
                bench = Bench(Path(folder), people, network, judges)
                for system in arguments.system:
                    bench.cloak(system, arguments.level, settings)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("faces", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--folder", default="lfw", choices=["lfw", "imm"])
    parser.add_argument("--network", nargs="+", default=["edgeface_xxs"])
    parser.add_argument("--judge", nargs="*", default=["mfn_casia_b"], choices=FILES)
    parser.add_argument("--system", nargs="+", default=["fawkes-0.3"])
    parser.add_argument("--level", default="high")
    parser.add_argument("--set", nargs="*", default=[])
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--drawn", action="store_true")
    parser.add_argument("--repeats", type=int, default=8)
    parser.add_argument("--people", type=int, default=3, help="0: the networks' speed only")
    parser.add_argument("--photos", type=int, default=10)
    parser.add_argument("--targets", type=int, default=20)
    parser.add_argument("--decoys", type=int, default=60)
    return parser.parse_args()


if __name__ == "__main__":
    main()
