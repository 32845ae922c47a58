"""The levels of each cloaking system: one table, one row a level.

A row's numbers: `budget` = the largest DSSIM, `steps` = iterations, `learning_rate` = the
optimiser's, `penalty` = the weight of a squared excess over the budget, `wobble_px` = how far off
the alignment is that the network sees a step through (standard deviation, in the photo's pixels).
"""

from collections.abc import Mapping

from audit.errors import UserError

Parameters = dict[str, float | int]


def _fawkes(budget: float, steps: int, learning_rate: float) -> Parameters:
    return {
        "budget": budget,
        "steps": steps,
        "learning_rate": learning_rate,
        "penalty": 1e9,
        "wobble_px": 0.5,
    }


LEVELS: Mapping[str, Mapping[str, Parameters]] = {
    # Fawkes 0.3.1, protection.py
    "fawkes-0.3": {
        "min": _fawkes(0.002, 20, 40),
        "low": _fawkes(0.003, 50, 35),
        "mid": _fawkes(0.005, 200, 20),
        "high": _fawkes(0.008, 500, 10),
    },
}


def resolve(system: str, level: str) -> Parameters:
    """Return a level's numbers. Raises UserError, naming what is known, for an unknown one."""
    if system not in LEVELS:
        raise UserError(
            f"unknown cloaking system {system!r}",
            expected=f"one of {', '.join(LEVELS)}",
            remedy="name one of these systems",
        )
    levels = LEVELS[system]
    if level not in levels:
        raise UserError(
            f"unknown level {level!r} of {system}",
            expected=f"one of {', '.join(levels)}",
            remedy="name one of these levels",
        )
    return dict(levels[level])
