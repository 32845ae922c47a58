"""How a tracker trains its network; importing this imports no torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from audit.errors import UserError
from cloaker.levels import read_setting

Value = float | int


class Kind(StrEnum):
    """What a tracker trains on, always photos of people outside of the test.

    `fine-tuned`: clean photos, and only the network's last stage. `robust`: photos attacked anew in
    every step by projected gradient descent (Madry et al. 2018; Fawkes, section 5.3). `adaptive`:
    clean photos and the same ones cloaked ("Data poisoning won't save you", FaceCure).
    """

    FINE_TUNED = "fine-tuned"
    ROBUST = "robust"
    ADAPTIVE = "adaptive"


_COMMON: Mapping[str, Value] = {
    "epochs": 10,  # as both papers have
    "patience": 3,  # epochs without a better one
    "batch": 32,
    "learning_rate": 1e-4,
    "last_share": 1.0,  # of all weights, counted from the end, which are trained
    "held_out": 0.2,  # of the people
    "scale": 24.0,  # of the softmax over cosines
    "margin": 0.1,  # CosFace's, on the cosine of the true person
}
_OWN: Mapping[Kind, Mapping[str, Value]] = {
    Kind.FINE_TUNED: {"last_share": 0.5},
    # Fawkes: 100 steps of 0.01 of the range; it tells no bound. Ten reach this one, in a tenth of
    # the time.
    Kind.ROBUST: {"attack_steps": 10, "attack_step_px": 2.55, "attack_reach_px": 8.0},
    Kind.ADAPTIVE: {},
}


@dataclass(frozen=True, slots=True)
class Recipe:
    """A kind of tracker with its resolved parameters; `_px` are levels of 0..255."""

    kind: Kind
    parameters: Mapping[str, Value]
    seed: int

    def whole(self, key: str) -> int:
        """Return a parameter that counts."""
        return int(self.parameters[key])


def resolve(kind: str, settings: Sequence[str], seed: int) -> Recipe:
    """Return a kind's recipe, changed by settings `key=value`.

    Raises UserError for a kind or a setting that there isn't, or one that makes no sense.
    """
    if kind not in list(Kind):
        raise UserError(f"there is no tracker of kind {kind!r}.", expected=f"{', '.join(Kind)}")
    parameters = {**_COMMON, **_OWN[Kind(kind)]}
    for setting in settings:
        key, _, text = setting.partition("=")
        if key not in parameters:
            raise UserError(
                f"a {kind} tracker has no parameter {key!r}.",
                expected=f"one of {', '.join(parameters)}, as key=value",
            )
        like = parameters[key]
        parameters[key] = type(like)(read_setting(key, text, like))
        _check(key, parameters[key])
    return Recipe(Kind(kind), parameters, seed)


def _check(key: str, value: Value) -> None:
    shares = ("last_share", "held_out")
    good = 0 < value <= 1 if key in shares else value >= 0 if key == "margin" else value > 0
    if not good:
        raise UserError(
            f"{key}={value} can't be", expected="0 to 1" if key in shares else "more than 0"
        )
