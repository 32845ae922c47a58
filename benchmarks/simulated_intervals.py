"""How well intervals and tests by people hold, beside those that take probes as independent.

    python benchmarks/simulated_intervals.py --repeats 1000

Five tables, in per cent, each pair of numbers the report's own method, then the naive one:
how often the interval of a share covers it (by people / Wilson's over all probes); that of a change
of a share (by people / Bonett and Price's over all probes); that of a median (by people / bootstrap
over all probes); how often a change is told where every person changed but on average nothing did
(by people / Wilcoxon's and McNemar's over all probes); and how often the interval of a difference
in differences covers it where scores are hidden (with the limit of what may be hidden in one run
only, and in brackets how often there is one / of all pairs that are left).
"""

import argparse
import itertools
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from scipy import stats

from reports import paired
from reports.compare_changes import is_too_hidden
from reports.statistics import (
    Interval,
    median_interval,
    share_interval,
)
from reports.units import units

SIZES = ((4, 10), (8, 10), (20, 5), (20, 20))
ALIKE = (0.01, 0.2, 0.5, 0.99)
"""The correlation of two probes of one person."""

_NOISE, _PROBES_DIFFER, _PEOPLE_DIFFER = 0.03, 0.05, 0.02  # as in simulated_truth.py


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=1000)
    repeats = parser.parse_args().repeats
    draw = np.random.default_rng(1)
    shares, sides = (0.02, 0.1, 0.5), ((0.05, 0.05), (0.2, 0.0), (0.6, 0.1))
    tables: Sequence[tuple[str, Sequence[float], Sequence[object], Callable[..., str]]] = (
        ("share of", ALIKE, shares, _share),
        ("lost and gained of", ALIKE, sides, _changed_share),
        ("people's deviation, of probes'", (0.1, 0.5, 2.0), ("normal", "exponential"), _median),
        ("test of", (0.2, 0.5), ("scores", "recognition"), _alarms),
        ("hidden share", (0.0, -0.02, -0.05, -0.1), (0.01, 0.05, 0.33), _hidden),
    )
    for name, rows, columns, measure in tables:
        print(f"\n| people x probes | | {' | '.join(f'{name} {each}' for each in columns)} |")
        print("|---" * (len(columns) + 2) + "|")
        sizes = ((1, 31), *SIZES[1:]) if measure is _hidden else SIZES
        for (people, probes), row in itertools.product(sizes, rows):
            cells = [measure(draw, repeats, people, probes, row, column) for column in columns]
            print(f"| {people} x {probes} | {row} | {' | '.join(cells)} |", flush=True)


def _share(
    draw: np.random.Generator, repeats: int, people: int, probes: int, alike: float, share: float
) -> str:
    pull = (1 - alike) / alike
    own = draw.beta(share * pull, (1 - share) * pull, (repeats, people))
    hits, asked = draw.binomial(probes, own).astype(float), np.full(people, float(probes))
    total = hits.sum(axis=1, keepdims=True)
    by_people = [share_interval(each, asked) for each in hits]
    pooled = [share_interval(each, asked.sum(keepdims=True)) for each in total]
    return f"{_covered(by_people, share)} / {_covered(pooled, share)}"


def _changed_share(
    draw: np.random.Generator,
    repeats: int,
    people: int,
    probes: int,
    alike: float,
    sides: tuple[float, float],
) -> str:
    pull = np.array([*sides, 1 - sum(sides)]) * (1 - alike) / alike
    own = draw.gamma(np.broadcast_to(pull, (repeats, people, 3))).clip(1e-300)
    drawn = draw.multinomial(probes, own / own.sum(axis=2, keepdims=True)).astype(float)
    asked = np.full(people, float(probes))
    by_people = [paired.share_change(each[:, 0], each[:, 1], asked) for each in drawn]
    pooled = [
        paired.share_change(each[:1], each[1:2], asked.sum(keepdims=True))
        for each in drawn.sum(axis=1)
    ]
    truth = sides[1] - sides[0]
    return f"{_covered(by_people, truth)} / {_covered(pooled, truth)}"


def _median(
    draw: np.random.Generator, repeats: int, people: int, probes: int, differ: float, kind: str
) -> str:
    moved = draw.normal if kind == "normal" else draw.exponential
    large = differ * moved(size=1_000_000) + draw.normal(size=1_000_000)
    values = differ * moved(size=(repeats, people, 1)) + draw.normal(size=(repeats, people, probes))
    owners = _owners(people, probes)
    nobody = pd.Series("", index=owners.index)
    told = [pd.Series(each.ravel()) for each in values]
    by_people = [median_interval(each, owners) for each in told]
    pooled = [median_interval(each, nobody) for each in told]
    truth = float(np.median(large))
    return f"{_covered(by_people, truth)} / {_covered(pooled, truth)}"


def _alarms(
    draw: np.random.Generator, repeats: int, people: int, probes: int, differ: float, of: str
) -> str:
    """Every person changes, half of them for the better; `differ` is how much."""
    pairs = [_alarm(draw, people, probes, differ, of) for _ in range(repeats)]
    by_people, pooled = (
        np.mean([p < paired.SIGNIFICANCE for p in each]) for each in zip(*pairs, strict=True)
    )
    return f"{100 * by_people:.0f} / {100 * pooled:.0f}"


def _alarm(
    draw: np.random.Generator, people: int, probes: int, differ: float, of: str
) -> tuple[float, float]:
    if of == "scores":
        own = draw.normal(0, differ * _NOISE * 2**0.5, (people, 1))
        changes = (own + draw.normal(0, _NOISE * 2**0.5, (people, probes))).ravel()
        by_people = paired.score_test(units(changes, _owners(people, probes)))
        return by_people, paired.wilcoxon(changes)
    pull = np.array([0.2, 0.2, 0.6]) * (1 - differ) / differ
    shares = draw.gamma(np.broadcast_to(pull, (people, 3))).clip(1e-300)
    lost, gained, _ = draw.multinomial(probes, shares / shares.sum(axis=1, keepdims=True)).T
    by_people = paired.recognition_test(lost.astype(float), gained.astype(float))
    return by_people, paired.mcnemar(int(lost.sum()), int(gained.sum()))


def _hidden(
    draw: np.random.Generator, repeats: int, people: int, probes: int, drift: float, share: float
) -> str:
    """Nothing changed beyond a drift of both arms; the service hides low scores of the cloaked."""
    limited: list[Interval | None] = []
    left: list[Interval | None] = []
    owners = _owners(people, probes)
    for _ in range(repeats):
        clean = draw.normal(0, _PROBES_DIFFER, people * probes)
        differ = _PEOPLE_DIFFER * bool(drift and people > 1)
        moved = drift + draw.normal(0, differ, people).repeat(probes)
        before, after, *control = draw.normal(0, _NOISE, (4, people * probes))
        before, after = clean + before, clean + moved + after
        threshold = np.hypot(_PROBES_DIFFER, _NOISE) * stats.norm.ppf(share)
        hidden = before < threshold, after < threshold
        beyond = after - before - (control[1] - control[0] + moved)
        sample = units(np.where(hidden[0] | hidden[1], np.nan, beyond), owners)
        once = float((hidden[0] ^ hidden[1]).sum())
        _, low, high = paired.typical_change(sample)
        left.append(None if np.isnan(low) else Interval(low, high))
        limited.append(None if is_too_hidden(once, sample.counts.sum()) else left[-1])
    shown = np.mean([each is not None for each in limited])
    return f"{_covered(limited, 0)} ({100 * shown:.0f}) / {_covered(left, 0)}"


def _covered(intervals: Sequence[Interval | None], truth: float) -> str:
    told = [each.low <= truth <= each.high for each in intervals if each]
    return f"{100 * np.mean(told):.0f}" if told else "none"


def _owners(people: int, probes: int) -> "pd.Series[str]":
    return pd.Series(np.arange(people).repeat(probes).astype(str), dtype=object)


if __name__ == "__main__":
    main()
