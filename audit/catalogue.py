"""`audit providers`: what each service can do, from its capabilities table."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from providers import registry
from providers.base import Capabilities, Rate, Tier

Row = Mapping[str, Any]


def rows() -> list[Row]:
    """Return one row for each tier of each service and kind of gallery."""
    return [
        row
        for name in registry.names()
        for gallery in registry.capabilities(name).galleries or (None,)
        for row in _rows(name, gallery, registry.capabilities(name, gallery))
    ]


def _rows(name: str, gallery: str | None, capabilities: Capabilities) -> Iterator[Row]:
    """Yield a row for each tier; tiers that differ in name only share one."""
    shown = [tier for tier in capabilities.tiers.values() if tier.name != "emulator"]
    names = [
        [other.name for other in shown if replace(other, name=tier.name) == tier] for tier in shown
    ]
    for tier, alike in zip(shown, names, strict=True):
        if alike[0] != tier.name:
            continue
        yield {
            "provider": name,
            "gallery": gallery or "",
            "tier": ", ".join(alike),
            "calls": _limits(capabilities, tier),
            "usd_per_1000_probes": f"{1000 * _usd_per_probe(capabilities, tier):.2f}",
            "priced_on": capabilities.priced_on,
            "photo": _photo(capabilities),
            "people_offered": capabilities.candidates_max,
            "photos_per_person": capabilities.faces_per_person_max,
        }


def _limits(capabilities: Capabilities, tier: Tier) -> str:
    """Say how often a tier may be called: all operations together, or each on its own."""
    together = ", ".join(map(_rate, tier.rates)) or "no limit"
    if not tier.operation_rates:
        return together
    alike = defaultdict[str, list[str]](list)
    for operation in dict.fromkeys(capabilities.operations.values()):
        alike[", ".join(map(_rate, tier.limit(operation)[1]))].append(operation)
    *some, (rest, _) = sorted(alike.items(), key=lambda item: len(item[1]))
    told = [f"{', '.join(operations)}: {rate} each" for rate, operations in some]
    return "; ".join([*told, f"{'others' if some else 'all'}: {rest} each"])


def _rate(rate: Rate) -> str:
    return f"{rate.calls} in {rate.per_s:g} s"


def _usd_per_probe(capabilities: Capabilities, tier: Tier) -> float:
    """Return the price of asking who is in one photo; verification is not counted."""
    asked = {"detect": 1.0, "identify": 1 / capabilities.identify_batch, "identify_photo": 1.0}
    return sum(
        times * tier.usd(capabilities.operations[verb])
        for verb, times in asked.items()
        if capabilities.has(verb)
    )


def _photo(capabilities: Capabilities) -> str:
    """Say within which limits a photo is sent as it is."""
    return (
        f"{'/'.join(capabilities.image_formats)}, {capabilities.image_bytes_max / 2**20:.4g} MiB, "
        f"sides {capabilities.image_side_min_px}-{capabilities.image_side_max_px} px, "
        f"face {capabilities.face_side_min_px} px"
    )
