"""What a plan's calls take: how many, how long at a tier's limits, at what price."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from audit.calls import Call
from audit.errors import UserError
from audit.progress import duration
from audit.spacing import spacing_s
from audit.types import Photo, Split
from providers.base import Capabilities, Tier

_SLOWEST_ANSWER_S = 2.0
_THREADS_MAX = 128
_THREADS_WITHOUT_LIMIT = 4
"""Only what runs on this machine has no limit."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a plan will take. `duration_s` is at the tier's limit, without the service's latency."""

    calls: Mapping[str, int]
    total: int
    duration_s: float
    cost_usd: float
    tier: str
    priced_on: str


@dataclass(frozen=True, slots=True)
class CloakingForecast:
    """Steps of all photos, the time they take on this machine, and the files' size."""

    steps: int
    duration_s: float
    disk_bytes: int


def find_tier(capabilities: Capabilities, name: str | None) -> Tier:
    """Return the named tier, or the service's default; raises UserError for an unknown one."""
    tier = capabilities.tiers.get(name or capabilities.default_tier)
    if tier is None:
        raise UserError(
            f"{capabilities.service} has no tier {name!r}.",
            expected=f"one of {', '.join(capabilities.tiers)}",
        )
    return tier


def threads_for(tier: Tier, capabilities: Capabilities) -> int:
    """Return how many calls to have on their way at once to reach a tier's limits."""
    spacings = [spacing_s(tier.limit(name)[1]) for name in capabilities.operations.values()]
    wanted = max((_SLOWEST_ANSWER_S / spacing for spacing in spacings if spacing), default=0)
    if not wanted:
        return _THREADS_WITHOUT_LIMIT
    return min(math.ceil(wanted) + 1, tier.concurrency or _THREADS_MAX)


def check_sizes(capabilities: Capabilities, split: Split) -> None:
    """Raise UserError if a person has more photos to enrol than the service takes."""
    most = capabilities.faces_per_person_max
    for person, photos in (*split.train.items(), *split.decoy.items()):
        if len(photos) > most:
            raise UserError(
                f"{person} has {len(photos)} photos to enrol.",
                expected=f"at most {most} a person at {capabilities.service}",
                remedy=f"--train {most} or fewer (--decoy-photos for decoys)",
            )


def price_usd(tier: Tier, calls: Mapping[str, int]) -> float:
    """Return what calls (by operation) cost at a tier."""
    return sum(count * tier.usd(operation) for operation, count in calls.items())


def duration_s(tier: Tier, operations: Iterable[str]) -> float:
    """Return how long calls take, one after another, at a tier's limits."""
    return sum(spacing_s(tier.limit(operation)[1]) for operation in operations)


def forecast(capabilities: Capabilities, tier: Tier, calls: Sequence[Call]) -> Forecast:
    """Count, time and price planned calls."""
    counts = Counter(call.operation for call in calls)
    total = len(calls)
    return Forecast(
        calls=dict(counts),
        total=total,
        duration_s=duration_s(tier, (call.operation for call in calls)),
        cost_usd=price_usd(tier, counts),
        tier=tier.name,
        priced_on=capabilities.priced_on,
    )


def as_rows(
    planned: Forecast, cloaking: CloakingForecast, otherwise: tuple[str, Forecast] | None
) -> list[dict[str, object]]:
    """Return a forecast as a table: a row per operation, the cloaking, and the calls' total.

    `otherwise` names another way to run the same experiment, and what it would take.
    """
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
    total = _total(f"all calls at tier {planned.tier}, prices of {planned.priced_on}", planned)
    return [*rows, cloaks, *([_total(*otherwise)] if otherwise else []), total]


def _total(what: str, planned: Forecast) -> dict[str, object]:
    return {
        "what": what,
        "calls": planned.total,
        "duration": duration(planned.duration_s),
        "price_usd": f"{planned.cost_usd:.2f}",
    }


def cloaked_photos(photos: Sequence[Photo], fraction: float) -> tuple[Photo, ...]:
    """Return those of a person's photos that an arm cloaks: the first, in the split's order."""
    return tuple(islice(photos, round(fraction * len(photos))))
