"""The plan: every call of an experiment, in order, before the first one is made.

The same rows are the dry run, the price, the progress bar and the resume point.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
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


def person_tag(run_id: str, person: str) -> str:
    """Return the pseudonym under which a person is enrolled: no name leaves the machine."""
    return content_hash([run_id, person])[:16]


@dataclass(frozen=True, slots=True)
class Service:
    """Whose calls a plan holds: the provider's name, what it can do, how probes are verified."""

    provider: str
    capabilities: Capabilities
    verify_photos: int = 1


def expand(service: Service, run_id: str, arms: Sequence[Arm], split: Split) -> Iterator[Call]:
    """Yield every call of a run: an access check where it may be refused, then arm by arm."""
    operations = service.capabilities.operations
    if service.capabilities.gate_probe:
        first = next(photo for photos in split.probe.values() for photo in photos)
        yield Call(service.provider, "detect", operations["detect"], "", photos=(first.sha256,))
    for index, arm in enumerate(arms):
        gallery = gallery_name(run_id, index)
        for verb, person, photos, repeat in (
            ("create_gallery", "", (), 0),
            *_enrolment(service.capabilities, split),
            ("train", "", (), 0),
            ("training_state", "", (), 0),
            *_probing(service, split),
        ):
            if verb in operations:
                operation = operations[verb]
                yield Call(
                    service.provider, verb, operation, arm.name, gallery, person, photos, repeat
                )


Step = tuple[str, str, tuple[str, ...], int]
"""A verb, whom it concerns, which photos, and which of several alike it is."""


def _enrolment(capabilities: Capabilities, split: Split) -> Iterator[Step]:
    """Enrol person by person; what a service attaches in one call, it is enrolled for at once.

    A face that waits to be attached may expire: no more than one batch ever waits.
    """
    added = set[str]()
    for batch in _batches(capabilities, split):
        for photo in batch:
            if photo.person not in added:
                yield "add_person", photo.person, (), 0
                added.add(photo.person)
            yield "enrol", photo.person, (photo.sha256,), 0
        person = batch[0].person if capabilities.attaches_by_person else ""
        yield "attach", person, tuple(photo.sha256 for photo in batch), 0
        for photo in batch:
            yield "label", photo.person, (photo.sha256,), 0


def _batches(capabilities: Capabilities, split: Split) -> Iterator[Sequence[Photo]]:
    people = (*split.train.values(), *split.decoy.values())
    everyone = [photo for photos in people for photo in photos]
    for photos in people if capabilities.attaches_by_person else (everyone,):
        for start in range(0, len(photos), capabilities.attach_batch):
            yield photos[start : start + capabilities.attach_batch]


def _probing(service: Service, split: Split) -> Iterator[Step]:
    probes = [photo for photos in split.probe.values() for photo in photos]
    for photo in probes:
        yield "detect", photo.person, (photo.sha256,), 0
    size = service.capabilities.identify_batch
    for start in range(0, len(probes), size):
        yield "identify", "", tuple(photo.sha256 for photo in probes[start : start + size]), 0
    for photo in probes:
        yield "identify_photo", photo.person, (photo.sha256,), 0
    times = service.verify_photos if service.capabilities.compares_faces else 1
    for photo in probes:
        for enrolled in range(times):
            yield "verify", photo.person, (photo.sha256,), enrolled


def find_tier(capabilities: Capabilities, name: str | None) -> Tier:
    """Return the named tier, or the service's default; raises UserError for an unknown one."""
    tier = capabilities.tiers.get(name or capabilities.default_tier)
    if tier is None:
        raise UserError(
            f"{capabilities.service} has no tier {name!r}.",
            expected=f"one of {', '.join(capabilities.tiers)}",
        )
    return tier


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
