"""The plan: every call of an experiment, in order, before the first one is made.

The same rows are the dry run, the price, the progress bar and the resume point.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from audit.errors import UserError
from audit.ledger import Call
from audit.pacing import spacing_s
from audit.progress import duration
from audit.types import Arm, Photo, Split, content_hash
from providers.base import Capabilities, Tier


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a plan will take. `duration_s` is at the tier's limit, without the service's latency."""

    calls: Mapping[str, int]
    total: int
    duration_s: float
    cost_usd: float
    tier: str
    priced_on: str
    months: float


@dataclass(frozen=True, slots=True)
class CloakingForecast:
    """Steps of all photos, the time they take on this machine, and the files' size."""

    steps: int
    duration_s: float
    disk_bytes: int


GALLERY_PREFIX = "audit-"
"""Every gallery of ours at a service begins so: `audit purge --all` goes by it."""


def gallery_name(run_id: str, arm_index: int) -> str:
    """Return a gallery's name: recognisably ours, and legal at every service."""
    return f"{GALLERY_PREFIX}{content_hash(run_id)[:16]}-{arm_index}"


def expand(
    provider: str, capabilities: Capabilities, run_id: str, arms: Sequence[Arm], split: Split
) -> Iterator[Call]:
    """Yield every call of a run: an access check, then arm by arm."""
    first = next(photo for photos in split.probe.values() for photo in photos)
    if capabilities.detects:
        yield Call(
            provider, "detect", capabilities.operations["detect"], "", photos=(first.sha256,)
        )
    for index, arm in enumerate(arms):
        gallery = gallery_name(run_id, index)
        for verb, person, photos in _steps(capabilities, split):
            if verb in capabilities.operations:
                operation = capabilities.operations[verb]
                yield Call(provider, verb, operation, arm.name, gallery, person, photos)


Step = tuple[str, str, tuple[str, ...]]


def _steps(capabilities: Capabilities, split: Split) -> Iterator[Step]:
    yield "create_gallery", "", ()
    for person, photos in (*split.train.items(), *split.decoy.items()):
        yield "add_person", person, ()
        for photo in photos:
            yield "enrol", person, (photo.sha256,)
    yield "train", "", ()
    yield "training_state", "", ()
    probes = [photo for photos in split.probe.values() for photo in photos]
    for photo in probes:
        yield "detect", photo.person, (photo.sha256,)
    for start in range(0, len(probes), capabilities.identify_batch):
        batch = probes[start : start + capabilities.identify_batch]
        yield "identify", "", tuple(photo.sha256 for photo in batch)
    for photo in probes:
        yield "verify", photo.person, (photo.sha256,)


def find_tier(capabilities: Capabilities, name: str | None) -> Tier:
    """Return the named tier, or the service's default; raises UserError for an unknown one."""
    tier = capabilities.tiers.get(name or capabilities.default_tier)
    if tier is None:
        raise UserError(
            f"{capabilities.service} has no tier {name!r}.",
            expected=f"one of {', '.join(capabilities.tiers)}",
        )
    return tier


def price_usd(capabilities: Capabilities, tier: Tier, calls: Mapping[str, int]) -> float:
    """Return what calls (by operation) cost at a tier."""
    return tier.usd_per_call * sum(
        count
        for operation, count in calls.items()
        if operation not in capabilities.unpriced_operations
    )


def forecast(capabilities: Capabilities, tier: Tier, calls: Sequence[Call]) -> Forecast:
    """Count, time and price planned calls."""
    counts = Counter(call.operation for call in calls)
    total = len(calls)
    return Forecast(
        calls=dict(counts),
        total=total,
        duration_s=total * spacing_s(tier.rates),
        cost_usd=price_usd(capabilities, tier, counts),
        tier=tier.name,
        priced_on=capabilities.priced_on,
        months=total / tier.calls_per_month if tier.calls_per_month else 0.0,
    )


def as_rows(planned: Forecast, cloaking: CloakingForecast) -> list[dict[str, object]]:
    """Return a forecast as a table: a row per operation, the cloaking, and the calls' total."""
    rows: list[dict[str, object]] = [
        {"what": operation, "calls": count, "duration": "", "price_usd": ""}
        for operation, count in sorted(planned.calls.items())
    ]
    cloaks = {
        "what": f"cloaking: {cloaking.steps} steps, {cloaking.disk_bytes / 1e6:.0f} MB of files",
        "calls": 0,
        "duration": duration(cloaking.duration_s),
        "price_usd": "0.00",
    }
    total = {
        "what": f"all calls at tier {planned.tier}, prices of {planned.priced_on}",
        "calls": planned.total,
        "duration": duration(planned.duration_s),
        "price_usd": f"{planned.cost_usd:.2f}",
    }
    return [*rows, cloaks, total]


def cloaked_photos(photos: Sequence[Photo], fraction: float) -> tuple[Photo, ...]:
    """Return those of a person's photos that an arm cloaks: the first, in the split's order."""
    return tuple(islice(photos, round(fraction * len(photos))))
