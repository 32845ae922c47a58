"""From the cosine of two embeddings to a service's score 0..1, by embedding network."""

import json
import math
from dataclasses import dataclass
from importlib.resources import files

from audit.errors import UserError


@dataclass(frozen=True, slots=True)
class Calibration:
    """A logistic curve: score = 1 / (1 + exp(-(slope * cosine + offset))); `slope` > 0."""

    slope: float
    offset: float

    def score(self, cosine: float) -> float:
        """Return the score of a cosine, rounded to five decimals as Azure does."""
        return round((1 + math.tanh((self.slope * cosine + self.offset) / 2)) / 2, 5)


def calibration(network: str) -> Calibration:
    """Return a network's measured curve; raises UserError if it was never calibrated."""
    source = files(__package__).joinpath("calibration.json")
    table = json.loads(source.read_text(encoding="utf-8")) if source.is_file() else {}
    if network not in table:
        raise UserError(
            f"The network {network!r} has no calibration, so its scores would mean nothing.",
            expected=f"one of: {', '.join(sorted(table)) or 'none is calibrated yet'}",
            remedy=f"run benchmarks/calibrate.py on {network!r}, or choose another --network",
        )
    return Calibration(slope=table[network]["slope"], offset=table[network]["offset"])
