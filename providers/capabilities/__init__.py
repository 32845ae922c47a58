"""The services' capabilities as data: one TOML file each, readable without any SDK."""

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from providers.base import Capabilities, Rate, Tier

Table = Mapping[str, Any]


@cache
def load(service: str, gallery: str | None = None) -> Capabilities:
    """Return what `<service>.toml` says; raises FileNotFoundError if there is none.

    `gallery` chooses among the service's kinds of gallery, None = its first; KeyError if unknown.
    """
    text = files(__package__).joinpath(f"{service}.toml").read_text(encoding="utf-8")
    table = tomllib.loads(text)
    kinds: Table = table.pop("galleries", {})
    if kinds:
        kind = kinds[gallery or next(iter(kinds))]
        table |= {**kind, "operations": table["operations"] | kind["operations"]}
    return parse(table | {"galleries": tuple(kinds)})


def parse(table: Table) -> Capabilities:
    """Return capabilities from a table of the form of the TOML files beside this one."""
    given: dict[str, Any] = {
        **table,
        "tiers": tiers(table["tiers"]),
        "image_formats": tuple(table["image_formats"]),
        "options": tuple(table.get("options", ())),
        "score_scale": tuple(table["score_scale"]),
    }
    return Capabilities(**given)


def tiers(table: Table) -> dict[str, Tier]:
    """Return tiers by name; `same_as` names another tier that one is equal to.

    Raises KeyError, TypeError or ValueError for a table that is not well-formed.
    """
    return {name: _tier(name, row) for name, row in spelled_out(table).items()}


def spelled_out(table: Table) -> dict[str, Any]:
    """Return tiers by name, in which one that is the `same_as` another has what that has.

    What isn't well-formed, or the same as none, stays as it is.
    """
    return {name: _original(row, table) for name, row in table.items()}


def _original(row: Any, table: Table) -> Any:
    other = row.get("same_as") if isinstance(row, Mapping) else None
    return table[other] if isinstance(other, str) and other in table else row


def _tier(name: str, row: Table) -> Tier:
    by_operation = row.get("operation_rates", {})
    given: dict[str, Any] = {
        **row,
        "name": name,
        "rates": _rates(row["rates"]),
        "operation_rates": {pattern: _rates(rates) for pattern, rates in by_operation.items()},
    }
    return Tier(**given)


def _rates(rows: Any) -> tuple[Rate, ...]:
    return tuple(Rate(**row) for row in rows)
