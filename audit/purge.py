"""Removing what runs created at a service: people asked for it, or an experiment is over."""

from collections.abc import Mapping, Sequence
from typing import Any

from audit import services
from audit.errors import UserError
from audit.execution import Answer, CallFailed, Executor
from audit.experiment import Experiment, read_toml, resolve
from audit.folders import RunFolder, private_folder, state_folder
from audit.ledger import Call, Ledger
from audit.plan import GALLERY_PREFIX
from audit.progress import Progress
from providers.base import FailureKind, Provider

Row = Mapping[str, Any]


def purge_run(folder: RunFolder, progress: Progress) -> Sequence[Row]:
    """Delete every gallery of a run, also those that it may only have tried to create."""
    experiment = resolve(None, read_toml(folder.experiment))
    if not folder.ledger.exists():
        return []
    with folder.locked(), services.opened(experiment, folder) as provider:
        return purge_galleries(experiment, folder, provider, progress)


def purge_galleries(
    experiment: Experiment, folder: RunFolder, provider: Provider, progress: Progress
) -> Sequence[Row]:
    """Delete a run's galleries through an open provider; the ledger records each deletion."""
    ledger = Ledger(folder.ledger)
    try:
        executor = services.executor(experiment, provider, ledger)
        rows = [
            {"gallery": name, "arm": arm, "result": _delete(executor, name, arm)}
            for name, arm, state in ledger.galleries()
            if state in ("planned", "created")
        ]
    finally:
        ledger.close()
    progress.say(f"{len(rows)} galleries purged")
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
            rows = [
                {"gallery": name, "result": _delete(executor, name, "")}
                for name in _galleries(executor)
                if name.startswith(GALLERY_PREFIX)
            ]
        finally:
            ledger.close()
    progress.say(f"{len(rows)} galleries purged")
    return rows


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


def _delete(executor: Executor, gallery: str, arm: str) -> str:
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
        executor.ledger.set_gallery(gallery, "gone")
        return "gone already"
    executor.ledger.set_gallery(gallery, "deleted")
    return "deleted"
