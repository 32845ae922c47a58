"""The cloaking systems and their levels: one table, one row a system. Imports no torch.

A system's class is named, not imported. `defaults` are all its parameters; each level changes some.
Parameters that many systems have: `budget` = the largest DSSIM (inf: none), `steps` = iterations,
`learning_rate` = the optimiser's, `wobble_px` = how far off the alignment is that the network sees
a step through (standard deviation, in the photo's pixels), `networks_max` = how many of the given
networks it looks through, `legacy` = with the released code's defects.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Literal

from audit.errors import UserError

if TYPE_CHECKING:
    from cloaker.attack import System

Value = float | int | bool | str
Parameters = Mapping[str, Value]

COMMON: Parameters = {
    "budget": math.inf,
    "steps": 0,
    "wobble_px": 0.5,
    "faces": "largest",
    "whole_photo": False,
    "precision": "float32",
}
"""What the frame itself asks of every system; `precision` is what networks multiply in."""

CHOICES: Mapping[str, Sequence[str]] = {
    "faces": ("largest", "all", "reference"),
    "precision": ("float32", "bfloat16"),
}
_SIGNED = ("margin", "kappa")
"""Margins below 0 ask for less than to be misled."""
_SET_ANOTHER = "leave it out, or set one of these"


@dataclass(frozen=True, slots=True)
class Row:
    """A cloaking system: where its class is, its parameters, and what each level changes.

    `photos` are whose it cloaks: the protected person's, those of `others` for her sake, or, for a
    `sybil`, those of one identity made up beside her.
    """

    system: str
    defaults: Parameters
    levels: Mapping[str, Parameters]
    photos: Literal["person", "others", "sybil"] = "person"

    def load(self) -> "type[System]":
        """Import the system's class."""
        module, name = self.system.split(":")
        found: type[System] = getattr(import_module(module), name)
        return found


def _fawkes_03(budget: float, steps: int, learning_rate: float) -> Parameters:
    return {"budget": budget, "steps": steps, "learning_rate": learning_rate}


def _fawkes_10(budget: float, steps: int, learning_rate: float, networks_max: int) -> Parameters:
    return {**_fawkes_03(budget, steps, learning_rate), "networks_max": networks_max}


def _control(system: str) -> Row:
    # At the budgets of Fawkes 0.3: as visible as its cloaks, and optimised for nobody.
    budgets = {"min": 0.002, "low": 0.003, "mid": 0.005, "high": 0.008, "ultra": 0.01}
    levels = {level: {"budget": budget} for level, budget in budgets.items()}
    return Row(f"cloaker.systems.{system}", {"wobble_px": 0.0}, levels)


SYSTEMS: dict[str, Row] = {
    "fawkes-0.3": Row(
        "cloaker.systems.fawkes_03:Fawkes03",
        {"learning_rate": 10.0, "penalty": 1e9, "target_among": 20, "legacy": False},
        {  # Fawkes 0.3.1, protection.py
            "min": _fawkes_03(0.002, 20, 40.0),
            "low": _fawkes_03(0.003, 50, 35.0),
            "mid": _fawkes_03(0.005, 200, 20.0),
            "high": _fawkes_03(0.008, 500, 10.0),
            "ultra": _fawkes_03(0.01, 1000, 8.0),
        },
    ),
    "fawkes-1.0": Row(
        "cloaker.systems.fawkes_10:Fawkes10",
        {"learning_rate": 15.0, "penalty": 1e6, "networks_max": 2, "legacy": False},
        {  # Fawkes 1.0.4, protection.py, but for `min`, which is ours: its own is broken
            "min": _fawkes_10(0.002, 20, 25.0, 1),
            "low": _fawkes_10(0.004, 40, 25.0, 1),
            "mid": _fawkes_10(0.012, 75, 20.0, 2),
            "high": _fawkes_10(0.017, 150, 15.0, 2),
        },
    ),
    "fawkes-paper": Row(
        "cloaker.systems.fawkes_paper:FawkesPaper",
        {
            "steps": 1000,
            "learning_rate": 0.5,  # levels of a mid-grey pixel; tanh units with `legacy`
            "penalty": 1e10,
            "target_among": 20,  # the paper's K, which it doesn't give
            "legacy": False,
        },
        {  # `high` is the paper's (section 5.1); the others, ours, differ in their budget only
            "min": {"budget": 0.002},
            "low": {"budget": 0.003},
            "mid": {"budget": 0.005},
            "high": {"budget": 0.007},
        },
    ),
    "sybil": Row(
        "cloaker.systems.sybil:Sybil",
        {"steps": 1000, "learning_rate": 0.5, "penalty": 1e10, "legacy": False},
        {  # `high` is the Fawkes paper's (section 5.1); the others, ours, have a smaller budget
            "min": {"budget": 0.002},
            "low": {"budget": 0.003},
            "mid": {"budget": 0.005},
            "high": {"budget": 0.007},
        },
        photos="sybil",
    ),
    "foggysight": Row(
        "cloaker.systems.foggysight:FoggySight",
        {  # in prewhitened units (see there), but for `jitter`: a share of the crop's sides
            "wobble_px": 0.0,
            "learning_rate": 0.01,
            "epsilon": 0.5,
            "start": 0.0,
            "noise": 0.75,
            "brightness": 0.5,
            "jitter": 10 / 160,
            "penalty": 1e-6,
        },
        {  # `high` is the release's; the others, ours, are less visible and take fewer steps
            "min": {"epsilon": 0.06, "steps": 250},
            "low": {"epsilon": 0.12, "steps": 500},
            "mid": {"epsilon": 0.25, "steps": 1000},
            "high": {"epsilon": 0.5, "steps": 2000, "start": 3.0},
        },
        photos="others",
    ),
    "ulixes": Row(
        "cloaker.systems.ulixes:Ulixes",
        {
            "wobble_px": 0.0,
            "steps": 150,
            "learning_rate": 0.01,
            "tolerance": 0.01,
            "method": "5-ascent",
            "margin": 1.0,
            "ensemble": "2",
            "budget": 0.035,  # ours: the largest DSSIM that the paper saw with most methods
        },
        {  # four of the ten margins that the paper tries; it names no levels, so those are ours
            "min": {"margin": 0.8},
            "low": {"margin": 1.2},
            "mid": {"margin": 1.4},
            "high": {"margin": 1.6},
        },
    ),
    "faceoff": Row(
        "cloaker.systems.faceoff:FaceOff",
        {  # the release's own (src/attack.py); `kappa` and `initial_const` in another unit: see there
            "attack": "cw-l2",
            "loss": "hinge",
            "kappa": 0.4,
            "kappa_unit": "share",
            "unit_embeddings": False,
            "steps": 100,
            "searches": 5,
            "learning_rate": 0.01,
            "initial_const": 4.0,
            "random_start": 1.0,
            "epsilon": 0.1,
            "amplification": 1.0,
        },
        {  # `ultra` is the release's; the others, ours, are amplified less: `low` to `high` as much
            # as the photos that the paper showed to people (section 7.1)
            "min": {"amplification": 1.0},
            "low": {"amplification": 1.4},
            "mid": {"amplification": 1.8},
            "high": {"amplification": 2.4},
            "ultra": {"amplification": 5.1},
        },
    ),
    "noise-uniform": _control("noise:UniformNoise"),
    "noise-gaussian": _control("noise:GaussianNoise"),
    "blur": _control("blur:Blur"),
    "jpeg": _control("jpeg:Jpeg"),
    "lowkey": Row(
        "cloaker.systems.lowkey:LowKey",
        {
            "learning_rate": 0.0025,  # of the range from black to white, as the noise
            "start_noise": 0.005,
            "lpips_weight": 0.05,
            "preset": "paper",
            "whole_photo": True,
            "wobble_px": 0.0,
        },
        {  # `high` is the release's (attack_dir_warp.py); the others, ours, stop earlier
            "min": {"steps": 8},
            "low": {"steps": 15},
            "mid": {"steps": 30},
            "high": {"steps": 50},
        },
    ),
}


def resolve(system: str, level: str, settings: Sequence[str] = ()) -> dict[str, Value]:
    """Return all parameters of a system at a level, changed by settings `key=value`.

    A setting `system:key=value` is for that system alone. Raises UserError, naming what is known,
    for an unknown system or level, and for a setting that the system does not have or that can't
    be read.
    """
    row = row_of(system)
    if level not in row.levels:
        raise UserError(
            f"unknown level {level!r} of {system}",
            expected=f"one of {', '.join(row.levels)}",
            remedy="name one of these levels",
        )
    parameters = {**COMMON, **row.defaults, **row.levels[level]}
    for setting in settings:
        key, _, text = setting.partition("=")
        whose, colon, own_key = key.partition(":")
        if colon:
            row_of(whose)
            if whose != system:
                continue
            key = own_key
        if key not in parameters:
            raise UserError(
                f"{system} has no parameter {key!r}",
                expected=f"one of {', '.join(parameters)}, as key=value",
                remedy=_SET_ANOTHER,
            )
        parameters[key] = read_setting(key, text, parameters[key])
        _refuse_unknown(key, parameters[key])
        _refuse_too_small(key, parameters[key])
    return parameters


def precision_of(parameters: Parameters) -> Value:
    """Return what networks multiply in; manifests from before there was a choice don't tell."""
    return parameters.get("precision", COMMON["precision"])


def row_of(system: str) -> Row:
    """Return a system's row. Raises UserError for an unknown one."""
    if system not in SYSTEMS:
        raise UserError(
            f"unknown cloaking system {system!r}",
            expected=f"one of {', '.join(SYSTEMS)}",
            remedy="name one of these systems",
        )
    return SYSTEMS[system]


def read_setting(key: str, text: str, like: Value) -> Value:
    """Return a setting's value, of the type of the value that it replaces. Raises UserError.

    Only a budget may be inf.
    """
    kinds = {bool: "true or false", int: "a whole number", float: "a number"}
    try:
        if isinstance(like, bool):
            return {"true": True, "false": False}[text.lower()]
        value = type(like)(text)
        if isinstance(value, str) or math.isfinite(value) or (key, value) == ("budget", math.inf):
            return value
    except (ValueError, KeyError):
        pass
    raise UserError(
        f"{key}={text!r} can't be read",
        expected=f"{key}= with {kinds[type(like)]}",
        remedy=_SET_ANOTHER,
    )


def _refuse_unknown(key: str, value: Value) -> None:
    """Raise UserError for a name that is none of those there are."""
    if key in CHOICES and value not in CHOICES[key]:
        raise UserError(
            f"{key}={value} can't be",
            expected=f"{key}= {', '.join(CHOICES[key])}",
            remedy=_SET_ANOTHER,
        )


def _refuse_too_small(key: str, value: Value) -> None:
    """Raise UserError for a count under 1, and for what is less than nothing."""
    if isinstance(value, str) or key in _SIGNED:
        return
    least = 1 if isinstance(value, int) and not isinstance(value, bool) else 0
    if value < least:
        raise UserError(
            f"{key}={value} can't be",
            expected=f"{key}= with {least} or more",
            remedy=_SET_ANOTHER,
        )
