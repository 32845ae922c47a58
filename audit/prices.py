"""A user's own prices and rates in place of those that came with the program."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from audit.errors import UserError
from audit.experiment import read_toml
from providers.base import Capabilities


def override(capabilities: Capabilities, file: Path) -> Capabilities:
    """Return capabilities with the tiers of a TOML file; tiers that it leaves out stay.

    The file has `priced_on` (an ISO date) and `[tiers.NAME]` tables of the form of those in
    providers/capabilities/. Raises UserError if it has not.
    """
    from providers.capabilities import tiers

    table = read_toml(file)
    try:
        priced_on, own = str(table.pop("priced_on")), tiers(table.pop("tiers"))
        _refuse_unknown(table)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"{file} is no price table: {error}.",
            expected='priced_on = "YYYY-MM-DD" and [tiers.NAME] with rates and usd_per_call, '
            "as in the files of providers/capabilities",
        ) from None
    return replace(capabilities, priced_on=priced_on, tiers={**capabilities.tiers, **own})


def _refuse_unknown(keys: Iterable[str]) -> None:
    for key in keys:
        raise ValueError(f"unknown key {key!r}")
