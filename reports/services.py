"""Who answered, in words: a service, our emulator of it, or a recogniser on this machine."""

from reports.manifest import Service

_LOCAL = "local"
_UNNAMED = {"azure": "Azure Face", "mock": "Azure Face"}
"""Manifests of version 1 don't name the service, of which there was one."""


def answerer(service: Service) -> str:
    """Name who answered, so that an emulator is never taken for the service."""
    if service.provider == _LOCAL:
        details = ", ".join(part for part in (service.recogniser, service.matching) if part)
        return f"a recogniser on this machine{f' ({details})' if details else ''}"
    name = f"the {_name(service)} emulator" if service.emulated else _name(service)
    return f"{name} (user vectors)" if service.gallery == "users" else name


def whose_limits(service: Service) -> str:
    """Name whose limits the photos had to fit: an emulator has those of its service."""
    return "the recogniser" if service.provider == _LOCAL else _name(service)


def not_the_service(service: Service) -> str:
    """Say that no service stands behind the numbers, "" if one does."""
    if service.provider == _LOCAL:
        return (
            f"No service was asked: {answerer(service)} answered. Where this page speaks of the "
            "service, it means this recogniser; these numbers are no service's."
        )
    if not service.emulated:
        return ""
    network = f" with the network {service.recogniser}" if service.recogniser else ""
    return (
        f"No real service was asked: {answerer(service)} answered{network}, on this machine. "
        "These numbers are not the service's."
    )


def _name(service: Service) -> str:
    return service.name or _UNNAMED.get(service.provider, service.provider)
