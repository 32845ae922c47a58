"""From the cosine of two embeddings to a service's score 0..1, by embedding network."""

import json
import math
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from audit.errors import UserError

FALSE_MATCH_RATE = 1e-3
GENUINE_SCORE = 0.95

Cosines = NDArray[np.float32]


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


def fitted(genuine: Cosines, impostor: Cosines) -> Calibration:
    """Return the curve by which one impostor pair in a thousand scores 0.5, the median genuine 0.95.

    Raises UserError when the network can't tell the people of these pairs apart.
    """
    if not len(genuine) or not len(impostor):
        raise UserError(
            f"{len(genuine)} genuine and {len(impostor)} impostor pairs",
            expected="two or more people with two or more usable photos each",
            remedy="name a folder that holds one folder of photos per person",
        )
    middle = float(np.quantile(impostor, 1 - FALSE_MATCH_RATE))
    high = float(np.median(genuine))
    if high <= middle:
        raise UserError(
            f"the median genuine cosine, {high:.3f}, is below the impostors' {middle:.3f}",
            expected="a network that recognises these people",
            remedy="use photos of the kind of people that the network was trained on",
        )
    slope = math.log(GENUINE_SCORE / (1 - GENUINE_SCORE)) / (high - middle)
    return Calibration(round(slope, 4), round(-slope * middle, 4))
