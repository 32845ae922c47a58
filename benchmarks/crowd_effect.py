"""What cloaks of other people's photos do on real ones: FoggySight, and sybils beside leaked photos.

    python benchmarks/crowd_effect.py FACES WEIGHTS

One person of LFW and others of it, on recognisers of this machine: with the network that the cloaks
were made on and with another, each by the nearest face and by logistic regression. Three runs for
each, whose summary.csv is printed: FoggySight, where the person's own photos are enrolled clean and
everybody else's are cloaked towards them; and `--system` with some of the person's photos leaked,
without a sybil and with one. Cloaks are made once.
"""

import argparse
import itertools
from pathlib import Path

from real_photos import FILES, audit, run_and_print


def main() -> None:
    """Run the experiments and print their tables."""
    arguments = _arguments()
    for name in (arguments.network, arguments.judge):
        audit("weights", "add", name, str(arguments.weights / FILES[name]))
    leaked = ("--system", arguments.system, "--level", "high", "--leaked", str(arguments.leaked))
    fog = [part for level in arguments.fog_level for part in ("--level", level)]
    runs = {
        "foggysight": ("--system", "foggysight", *fog),
        f"{arguments.leaked} photos leaked": leaked,
        f"{arguments.leaked} photos leaked, a sybil": (*leaked, "--sybils", "1"),
    }
    judges = (arguments.network, arguments.judge)
    for judge, matching in itertools.product(judges, ("nearest", "linear")):
        for number, (title, options) in enumerate(runs.items()):
            run_and_print(
                f"{title}, judged by {judge}, {matching}",
                *(*_experiment(arguments), *options),
                *("--recogniser", judge, "--matching", matching),
                *("--out", f"crowd-{arguments.network}-{judge}-{matching}-{number}"),
            )


def _experiment(arguments: argparse.Namespace) -> list[str]:
    return [
        *("--provider", "local", "--photos", str(arguments.faces / "lfw")),
        *("--person", arguments.person, "--network", arguments.network),
        *("--train", str(arguments.train), "--probes", str(arguments.probes)),
        *("--decoys", str(arguments.decoys), "--decoy-photos", str(arguments.decoy_photos)),
    ]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("faces", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--person", default="George_W_Bush")
    parser.add_argument("--network", default="edgeface_xxs", choices=FILES)
    parser.add_argument("--judge", default="mfn_ms1m_y1", choices=FILES)
    parser.add_argument("--system", default="fawkes-1.0", help="of the person's own photos")
    parser.add_argument("--fog-level", nargs="+", default=["mid", "high"])
    parser.add_argument("--leaked", type=int, default=4)
    parser.add_argument("--train", type=int, default=20)
    parser.add_argument("--probes", type=int, default=60)
    parser.add_argument("--decoys", type=int, default=12)
    parser.add_argument("--decoy-photos", type=int, default=4)
    return parser.parse_args()


if __name__ == "__main__":
    main()
