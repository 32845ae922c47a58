"""What a comparison shows, in sentences that claim no more than its rows."""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from reports.change_points import FALSE_ALARM_RATE, RUNS_MIN
from reports.compare_changes import HIDDEN_ONCE_MAX, TESTS, is_too_hidden
from reports.compare_states import PROTECTED_MIN
from reports.comparison import Comparison
from reports.layout import signed
from reports.paired import SIGNIFICANCE, SIGNS_MIN
from reports.services import not_the_service
from reports.statistics import PEOPLE_MIN
from reports.wording import plural, share_method

_Row = Mapping[Hashable, Any]
_TOLD_MIN = 0.0005  # what three decimals show as something
SHIFTS_NOTE = (
    f"A change point is looked for where there are {RUNS_MIN} runs or more, one for each arm and "
    "measure: the clearest place to divide the runs into two levels. Where nothing ever changes, "
    f"{100 * FALSE_ALARM_RATE:.0f} in 100 such pages show one, however many arms there are "
    "(the runs are put into random orders, and the clearest shift of all arms together counts), if "
    "the runs' errors come in no order."
)


@dataclass(frozen=True, slots=True)
class Sentence:
    """One arm of one service in plain words: what changed, then the numbers that it rests on."""

    is_control: bool
    finding: str
    detail: str

    def __str__(self) -> str:
        return self.finding


def title(comparison: Comparison, studies: Sequence[str]) -> str:
    """Name what stands beside what."""
    services = " and ".join(series.service for series in comparison.series)
    if len(comparison.runs) == 1:
        return f"{services} beside {' and '.join(studies)}"
    dates = sorted({run.date for run in comparison.runs})
    when = f"{dates[0]} to {dates[-1]}" if len(dates) > 1 else dates[0]
    return f"Comparison of {len(comparison.runs)} runs: {services}, {when}"


def subtitle(comparison: Comparison) -> str:
    """Say how many runs of which services and photos stand here."""
    first = comparison.runs[0].manifest.counts
    probes = plural(int(comparison.runs[0].observations["probe_sha256"].nunique()), "probe")
    people = plural(first.decoy_people or 0, "decoy person", "decoy people")
    decoys = f", {people}" if first.decoy_people else ""
    services = plural(len(comparison.series), "service")
    runs = plural(len(comparison.runs), "run")
    return f"{runs} of {services}, {probes}{decoys}."


def state_note(people: int) -> str:
    """Say when an arm is called protected."""
    return (
        "Protected: the service misses the person in most probes, that is the whole 95 % interval "
        f"({share_method(people)}) of the rate lies above {100 * PROTECTED_MIN:.0f} %; not protected: "
        "the whole of it lies below."
    )


def changes_caption(changes: pd.DataFrame, people: int) -> str:
    """Say what the figure of changes shows and what is not in it."""
    hidden = int(changes["hidden"].sum()) if len(changes) else 0
    left_out = (
        f" {plural(hidden, 'pair')} with a hidden score have no place here: services hide low "
        "scores, so the changes of all probes may be larger. Where over "
        f"{100 * HIDDEN_ONCE_MAX:.0f} % of the pairs are hidden in one run only, there is no "
        "interval."
        if hidden
        else ""
    )
    measure = (
        "Change of the paired scores (Hodges and Lehmann's shift over the probes, of one person)"
        if people < 2
        else "Mean change of the paired scores (Student's over people)"
    )
    return f"{measure} with its 95 % interval; n counts the pairs.{left_out}"


def statistics_note(changes: pd.DataFrame, people: int) -> str:
    """Say which tests were made, over what, and what they could have seen."""
    tests = int(changes[[*TESTS]].notna().sum().sum()) if len(changes) else 0
    scores = "the paired changes, and of each probe's change less its change in the control"
    made = (
        f"Scores: Wilcoxon's signed-rank test of {scores}; the change is Hodges and Lehmann's median "
        "shift, its interval what that test leaves: one wild probe hardly moves it, as it moves "
        "means. Recognition: McNemar's exact test over the probes in which a face was found both "
        "times, with Bonett and Price's interval."
        if people < 2
        else f"Scores: Student's test by people of {scores} (from {PEOPLE_MIN} people on). "
        "Recognition: a permutation test that lets each person's net number of probes lost or "
        f"gained have either sign (from {SIGNS_MIN} people on), with Bonett and Price's interval of "
        "an effective number of probes."
    )
    return (
        f"{made} All p values are Holm's over the {plural(tests, 'test')} of this "
        f"page; intervals are not adjusted and go by {units(people)}. A change of scores is claimed "
        f"where p is below {SIGNIFICANCE:g}, the interval excludes 0 and the mean went the same way: of "
        f"all such pages at most {100 * SIGNIFICANCE:g} in 100 claim one that there isn't. The smallest "
        "detectable change is the one that such a page tells in about 80 of 100 cases: no smaller "
        "one is ruled out by a p value that is not small."
    )


def units(people: int) -> str:
    """Name whose spread makes the intervals: people, or the probes of the only one there is."""
    return "probes, of one person" if people < 2 else "people"


def notices(comparison: Comparison) -> tuple[str, ...]:
    """Return what a reader must know before any number."""
    unfinished = [run.id for run in comparison.runs if run.manifest.exit_state != "done"]
    parts = []
    if unfinished:
        parts.append(
            f"Unfinished: {', '.join(unfinished)}. Only the probes answered in both runs are "
            "compared."
        )
    if any(run.manifest.photo_set_generated for run in comparison.runs):
        parts.append(
            "Demonstration: all people are generated. The numbers say how the audit works, nothing "
            "about real faces."
        )
    parts += [not_the_service(run.manifest.service) for run in comparison.runs]
    return tuple(dict.fromkeys(part for part in parts if part))


def sentences(comparison: Comparison, changes: pd.DataFrame) -> tuple[Sentence, ...]:
    """Return one sentence per arm that two runs of one service have, the control first."""
    labels = {
        (series.service, run.id): series.label(run)
        for series in comparison.series
        for run in series.runs
    }
    return tuple(
        Sentence(
            is_control=row["system"] == "none",
            finding=_finding(row, labels),
            detail=_detail(row),
        )
        for row in changes.to_dict("records")
    )


def _finding(row: _Row, labels: Mapping[tuple[str, str], str]) -> str:
    before, after = (labels[row["service"], row[key]] for key in ("before", "after"))
    start = f"Between {before} and {after}"
    if not row["pairs"]:
        return f"{start}, no probe of {row['arm']} has a score in both runs: nothing can be said."
    if row["system"] == "none":
        return f"{start}, {_of_service(row)}."
    return f"{start}, {_of_cloak(row)}."


def _of_service(row: _Row) -> str:
    """Say what the service itself did: its score of clean probes, with nothing cloaked."""
    whose = f"the confidence of {row['service']} in the person with nothing cloaked"
    if why := _why_untold(row, "hidden_once", "pairs", "units"):
        return f"{whose} {_moved(row['change'])} where both runs show it, but {why}"
    if not is_told(row, "change", "p"):
        return f"{whose} did not change by anything that {plural(row['pairs'], 'probe')} can show"
    return f"{whose} {_moved(row['change'])} (on average from {row['mean_before']:.3f} to {row['mean_after']:.3f})"


def _of_cloak(row: _Row) -> str:
    """Say what the cloak did beyond the service's own change."""
    arm, service = row["arm"], row["service"]
    total = f"the confidence of {service} in the person cloaked as {arm} {_moved(row['change'])}"
    if math.isnan(row["beyond"]):
        return f"{total}; the control has no scores to compare it with"
    if why := _why_untold(row, "beyond_hidden_once", "beyond_pairs", "beyond_units"):
        return f"{total} where both runs show it, but {why}"
    if not is_told(row, "beyond", "beyond_p"):
        return f"{total}, and nothing of that can be told from the control's own change"
    side, effect = ("above", "less") if row["beyond"] > 0 else ("below", "more")
    return (
        f"{total}, {abs(row['beyond']):.3f} {side} the control's own change: the cloak protects "
        f"{effect} than before"
    )


def _why_untold(row: _Row, hidden_once: str, pairs: str, units: str) -> str:
    """Say why nothing can be claimed, whatever the scores that are shown did; "" if it can."""
    once, shown, drawn = (int(row[name]) for name in (hidden_once, pairs, units))
    if is_too_hidden(once, shown):
        return (
            f"of {once + shown} probes {once} had a score hidden in one run only: those that are "
            "left don't speak for all, so no change is claimed"
        )
    if row["people"] > 1 and drawn < PEOPLE_MIN:
        return f"{plural(drawn, 'person', 'people')} are too few for a test"
    return ""


def is_told(row: _Row, name: str, p: str) -> bool:
    """Tell whether a change is claimed: only where test, interval and mean all bear it out."""
    ends = row[f"{name}_low"], row[f"{name}_high"], row[f"{name}_mean"]
    return bool(row[p] < SIGNIFICANCE and (min(ends) > 0 or max(ends) < 0))


def _moved(change: float) -> str:
    if abs(change) < _TOLD_MIN:
        return "stayed as it was"
    return f"{'rose' if change > 0 else 'fell'} by {abs(change):.3f}"


def _detail(row: _Row) -> str:
    if not row["pairs"]:
        return ""
    parts = [f"{plural(row['pairs'], 'paired probe')}; change {_interval(row, 'change')}"]
    if row["system"] != "none" and not math.isnan(row["beyond"]):
        parts.append(f"beyond the control {_interval(row, 'beyond', 'beyond_')}")
    if row["detectable"] >= _TOLD_MIN:
        parts.append(f"a change under {row['detectable']:.3f} would often be missed")
    if row["asked"]:
        parts.append(
            f"recognised in {row['identified_before']:.0f}, then in {row['identified_after']:.0f} "
            f"of {plural(row['asked'], 'probe')} with a face in both"
        )
    if row["hidden"]:
        parts.append(f"{plural(row['hidden'], 'pair')} left out because a score was hidden")
    return f"{'; '.join(parts)}."


def _interval(row: _Row, name: str, of: str = "") -> str:
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    if is_too_hidden(row[f"{of}hidden_once"], row[f"{of}pairs"]):
        return f"{signed(row[name])} (no interval: too many pairs are hidden in one run only)"
    if math.isnan(low):
        return f"{signed(row[name])} (too few pairs for an interval)"
    return f"{signed(row[name])} (95 % interval {signed(low)} to {signed(high)})"
