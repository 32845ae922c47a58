"""A user's own prices and rates in place of those that came with the program."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from audit import wrong_values
from audit.errors import UserError
from audit.experiment import read_toml
from providers.base import Capabilities
from providers.capabilities import spelled_out, tiers

_Usd = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_Count = Annotated[int, Field(ge=1)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Rate(_Table):
    calls: _Count
    per_s: Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Tier(_Table):
    rates: tuple[_Rate, ...]
    usd_per_call: _Usd
    calls_per_month: _Count | None = None
    concurrency: _Count | None = None
    operation_rates: Mapping[str, tuple[_Rate, ...]] = {}
    operation_usd: Mapping[str, _Usd] = {}


class _Prices(_Table):
    priced_on: date
    tiers: Mapping[str, _Tier]


def override(capabilities: Capabilities, file: Path) -> Capabilities:
    """Return capabilities with the tiers of a TOML file; tiers that it leaves out stay.

    The file has `priced_on` (an ISO date) and `[tiers.NAME]` tables of the form of those in
    providers/capabilities/. Raises UserError if it has not.
    """
    table = read_toml(file)
    try:
        known = _Prices.model_validate(_spelled_out(table))
    except ValidationError as error:
        seen, expected = wrong_values.told(error)
        raise UserError(
            f"{file} is no price table: {seen}.",
            expected=expected
            or 'priced_on = "YYYY-MM-DD" and [tiers.NAME] with rates and usd_per_call',
            remedy="mend that place, after the files of providers/capabilities",
        ) from None
    own = tiers(known.model_dump()["tiers"])
    return replace(
        capabilities, priced_on=known.priced_on.isoformat(), tiers={**capabilities.tiers, **own}
    )


def _spelled_out(table: Mapping[str, Any]) -> Mapping[str, Any]:
    rows = table.get("tiers")
    return {**table, "tiers": spelled_out(rows)} if isinstance(rows, Mapping) else table
