"""The main job on real photos: one person of LFW, cloaked on one network, judged by two.

    python benchmarks/real_photos.py FACES WEIGHTS

FACES holds lfw/ and imm/, one folder per person; WEIGHTS holds the networks' files. Both are read
in place. Four runs: another network behind the emulator than the one that cloaked (black box), and
the same on both sides (white box), each with an emulator that goes by a person's nearest face and
with one that goes by the centroid. All but the first find the cloaks in the cache. Prints each
run's summary.csv.
"""

import argparse
import csv
import itertools
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FILES = {
    "edgeface_xs": "edgeface_xs_q.pt",
    "edgeface_xxs": "edgeface_xxs_q.pt",
    "mfn_casia_a": "mfn_casia_a.ckpt",
    "mfn_casia_b": "mfn_casia_b.pth",
    "mfn_ms1m_y1": "mfn_ms1m_y1.params",
    "mbf_s8": "mbf_s8.espdl",
    "mfn_s8": "mfn_s8.espdl",
    "retail0095": "retail0095.xml",
}


def main() -> None:
    """Run the experiments and print their tables."""
    arguments = parse()
    with tempfile.TemporaryDirectory() as folder:
        photos = gather(arguments, Path(folder))
        for name in {arguments.network, arguments.judge}:
            audit("weights", "add", name, str(arguments.weights / FILES[name]))
        judges = (arguments.judge, arguments.network)
        for judge, matching in itertools.product(judges, ("nearest", "centroid")):
            run_and_print(
                f"cloaked on {arguments.network}, judged by {judge}, {matching}",
                *("--provider", "azure", "--emulate", "--photos", str(photos)),
                *("--person", arguments.person, "--train", "70", "--probes", "31"),
                *("--level", "min", "--level", "mid", "--level", "high"),
                *("--network", arguments.network, "--recogniser", judge),
                *("--matching", matching),
                *("--out", f"real-{arguments.network}-{judge}-{matching}"),
            )


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("faces", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--person", default="George_W_Bush")
    parser.add_argument("--network", default="mfn_ms1m_y1", choices=FILES)
    parser.add_argument("--judge", default="edgeface_xs", choices=FILES)
    parser.add_argument("--lfw-decoys", type=int, default=45)
    return parser.parse_args()


def gather(arguments: argparse.Namespace, folder: Path) -> Path:
    """Return a folder of links: the person, everyone of imm/, and the first others of lfw/."""
    lfw = sorted(path for path in (arguments.faces / "lfw").iterdir() if path.is_dir())
    others = [path for path in lfw if path.name != arguments.person][: arguments.lfw_decoys]
    imm = [path for path in (arguments.faces / "imm").iterdir() if path.is_dir()]
    for path in (arguments.faces / "lfw" / arguments.person, *others, *imm):
        (folder / path.name).symlink_to(path.resolve())
    return folder


def audit(*arguments: str) -> str:
    """Run the command line; its progress goes to this terminal."""
    command = [sys.executable, "-m", "audit", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def run_and_print(title: str, *options: str) -> None:
    """Make a run; print how long it took, and its summary.csv."""
    started = time.perf_counter()
    run = audit("run", *options)
    print(f"\n{title}: {time.perf_counter() - started:.0f} s")
    _print_summary(Path(run.splitlines()[-1]))


def _print_summary(run: Path) -> None:
    """Print summary.csv as a Markdown table."""
    with (run / "report" / "tables" / "summary.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    for number, row in enumerate(rows):
        print("| " + " | ".join(row) + " |")
        if number == 0:
            print("|" + " --- |" * len(row))


if __name__ == "__main__":
    main()
