"""The services that exist, by name. Nothing of an SDK is imported before a service is opened.

A package of somebody else's adds a service with an entry point of the group `audit.providers`
that names a subclass of `providers.base.Provider`.
"""

from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from audit.errors import UserError
from providers.base import Capabilities, Provider

GROUP = "audit.providers"
_OURS: Mapping[str, str] = {
    "azure": "providers.azure:AzureProvider",
    "facepp": "providers.facepp:FaceppProvider",
    "local": "providers.local:LocalProvider",
    "rekognition": "providers.rekognition:RekognitionProvider",
}


def names() -> tuple[str, ...]:
    """Return the names of all services, in order."""
    return tuple(sorted(_entries()))


def capabilities(name: str, gallery: str | None = None) -> Capabilities:
    """Return what a service can do, without its SDK.

    Raises UserError for an unknown name or kind of gallery.
    """
    kinds = _adapter(name).describe().galleries
    if gallery is not None and gallery not in kinds:
        raise UserError(
            f"{name} has no kind of gallery named {gallery!r}.",
            expected=f"one of: {', '.join(kinds)}" if kinds else "no --gallery: it has one kind",
        )
    return _adapter(name).describe(gallery)


def open_provider(name: str, **arguments: Any) -> Provider:
    """Return a service's adapter, made with its own arguments (azure: endpoint, key, api_version).

    Raises UserError for an unknown name or arguments that cannot be used.
    """
    return _adapter(name)(**arguments)


def _adapter(name: str) -> type[Provider]:
    entry = _entries().get(name)
    if entry is None:
        raise UserError(
            f"There is no provider named {name!r}.",
            expected=f"one of: {', '.join(names())}",
            remedy="choose one of these with --provider, or install the package that brings it",
        )
    adapter: type[Provider] = entry.load()
    return adapter


@cache
def _entries() -> Mapping[str, EntryPoint]:
    """Return ours and those of other packages; a name of ours can't be taken."""
    ours = {name: EntryPoint(name, place, GROUP) for name, place in _OURS.items()}
    return {entry.name: entry for entry in entry_points(group=GROUP)} | ours
