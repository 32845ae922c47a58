"""The services' capabilities as data: one TOML file each, readable without any SDK."""

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any

from providers.base import Capabilities, Rate, Tier


@cache
def load(service: str) -> Capabilities:
    """Return what `<service>.toml` says; raises FileNotFoundError if there is none."""
    text = files(__package__).joinpath(f"{service}.toml").read_text(encoding="utf-8")
    table = tomllib.loads(text)
    return Capabilities(
        **table
        | {
            "tiers": {name: _tier(name, row) for name, row in table["tiers"].items()},
            "unpriced_operations": frozenset(table["unpriced_operations"]),
            "image_formats": tuple(table["image_formats"]),
            "score_scale": tuple(table["score_scale"]),
        }
    )


def _tier(name: str, row: dict[str, Any]) -> Tier:
    rates = tuple(Rate(**rate) for rate in row["rates"])
    return Tier(name, rates, row["usd_per_call"], row.get("calls_per_month"))
