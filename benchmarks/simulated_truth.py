"""Comparisons of runs whose truth is known: intervals that should cover it, and the right claims.

    python benchmarks/simulated_truth.py --repeats 1000

Two runs of a control and one cloaked arm are drawn from known distributions, many times for each
case, and compared as `audit compare` does: nothing changed; the service drifted; the cloak broke;
both; nothing changed and the service hides low scores, so that a third is censored; nothing changed
but for one wild probe. Once of one person with 31 probes, as in the Amsterdam study, once of eight
people with ten, who differ in how much they change.

It prints for each case how often the 95 % intervals hold the true mean change of the control, and
the true difference in differences (bar: 93 to 97 %; with scores censored, of those that both runs
show); how often a change is claimed that there isn't (bar: at most 5 %); and how often exactly the
right changes are claimed.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from reports.compare_changes import changes
from reports.compare_wording import is_told
from reports.compared_run import ComparedRun
from reports.comparison import Comparison
from reports.manifest import Manifest

CLOAKED = "fawkes-0.3-high"
_NOISE = 0.03  # of one answer about one probe
_PROBES_DIFFER = 0.05
_PEOPLE_DIFFER = 0.02  # in how much a change moves them
_HIDDEN_SHARE = 1 / 3


@dataclass(frozen=True, slots=True)
class Case:
    """What truly changed between two runs: the service's own scores, and the cloak beyond that."""

    name: str
    drift: float = 0.0
    broken: float = 0.0
    hides: bool = False
    wild: bool = False


CASES = (
    Case("nothing"),
    Case("service drifted", drift=-0.05),
    Case("cloak broke", broken=0.08),
    Case("both", drift=-0.05, broken=0.08),
    Case("nothing, a third hidden", hides=True),
    Case("nothing, one wild probe", wild=True),
)


def main() -> None:
    """Print a row for each case and number of people."""
    arguments = _arguments()
    columns = (
        "people x probes",
        "case",
        "control covered",
        "beyond covered",
        "false alarms",
        "right",
    )
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
    for people, probes in ((1, 31), (8, 10)):
        for case in CASES:
            draw = np.random.default_rng([people, CASES.index(case)])
            told = pd.DataFrame(
                [_judged(case, draw, people, probes) for _ in range(arguments.repeats)]
            )
            shares = [f"{100 * share:.1f} %" for share in told.mean()]
            print(f"| {people} x {probes} | {case.name} | {' | '.join(shares)} |", flush=True)


def _judged(case: Case, draw: np.random.Generator, people: int, probes: int) -> dict[str, bool]:
    """Draw two runs of a case, compare them, and tell what of it is true."""
    owners = np.repeat([f"person-{i}" for i in range(people)], probes)
    # With one person her own change is what is asked about; with several, that of people at large.
    own = draw.normal(0, _PEOPLE_DIFFER, (2, people)) if people > 1 else np.zeros((2, 1))
    drift, broken = (
        truth + (own[i] if truth else 0 * own[i]).repeat(probes)
        for i, truth in enumerate((case.drift, case.broken))
    )
    tables = list(_observations(case, draw, owners, drift, broken))
    runs = tuple(_run(f"run-{i}", table) for i, table in enumerate(tables))
    table = changes(Comparison(runs)).set_index("arm").to_dict("index")
    control, cloaked = table["control"], table[CLOAKED]
    claims = is_told(control, "change", "p"), is_told(cloaked, "beyond", "beyond_p")
    truths = bool(case.drift), bool(case.broken)
    return {
        "control": control["change_low"] <= case.drift <= control["change_high"],
        "beyond": cloaked["beyond_low"] <= case.broken <= cloaked["beyond_high"],
        "false": any(claim and not truth for claim, truth in zip(claims, truths, strict=True)),
        "right": claims == truths,
    }


def _observations(
    case: Case,
    draw: np.random.Generator,
    owners: np.ndarray,
    drift: np.ndarray,
    broken: np.ndarray,
) -> Iterator[pd.DataFrame]:
    """Yield the answers of the earlier and of the later run."""
    count = len(owners)
    base = {
        "control": draw.normal(0.9, _PROBES_DIFFER, count),
        CLOAKED: draw.normal(0.6, _PROBES_DIFFER, count),
    }
    for later in (0, 1):
        parts = []
        for arm, clean in base.items():
            moved = later * (drift + (broken if arm == CLOAKED else 0 * broken))
            scores = clean + moved + draw.normal(0, _NOISE, count)
            if case.wild and later and arm == CLOAKED:
                scores[0] -= 0.5
            hidden = np.zeros(count, bool)
            if case.hides and arm == CLOAKED:
                hidden = scores < np.quantile(clean, _HIDDEN_SHARE)
            parts.append(
                pd.DataFrame(
                    {
                        "arm": arm,
                        "probe_sha256": [f"{i:064d}" for i in range(count)],
                        "true_person": owners,
                        "outcome": np.where(hidden, "no_match", "match"),
                        "true_score": np.where(hidden, np.nan, scores),
                        "censored": hidden,
                        "threshold": 0.0,
                    }
                )
            )
        yield pd.concat(parts, ignore_index=True)


def _run(name: str, observations: pd.DataFrame) -> ComparedRun:
    arms: list[dict[str, Any]] = [
        {"arm": "control", "game": "poison", "system": "none", "level": "none"},
        {"arm": CLOAKED, "game": "poison", "system": "fawkes-0.3", "level": "high"},
    ]
    manifest = {
        "run_id": name,
        "exit_state": "done",
        "service": {"provider": "azure"},
        "arms": arms,
    }
    return ComparedRun(
        Path(name), Manifest.model_validate(manifest), {}, observations, photos={}, cloaked={}
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=1000)
    return parser.parse_args()


if __name__ == "__main__":
    main()
