"""`audit doctor`: is this machine ready? One row a check, with the remedy."""

import shutil
from collections.abc import Mapping
from typing import Any

from audit.errors import AuditError
from audit.folders import cache_folder

Row = Mapping[str, Any]
_DISK_MIN_BYTES = 2 * 10**9


def check(provider: str | None) -> list[Row]:
    """Return a row for each check; with a provider also its keys and its approval."""
    rows = [_device(), _disk(), *_weights()]
    return [*rows, *_service(provider)] if provider else rows


def _row(name: str, *, good: bool, seen: str, remedy: str = "") -> Row:
    return {"check": name, "ok": "ok" if good else "no", "seen": seen, "to do": remedy}


def _device() -> Row:
    from cloaker import device

    return _row("device", good=True, seen=device.describe())


def _disk() -> Row:
    folder = cache_folder()
    place = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(place).free
    return _row(
        "disk",
        good=free > _DISK_MIN_BYTES,
        seen=f"{free / 1e9:.1f} GB free for {folder}",
        remedy="" if free > _DISK_MIN_BYTES else "make room or set AUDIT_CACHE",
    )


def _weights() -> list[Row]:
    from cloaker import weights

    real = [row.name for row in weights.list_weights() if row.installed is weights.State.INSTALLED]
    return [
        _row(
            "weights of real networks",
            good=bool(real),
            seen=", ".join(real) or "none installed: only generated people can be audited",
            remedy="" if real else "`audit weights fetch NAME` or `audit weights add NAME FILE`",
        )
    ]


def _service(name: str) -> list[Row]:
    from audit import services
    from audit.experiment import resolve
    from audit.folders import RunFolder, private_folder, state_folder

    try:
        experiment = resolve(None, {"provider": name})
        folder = RunFolder(private_folder(state_folder() / "doctor"))
        with services.opened(experiment, folder) as provider:
            try:
                galleries = len(provider.list_galleries())
            except Exception as error:  # noqa: BLE001 - any answer is a finding here
                failure = provider.classify(error)
                return [_row(name, good=False, seen=f"{failure.code}: {failure.message}")]
    except AuditError as error:
        return [_row(name, good=False, seen=error.seen, remedy=error.remedy)]
    return [_row(name, good=True, seen=f"answers; {galleries} galleries there")]
