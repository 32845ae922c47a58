"""Comparisons of runs whose truth is known: intervals that should cover it, and the right claims.

    python benchmarks/simulated_truth.py --repeats 1000

The probes of two runs, of a control and one cloaked arm, are drawn paired from known distributions,
many times for each case, and told of as `audit compare` tells: nothing changed; the service drifted;
the cloak broke; both; a third of the cloaked scores is hidden, where nothing changed and where the
service drifted; a few are hidden; nothing changed but for one wild probe; and, of several people,
every one's scores changed but on average nothing did. Once of one person with 31 probes, as in the
Amsterdam study, once of eight people with ten and of twenty with five, who differ in how much they
change.

Of each case it prints: how often the 95 % intervals hold the true mean change of the control and
the true difference in differences (bar: 93 to 97 %) and, in brackets, how often there is one where
it isn't always; how often a change is claimed that there isn't (bar: at most 5 %); how often the
control's and the cloak's sentence are both right; and how often a mean change of exactly the
smallest detectable size, drawn apart, is told (bar: about 80 %).
"""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from reports.compare_changes import measures, tabulated
from reports.compare_wording import sentences
from reports.compared_run import ComparedRun
from reports.comparison import Comparison
from reports.manifest import Manifest

CLOAKED = "fawkes-0.3-high"
_NOISE = 0.03  # of one answer about one probe
_PROBES_DIFFER = 0.05
_PEOPLE_DIFFER = 0.02  # in how much a change moves them
_CLEAN = {"control": 0.9, CLOAKED: 0.6}
_WORDS = {
    "control": (("did not change by", "no change is claimed"), "with nothing cloaked fell"),
    CLOAKED: (("nothing of that can", "no change is claimed"), "protects less than before"),
}
"""Of each arm's sentence: what it says where it claims nothing, and where it claims the truth."""


@dataclass(frozen=True, slots=True)
class Case:
    """What truly changed between two runs: the service's own scores, and the cloak beyond that."""

    name: str
    drift: float = 0.0
    broken: float = 0.0
    hidden: float = 0.0
    wild: bool = False
    people_differ: bool = False


CASES = (
    Case("nothing"),
    Case("service drifted", drift=-0.05),
    Case("cloak broke", broken=0.08),
    Case("both", drift=-0.05, broken=0.08),
    Case("nothing, 1 % hidden", hidden=0.01),
    Case("both, 1 % hidden", drift=-0.05, broken=0.08, hidden=0.01),
    Case("nothing, a third hidden", hidden=1 / 3),
    Case("drifted, a third hidden", drift=-0.05, hidden=1 / 3),
    Case("nothing, one wild probe", wild=True),
    Case("people differ, nothing on average", people_differ=True),
)
SIZES = ((1, 31), (8, 10), (20, 5))


def main() -> None:
    """Print a row for each case and number of people."""
    repeats = _arguments().repeats
    columns = ("people x probes", "case", "control covered", "beyond covered", "false alarms", "right", "detectable told")  # fmt: skip
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
    for people, probes in SIZES:
        for case in CASES:
            if case.people_differ and people == 1:
                continue  # of one person, her own change is what is asked about
            draw = np.random.default_rng([people, CASES.index(case)])
            told = pd.DataFrame([_judged(case, draw, people, probes) for _ in range(repeats)])
            cells = [_share(told[name].dropna(), repeats) for name in told]
            print(f"| {people} x {probes} | {case.name} | {' | '.join(cells)} |", flush=True)


def _share(values: "pd.Series[float]", repeats: int) -> str:
    if values.empty:
        return "none given"
    given = f" ({100 * len(values) / repeats:.0f} % given)" if len(values) < repeats else ""
    return f"{100 * values.mean():.1f} %{given}"


def _judged(case: Case, draw: np.random.Generator, people: int, probes: int) -> dict[str, float]:
    """Draw two runs of a case, compare them, and tell what of it is true; NaN where not given."""
    table = _compared(_drawn(case, draw, people, probes))
    truths = bool(case.drift), bool(case.broken)
    findings = [sentence.finding for sentence in sentences(_COMPARISON, table)]
    claims = [_WORDS[arm][1] in finding for arm, finding in zip(_CLEAN, findings, strict=True)]
    silent = [
        any(words in finding for words in _WORDS[arm][0])
        for arm, finding in zip(_CLEAN, findings, strict=True)
    ]
    return {
        "control": _covered(table, 0, "change", case.drift),
        "beyond": _covered(table, 1, "beyond", case.broken),
        "false": any(
            not truth and not says_nothing
            for truth, says_nothing in zip(truths, silent, strict=True)
        ),
        "right": all(
            claim if truth else says_nothing
            for truth, claim, says_nothing in zip(truths, claims, silent, strict=True)
        ),
        "detectable": _detected(case, draw, float(table["detectable"].iloc[0]), (people, probes)),
    }


def _covered(table: pd.DataFrame, row: int, name: str, truth: float) -> float:
    low, high = (table[f"{name}_{end}"].iloc[row] for end in ("low", "high"))
    return np.nan if np.isnan(low) else float(low <= truth <= high)


def _detected(
    case: Case, draw: np.random.Generator, detectable: float, size: tuple[int, int]
) -> float:
    """Tell whether a drift of the size that was called detectable is told, in runs drawn anew."""
    if case != CASES[0]:
        return np.nan
    moved = replace(case, drift=-detectable)
    table = _compared(_drawn(moved, draw, *size, alike=True))
    return float(_WORDS["control"][1] in sentences(_COMPARISON, table)[0].finding)


def _compared(arms: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the table of changes, as `audit compare` makes it of pairs."""
    control, cloaked = arms.values()
    beside = control.drop(columns="true_person").add_suffix("_control")
    four = pd.concat([cloaked, beside], axis=1)
    measured = (measures(control, None), measures(cloaked, four))
    return tabulated(
        {**_NAMES, "arm": name, "system": "none" if name == "control" else "fawkes-0.3", **row}
        for name, row in zip(arms, measured, strict=True)
    )


def _drawn(
    case: Case, draw: np.random.Generator, people: int, probes: int, *, alike: bool = False
) -> Mapping[str, pd.DataFrame]:
    """Return each arm's pairs of answers, as `comparison.pairs` does."""
    # With one person her own change is what is asked about; with several, that of people at large.
    spread = 0.0 if people == 1 or alike else _PEOPLE_DIFFER
    drift, broken = (
        truth + draw.normal(0, spread * bool(truth or case.people_differ), people).repeat(probes)
        for truth in (case.drift, case.broken)
    )
    owners = pd.Series(np.arange(people).repeat(probes).astype(str), dtype=object)
    return {
        arm: _pairs(case, draw, arm, owners, drift + broken * (arm == CLOAKED)) for arm in _CLEAN
    }


def _pairs(
    case: Case, draw: np.random.Generator, arm: str, owners: "pd.Series[str]", moved: np.ndarray
) -> pd.DataFrame:
    count = len(owners)
    clean = draw.normal(_CLEAN[arm], _PROBES_DIFFER, count)
    before, after = clean + draw.normal(0, _NOISE, (2, count)) + np.stack([0 * moved, moved])
    if case.wild and arm == CLOAKED:
        after[0] -= 0.5
    spread = np.hypot(_PROBES_DIFFER, _NOISE)
    is_hiding = case.hidden and arm == CLOAKED
    threshold = _CLEAN[arm] + spread * _normal_quantile(case.hidden) if is_hiding else -np.inf
    frame: dict[str, Any] = {"true_person": owners}
    for when, scores in (("before", before), ("after", after)):
        hidden = scores < threshold
        frame[f"score_{when}"] = np.where(hidden, np.nan, scores)
        frame[f"censored_{when}"] = hidden
        frame[f"identified_{when}"] = (~hidden).astype(float)
    return pd.DataFrame(frame)


def _normal_quantile(share: float) -> float:
    from scipy.stats import norm

    return float(norm.ppf(share))


def _run(name: str) -> ComparedRun:
    manifest = {
        "run_id": name,
        "exit_state": "done",
        "service": {"provider": "azure"},
        "arms": [{"arm": "control", "game": "poison", "system": "none", "level": "none"}],
    }
    nothing = pd.DataFrame({"true_person": []})
    return ComparedRun(
        Path(name), Manifest.model_validate(manifest), {}, nothing, photos={}, cloaked={}
    )


_COMPARISON = Comparison((_run("first"), _run("second")))
_NAMES = {"service": _COMPARISON.series[0].service, "level": "high", "before": "first", "after": "second"}  # fmt: skip


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=1000)
    return parser.parse_args()


if __name__ == "__main__":
    main()
