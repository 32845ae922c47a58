"""The services that exist, by name. Nothing of an SDK is imported before a service is opened."""

from collections.abc import Mapping
from importlib import import_module
from typing import cast

from audit.errors import UserError
from providers.base import Capabilities, Provider
from providers.capabilities import load

_ADAPTERS: Mapping[str, tuple[str, str]] = {"azure": ("providers.azure", "AzureProvider")}


def names() -> tuple[str, ...]:
    """Return the names of all services, in order."""
    return tuple(sorted(_ADAPTERS))


def capabilities(name: str) -> Capabilities:
    """Return what a service can do, without its SDK; raises UserError for an unknown name."""
    _known(name)
    return load(name)


def open_provider(name: str, **settings: str) -> Provider:
    """Return a service's adapter, made with its own settings (azure: endpoint, key, api_version).

    Raises UserError for an unknown name or settings that cannot be used.
    """
    module, adapter = _known(name)
    return cast("Provider", getattr(import_module(module), adapter)(**settings))


def _known(name: str) -> tuple[str, str]:
    if name not in _ADAPTERS:
        raise UserError(
            f"There is no provider named {name!r}.",
            expected=f"one of: {', '.join(names())}",
            remedy="choose one of these with --provider",
        )
    return _ADAPTERS[name]
