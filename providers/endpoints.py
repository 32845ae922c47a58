"""Addresses of services."""

from urllib.parse import urlsplit

from audit.errors import UserError

_LOOPBACK = {"127.0.0.1", "::1", "localhost"}


def is_on_this_machine(endpoint: str) -> bool:
    """Tell whether an address is an emulator's: proxies and .netrc are not for those."""
    return urlsplit(endpoint).hostname in _LOOPBACK


def host(endpoint: str, service: str, expected: str, variable: str) -> str:
    """Return host and port of a service's address without a path; raises UserError for others."""
    parts = urlsplit(endpoint)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path.strip("/"):
        raise UserError(
            f"The {service} endpoint {endpoint!r} is no usable address.",
            expected=f"{expected}, without a path",
            remedy=f"correct {variable}",
        )
    return f"{parts.hostname}:{parts.port}" if parts.port else parts.hostname
