"""Comparisons of runs whose truth is known: intervals that should cover it, and the right claims.

    python benchmarks/simulated_truth.py --repeats 1000 [--people 8] [--cases "service drifted"]

The probes of two runs, of a control and one cloaked arm, are drawn paired from known distributions,
many times for each case, and told of as `audit compare` tells: nothing changed; the service drifted;
the cloak broke; both; a third of the cloaked scores is hidden, where nothing changed and where the
service drifted; a few are hidden; nothing changed but for one wild probe; and, of several people,
every one's scores changed but on average nothing did. Once of one person with 31 probes, as in the
Amsterdam study, once of eight people with ten and of twenty with five, who differ in how much they
change.

Of each case it prints: how often the 95 % intervals hold the true mean change of the control and
the true difference in differences (bar: 93 to 97 %) and, in brackets, how often there is one where
it isn't always; how often a change is claimed that there isn't, with Wilson's 95 % interval of that
rate (bar: at most 5 %); how often the control's and the cloak's sentence are both right; and how
often a mean change of exactly the smallest detectable size, drawn apart, is told (bar: about 80 %).

The family of comparisons is one page: of every arm the change of its scores and that of
recognition, of a cloaked arm also its change beyond the control's. Holm holds the chance of any
false claim on a page at `paired.SIGNIFICANCE`, 3.5 %, and spends all of it where every change but
one is real ("service drifted", "cloak broke"): over people the one that is not is then tested by
Student's test, exact here, so 3.5 % is the true rate and what 1,000 repeats count scatters around
it by 1.2. Over one person's probes the interval is what Wilcoxon's test leaves, which one wild
probe moves by little; a few hidden pairs make a page say that nothing can be claimed ("given").
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from reports.compare_changes import Columns, measures, of_one_page
from reports.compare_wording import sentences
from reports.compared_run import ComparedRun
from reports.comparison import Comparison
from reports.manifest import Manifest
from reports.statistics import wilson

CLOAKED = "fawkes-0.3-high"
_NOISE = 0.03  # of one answer about one probe
_PROBES_DIFFER = 0.05
_PEOPLE_DIFFER = 0.02  # in how much a change moves them
_CLEAN = {"control": 0.9, CLOAKED: 0.6}
_NOTHING = {
    "control": "did not change by|no change is claimed",
    CLOAKED: "nothing of that can|no change is claimed",
}
"""What each arm's sentence says where it claims nothing."""
_TRUTH = {"control": "with nothing cloaked fell", CLOAKED: "protects less than before"}
"""What it says where it claims what truly changed."""

Page = Sequence[Mapping[str, Any]]
"""The rows of a comparison: the control's, then the cloaked arm's."""


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
    arguments = _arguments()
    repeats = arguments.repeats
    columns = ("people x probes", "case", "control covered", "beyond covered", "false alarms", "right", "detectable told")  # fmt: skip
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
    for people, probes in [size for size in SIZES if size[0] in arguments.people]:
        for case in [case for case in CASES if case.name in arguments.cases]:
            if case.people_differ and people == 1:
                continue  # of one person, her own change is what is asked about
            draw = np.random.default_rng([people, CASES.index(case)])
            pages = [_page(_drawn(case, draw, people, probes)) for _ in range(repeats)]
            told = _judged(case, pages)
            if case == CASES[0]:
                told["detectable"] = _detected(case, draw, pages, (people, probes))
            cells = [_share(values.dropna(), repeats) for _, values in told.items()]
            low, high = wilson(int(told["false"].sum()), repeats) or (0.0, 1.0)
            cells[2] += f" ({100 * low:.1f} to {100 * high:.1f})"
            print(f"| {people} x {probes} | {case.name} | {' | '.join(cells)} |", flush=True)


def _share(values: "pd.Series[float]", repeats: int) -> str:
    if values.empty:
        return "none given"
    given = f" ({100 * len(values) / repeats:.0f} % given)" if len(values) < repeats else ""
    return f"{100 * values.mean():.1f} %{given}"


def _judged(case: Case, pages: Sequence[Page]) -> pd.DataFrame:
    """Tell what of each page is true, one row a page; NaN where something isn't given."""
    truths = {"control": bool(case.drift), CLOAKED: bool(case.broken)}
    says = _sentences(pages)
    silent = {arm: says[arm].str.contains(_NOTHING[arm]) for arm in truths}
    claims = {arm: says[arm].str.contains(_TRUTH[arm]) for arm in truths}
    right = [claims[arm] if truth else silent[arm] for arm, truth in truths.items()]
    false = [~silent[arm] for arm, truth in truths.items() if not truth]
    return pd.DataFrame(
        {
            "control": _covered([page[0] for page in pages], "change", case.drift),
            "beyond": _covered([page[1] for page in pages], "beyond", case.broken),
            "false": np.any(false, axis=0) if false else False,
            "right": np.all(right, axis=0),
            "detectable": np.nan,
        }
    )


def _sentences(pages: Sequence[Page]) -> pd.DataFrame:
    """Return each page's findings, a column an arm."""
    table = pd.DataFrame([row for page in pages for row in page])
    findings = [sentence.finding for sentence in sentences(_COMPARISON, table)]
    return pd.DataFrame({"control": findings[::2], CLOAKED: findings[1::2]})


def _covered(rows: Sequence[Mapping[str, Any]], name: str, truth: float) -> Sequence[float]:
    ends = [(row[f"{name}_low"], row[f"{name}_high"]) for row in rows]
    return [np.nan if np.isnan(low) else float(low <= truth <= high) for low, high in ends]


def _detected(
    case: Case, draw: np.random.Generator, pages: Sequence[Page], size: tuple[int, int]
) -> "pd.Series[float]":
    """Tell whether a drift of the size that a page called detectable is told, drawn anew."""
    sizes = [float(control["detectable"]) for control, _ in pages]
    moved = [replace(case, drift=-size) for size in sizes]
    again = [_page(_drawn(each, draw, *size, alike=True)) for each in moved]
    return _sentences(again)["control"].str.contains(_TRUTH["control"]).astype(float)


def _page(arms: Mapping[str, Columns]) -> Page:
    """Return the rows of the table of changes, as `audit compare` makes them of pairs."""
    control, cloaked = arms.values()
    four = {**cloaked, **{f"{name}_control": values for name, values in control.items()}}
    measured = (measures(control, None), measures(cloaked, four))
    return of_one_page(
        [
            {**_NAMES, "arm": name, "system": "none" if name == "control" else "fawkes-0.3", **row}
            for name, row in zip(arms, measured, strict=True)
        ]
    )


def _drawn(
    case: Case, draw: np.random.Generator, people: int, probes: int, *, alike: bool = False
) -> Mapping[str, Columns]:
    """Return each arm's pairs of answers, as `comparison.pairs` does."""
    # With one person her own change is what is asked about; with several, that of people at large.
    spread = 0.0 if people == 1 or alike else _PEOPLE_DIFFER
    drift, broken = (
        truth + draw.normal(0, spread * bool(truth or case.people_differ), people).repeat(probes)
        for truth in (case.drift, case.broken)
    )
    owners = np.arange(people).repeat(probes).astype(str).astype(object)
    return {
        arm: _pairs(case, draw, arm, owners, drift + broken * (arm == CLOAKED)) for arm in _CLEAN
    }


def _pairs(
    case: Case, draw: np.random.Generator, arm: str, owners: np.ndarray, moved: np.ndarray
) -> Columns:
    count = len(owners)
    clean = draw.normal(_CLEAN[arm], _PROBES_DIFFER, count)
    before, after = clean + draw.normal(0, _NOISE, (2, count)) + np.stack([0 * moved, moved])
    if case.wild and arm == CLOAKED:
        after[0] -= 0.5
    spread = np.hypot(_PROBES_DIFFER, _NOISE)
    is_hiding = case.hidden and arm == CLOAKED
    threshold = _CLEAN[arm] + spread * _normal_quantile(case.hidden) if is_hiding else -np.inf
    columns: dict[str, np.ndarray] = {"true_person": owners}
    for when, scores in (("before", before), ("after", after)):
        hidden = scores < threshold
        columns[f"score_{when}"] = np.where(hidden, np.nan, scores)
        columns[f"censored_{when}"] = hidden
        columns[f"identified_{when}"] = (~hidden).astype(float)
    return columns


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
    parser.add_argument("--people", type=int, nargs="+", default=[people for people, _ in SIZES])
    names = [case.name for case in CASES]
    parser.add_argument("--cases", nargs="+", choices=names, default=names)
    return parser.parse_args()


if __name__ == "__main__":
    main()
