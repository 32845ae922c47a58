"""Removing what runs created at a service: people asked for it, or an experiment is over."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from audit import manifest, services, stores
from audit.calls import Call, CallState
from audit.errors import AuditError, ServiceRefused, Stopped, UserError
from audit.execution import Answer, CallFailed, Executor
from audit.expansion import GALLERY_PREFIX
from audit.experiment import Experiment, read_toml, resolve
from audit.folders import RunFolder, private_folder, state_folder
from audit.ledger import Ledger
from audit.progress import Progress
from providers.base import FailureKind, Provider

Row = Mapping[str, Any]

_LEFT = "left"


def purge_run(folder: RunFolder, progress: Progress) -> Sequence[Row]:
    """Delete every gallery of a run, also those that it may only have tried to create.

    What this machine's networks saw in its photos is deleted too, and the map of it. Returns a row a
    gallery, as `purge_galleries` does; `check` then tells whether any is left.
    """
    experiment = resolve(None, read_toml(folder.experiment))
    if forgotten := stores.forget(folder):
        progress.say(f"{forgotten} embeddings of its photos deleted on this machine")
    if not folder.ledger.exists():
        return []
    with folder.locked(), services.opened(experiment, folder) as provider:
        return purge_galleries(experiment, folder, provider, progress)


def purge_galleries(
    experiment: Experiment, folder: RunFolder, provider: Provider, progress: Progress
) -> Sequence[Row]:
    """Delete a run's galleries through an open provider; the ledger records each deletion.

    The service is asked about every gallery that was ever planned: what the ledger saw deleted
    may have been created again by a run that died since. `result` is `deleted`, `deleted before`
    (by an earlier purge), `gone already` or `left`, with the `reason`. Raises ServiceRefused if
    the service turns the account away and nothing could be deleted.
    """
    ledger = Ledger(folder.ledger)
    try:
        executor = services.executor(experiment, provider, ledger)
        rows = _delete_all(executor, ledger.galleries())
    finally:
        ledger.close()
    progress.say(_summary(rows))
    return rows


def purge_all(provider_name: str, progress: Progress) -> Sequence[Row]:
    """Delete every gallery at a service whose name says that a run of ours created it."""
    experiment = resolve(None, {"provider": provider_name})
    if not services.leaves_this_machine(experiment):
        raise UserError(
            "--all is for a real service; what this machine keeps stays in its run's folder.",
            remedy="`audit purge RUN` purges one run",
        )
    scratch = RunFolder(private_folder(state_folder() / f"purge-{provider_name}"))
    with services.opened(experiment, scratch) as provider:
        ledger = Ledger(scratch.ledger)
        try:
            executor = services.executor(experiment, provider, ledger)
            ours = [name for name in _galleries(executor) if name.startswith(GALLERY_PREFIX)]
            rows = _delete_all(executor, [(name, "", "") for name in ours])
        finally:
            ledger.close()
    progress.say(_summary(rows))
    return rows


def check(rows: Sequence[Row]) -> None:
    """Raise Stopped if anything is left at the service."""
    left = [row for row in rows if row["result"] == _LEFT]
    if left:
        raise Stopped(
            f"{len(left)} of {len(rows)} galleries are left at the service: {left[0]['reason']}",
            remedy="purge again later; what is deleted stays deleted",
        )


def offer(folder: RunFolder) -> str:
    """Return a sentence: which faces a finished run has left at a real service, and the remedy.

    It is "" if nothing is left there, or nobody else's service was asked.
    """
    notes = manifest.read(folder)
    if not notes.get("consent", {}).get("needed"):
        return ""
    ledger = Ledger(folder.ledger)
    try:
        left = {name for name, _, state in ledger.galleries() if state == "created"}
        faces = _faces_stored(ledger, left)
    finally:
        ledger.close()
    if not left:
        return ""
    return (
        f"{len(faces)} faces of {len(set(faces))} people are still stored at "
        f"{notes['service']['name']}; `audit purge {folder.id}` deletes them."
    )


def _faces_stored(ledger: Ledger, galleries: Collection[str]) -> list[str]:
    """Return whose face it is for every face that was enrolled in galleries and not taken out."""
    enrolled: dict[tuple[str, str], str] = {}
    removed = set[tuple[str, str]]()  # by arm: photos, and people with all their photos
    for row in ledger.calls(state=CallState.DONE):
        call = row.call
        if call.gallery not in galleries:
            continue
        if call.verb == "enrol":
            enrolled |= {(call.arm, photo): call.person for photo in call.photos}
        elif call.verb == "remove_faces":
            removed |= {(call.arm, photo) for photo in call.photos}
        elif call.verb == "remove_person":
            removed.add((call.arm, call.person))
    return [
        person
        for (arm, photo), person in enrolled.items()
        if (arm, photo) not in removed and (arm, person) not in removed
    ]


def _galleries(executor: Executor) -> Sequence[str]:
    provider = executor.provider
    operation = provider.capabilities.operations["list_galleries"]
    row = executor.ledger.append(
        Call(provider.capabilities.service, "list_galleries", operation, "")
    )

    def send() -> Answer:
        return {"galleries": list(provider.list_galleries())}

    answer = executor.perform(row, send)
    return answer["galleries"] if answer else []


def _delete_all(executor: Executor, galleries: Iterable[tuple[str, str, str]]) -> list[Row]:
    """Delete galleries (name, arm, state in the ledger); one that can't be stops no other one."""
    rows: list[Row] = []
    refusals: list[ServiceRefused] = []
    for name, arm, state in galleries:
        reason = ""
        try:
            result = _delete(executor, name, arm, state)
        except (AuditError, CallFailed) as error:
            result, reason = _LEFT, str(error).split("\n")[0]
            if isinstance(error, ServiceRefused):
                refusals.append(error)
        rows.append({"gallery": name, "arm": arm, "result": result, "reason": reason})
    if refusals and len(refusals) == len(rows):
        raise refusals[0]
    return rows


def _delete(executor: Executor, gallery: str, arm: str, state: str) -> str:
    provider = executor.provider
    operation = provider.capabilities.operations["delete_gallery"]
    service = provider.capabilities.service
    row = executor.ledger.append(Call(service, "delete_gallery", operation, arm, gallery))

    def send() -> Answer:
        provider.delete_gallery(gallery)
        return {}

    try:
        executor.perform(row, send)
    except CallFailed as failed:
        if failed.failure.kind is not FailureKind.ABSENT:
            raise
        if state == "deleted":
            return "deleted before"
        executor.ledger.set_gallery(gallery, "gone")
        return "gone already"
    executor.ledger.set_gallery(gallery, "deleted")
    return "deleted"


def _summary(rows: Sequence[Row]) -> str:
    left = sum(row["result"] == _LEFT for row in rows)
    return f"{len(rows) - left} galleries purged" + (f", {left} left" if left else "")
