"""`audit doctor`: is this machine ready? One line a check, with the remedy."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from audit.errors import AuditError, ServiceRefused, UserError
from audit.folders import cache_folder
from providers.base import FailureKind, Provider

_DISK_MIN_BYTES = 2 * 10**9


@dataclass(frozen=True, slots=True)
class Check:
    """What was found, and what to do where it isn't good; `refused`: by the service."""

    name: str
    _: KW_ONLY
    good: bool
    seen: str
    remedy: str = ""
    refused: bool = False

    @property
    def told(self) -> Mapping[str, str]:
        """Return it as a row of a table."""
        ok = "ok" if self.good else "no"
        return {"check": self.name, "ok": ok, "seen": self.seen, "to do": self.remedy}


def check(provider: str | None) -> list[Check]:
    """Return each check; with a provider also its keys and its approval."""
    rows = [_device(), _disk(), *_weights()]
    return [*rows, *_service(provider)] if provider else rows


def require_good(checks: Sequence[Check]) -> None:
    """Raise ServiceRefused, or else UserError, that names the checks that failed."""
    failed = [check for check in checks if not check.good]
    if not failed:
        return
    told = f"{len(failed)} of {len(checks)} checks failed: {', '.join(c.name for c in failed)}."
    error = ServiceRefused if any(check.refused for check in failed) else UserError
    raise error(told, remedy="what stands beside each of them above")


def _device() -> Check:
    from cloaker import device

    return Check("device", good=True, seen=device.describe())


def _disk() -> Check:
    folder = cache_folder()
    place = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(place).free
    return Check(
        "disk",
        good=free > _DISK_MIN_BYTES,
        seen=f"{free / 1e9:.1f} GB free for {folder}",
        remedy="" if free > _DISK_MIN_BYTES else "make room or set AUDIT_CACHE",
    )


def _weights() -> list[Check]:
    from cloaker import weights
    from cloaker.networks.catalogue import CATALOGUE

    rows = [row for row in weights.list_weights() if row.name in CATALOGUE]
    real = [row.name for row in rows if row.installed is weights.State.INSTALLED]
    return [
        Check(
            "weights of real networks",
            good=bool(real),
            seen=", ".join(real) or "none installed: only generated people can be audited",
            remedy="" if real else "`audit weights fetch NAME` or `audit weights add NAME FILE`",
        )
    ]


def _service(name: str) -> list[Check]:
    from audit import services
    from audit.experiment import resolve
    from audit.folders import RunFolder, private_folder, state_folder

    experiment = resolve(None, {"provider": name})
    try:
        folder = RunFolder(private_folder(state_folder() / "doctor"))
        with services.opened(experiment, folder) as provider:
            rows = [_asked(provider, f"{name}: keys", lambda: _galleries(provider))]
            if provider.capabilities.gate_probe and rows[0].good:
                rows.append(_asked(provider, f"{name}: approval", lambda: _approval(provider)))
            return [*rows, *_quotas(provider)]
    except AuditError as error:
        refused = isinstance(error, ServiceRefused)
        seen, remedy = error.seen, error.remedy
        return [Check(f"{name}: keys", good=False, seen=seen, remedy=remedy, refused=refused)]


def _quotas(provider: Provider) -> list[Check]:
    """Return a row for each tier with a monthly quota: what is left, as this machine counts."""
    from audit import services
    from audit.clock import WallClock

    rows = []
    for tier in provider.capabilities.tiers.values():
        left = services.pacing_of(provider, tier, WallClock()).quota_left()
        if left is not None:
            seen = f"{left} of {tier.calls_per_month} calls are left this month (UTC) by this machine's count"
            remedy = "" if left else "wait for the next month, or choose another --tier"
            rows.append(
                Check(f"quota of tier {tier.name}", good=left > 0, seen=seen, remedy=remedy)
            )
    return rows


def _asked(provider: Provider, check: str, ask: Callable[[], str]) -> Check:
    try:
        return Check(check, good=True, seen=ask())
    except Exception as error:  # noqa: BLE001 - any answer is a finding here
        failure = provider.classify(error)
        refused = failure.kind is FailureKind.REFUSED
        told = f"{failure.code}: {failure.message}"
        return Check(check, good=False, seen=told, refused=refused)


def _galleries(provider: Provider) -> str:
    return f"{provider.account} answers; {len(provider.list_galleries())} galleries there"


def _approval(provider: Provider) -> str:
    """Ask for the id of a generated face, which services give to approved customers only."""
    from datasets import generated

    with TemporaryDirectory() as folder:
        generated.write_people(Path(folder), 1, lambda _: 1)
        photo = next(Path(folder).rglob("*.png")).read_bytes()
    provider.detect(photo)
    return "faces get ids, so people can be identified"
