"""How often a change point is told that there isn't, and one that there is, by runs and series.

    python benchmarks/simulated_change_points.py --repeats 1000

Pages are drawn of so many series (an arm's mean score, an arm's rate) over so many runs of one
service, whose values come in no order; then one series moves by so many standard deviations of its
values half-way. Printed is the share of pages with any change point where nothing moved (bar: at
most 5 %), and the share in which the one that moved was told, with its place.
"""

import argparse

import numpy as np

from reports import change_points
from reports.change_points import FALSE_ALARM_RATE

RUNS, SERIES, MOVED = (8, 10, 12), (1, 3, 6, 11), (3, 5, 8)
_PERMUTATIONS = 999  # the test keeps its rate with any number


def main() -> None:
    """Print a row for each number of runs and series."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=1000)
    repeats = parser.parse_args().repeats
    change_points._PERMUTATIONS = _PERMUTATIONS  # noqa: SLF001 - fewer, as many are tested
    columns = ("runs", "series", "false alarms", *(f"{moved} sd told" for moved in MOVED))
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
    draw = np.random.default_rng(1)
    for runs in RUNS:
        for series in SERIES:
            alarms = np.mean([_is_told(draw, runs, series, 0) for _ in range(repeats)])
            told = [
                np.mean([_is_told(draw, runs, series, moved) for _ in range(repeats)])
                for moved in MOVED
            ]
            cells = [f"{100 * share:.1f} %" for share in (alarms, *told)]
            print(f"| {runs} | {series} | {' | '.join(cells)} |", flush=True)


def _is_told(draw: np.random.Generator, runs: int, series: int, moved: float) -> bool:
    """Tell whether a page has any change point or, where one series moved, that one's."""
    values = draw.normal(size=(series, runs))
    values[0, runs // 2 :] += moved
    found = change_points.change_points([values])[0]
    places = [point.place if point and point.p <= FALSE_ALARM_RATE else None for point in found]
    return places[0] == runs // 2 if moved else any(places)


if __name__ == "__main__":
    main()
