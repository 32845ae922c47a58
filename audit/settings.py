"""Keys and endpoints: from the environment, then from `.env`. Read here and nowhere else."""

import os
from collections.abc import Mapping, Sequence

from dotenv import dotenv_values
from pydantic import SecretStr

from audit.errors import UserError
from providers.base import Capabilities

Settings = Mapping[str, SecretStr]
"""What a service's adapter is made with, by argument; the values' repr is stars."""

_PLACES = frozenset({"endpoint", "region", "profile"})
"""Settings that name a place, not a secret."""

_secrets = set[str]()
"""Every secret that this process has read: other people's code may put one into an exception."""


def find(capabilities: Capabilities, given: Mapping[str, str]) -> Settings:
    """Return the settings of a service; `given` (endpoint, region) goes before the environment.

    Raises UserError that names every variable that is missing.
    """
    set_here = dotenv_values(".env", encoding="utf-8") | os.environ
    wanted = {**capabilities.settings, **capabilities.optional_settings}
    found = {name: given.get(name) or _first(set_here, wanted[name]) for name in wanted}
    missing = [capabilities.settings[name][0] for name in capabilities.settings if not found[name]]
    if missing:
        raise UserError(
            f"not set: {' and '.join(missing)}.",
            expected=f"where {capabilities.service} is and the keys of an account there",
            remedy="set them in the environment or in .env (see .env.example), "
            "or rehearse without keys: --emulate",
        )
    _secrets.update(value for name, value in found.items() if value and name not in _PLACES)
    return {name: SecretStr(value) for name, value in found.items() if value}


def hide(text: str) -> str:
    """Return a text without any secret that was read, as it is or as `repr` writes it."""
    for secret in sorted(_secrets, key=len, reverse=True):
        text = text.replace(secret, "[key]").replace(repr(secret)[1:-1], "[key]")
    return text


def _first(values: Mapping[str, str | None], variables: Sequence[str]) -> str | None:
    return next((values[name] for name in variables if values.get(name)), None)
