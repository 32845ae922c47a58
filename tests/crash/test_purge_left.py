"""`audit purge` tells of each gallery what became of it, and stops at none that is left."""

import json
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from audit import purge
from audit.calls import Call
from audit.errors import ServiceRefused, Stopped
from audit.experiment import resolve, to_toml
from audit.folders import RunFolder
from audit.ledger import Ledger
from audit.progress import Progress
from audit.services import opened
from tests.crash.services import AZURE, Service, disturb, every_service, told

QUIET = Progress(quiet=True)


@pytest.fixture
def run(service: Service, endpoint: str, tmp_path: Path) -> RunFolder:
    """Return a run with three galleries, of which the first two were created."""
    folder = RunFolder(tmp_path / "audit-runs" / "three")
    folder.path.mkdir(parents=True)
    gallery = {"gallery": service.gallery} if service.gallery else {}
    values = {"provider": service.provider, "endpoint": endpoint, "tier": "emulator"} | gallery
    experiment = resolve(None, values)
    folder.experiment.write_text(to_toml(experiment))
    note(folder, needed=True)
    operation = service.operation("create_gallery")
    names = [f"audit-three-{number}" for number in range(3)]
    with (
        closing(Ledger(folder.ledger)) as ledger,
        opened(experiment, folder) as provider,
    ):
        ledger.add(
            Call(service.provider, "create_gallery", operation, f"arm-{name[-1]}", name)
            for name in names
        )
        for name in names[:2]:
            provider.create_gallery(name)
            ledger.set_gallery(name, "created")
    return folder


def note(folder: RunFolder, *, needed: bool) -> None:
    notes = {"consent": {"needed": needed}, "service": {"name": "The Service"}}
    folder.manifest.write_text(json.dumps(notes | {"exit_state": "done"}))


def results(rows: Sequence[purge.Row]) -> list[str]:
    return [row["result"] for row in rows]


@every_service
def test_what_can_not_be_deleted_is_told_and_stops_no_other_deletion(
    service: Service, run: RunFolder, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("audit.execution._ATTEMPTS_MAX", 1)
    disturb(endpoint, operation=service.operation("delete_gallery"), kind="500", every=2)

    rows = purge.purge_run(run, QUIET)

    assert results(rows) == ["deleted", "left", "gone already"]
    assert [bool(row["reason"]) for row in rows] == [False, True, False]
    assert [gallery["gallery"] for gallery in told(endpoint, "galleries")] == ["audit-three-1"]
    with pytest.raises(Stopped, match="1 of 3 galleries are left at the service: the service"):
        purge.check(rows)
    disturb(endpoint, operation="*", kind="500", every=1000)
    again = purge.purge_run(run, QUIET)
    assert results(again) == ["deleted before", "deleted", "gone already"]
    purge.check(again)
    assert told(endpoint, "galleries") == []


@every_service
def test_a_wrong_key_deletes_nothing_and_is_told_as_a_refusal(
    run: RunFolder, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AZURE_FACE_KEY", "AWS_ACCESS_KEY_ID", "FACEPP_API_KEY"):
        monkeypatch.setenv(name, "wrong-key")

    with pytest.raises(ServiceRefused, match="To do: ") as refused:
        purge.purge_run(run, QUIET)

    assert "wrong-key" not in str(refused.value)
    assert len(told(endpoint, "galleries")) == 2


@pytest.mark.parametrize("service", [AZURE], ids=str)
def test_a_gallery_created_again_after_its_deletion_is_deleted_again(
    run: RunFolder, endpoint: str
) -> None:
    assert results(purge.purge_run(run, QUIET)) == ["deleted", "deleted", "gone already"]
    with opened(resolve(run.experiment, {}), run) as provider:
        provider.create_gallery("audit-three-2")  # its run died before the ledger heard of it

    assert results(purge.purge_run(run, QUIET)) == ["deleted before", "deleted before", "deleted"]
    assert told(endpoint, "galleries") == []


@pytest.mark.parametrize("service", [AZURE], ids=str)
def test_a_finished_run_offers_to_purge_the_faces_that_are_left(run: RunFolder) -> None:
    with closing(Ledger(run.ledger)) as ledger:
        verbs = [
            ("enrol", "arm-0", 0, "ann", ("a1",)),
            ("enrol", "arm-0", 0, "ann", ("a2",)),
            ("enrol", "arm-0", 0, "bob", ("b1",)),
            ("remove_faces", "arm-0", 0, "", ("a1",)),
            ("enrol", "arm-1", 1, "bob", ("b1",)),
            ("enrol", "arm-1", 1, "carl", ("c1",)),
            ("enrol", "arm-1", 1, "carl", ("c2",)),
            ("remove_person", "arm-1", 1, "carl", ()),
            ("enrol", "arm-2", 2, "dora", ("d1",)),
        ]
        ledger.add(
            Call("azure", verb, verb, arm, f"audit-three-{number}", person, photos)
            for verb, arm, number, person, photos in verbs
        )
        for row in ledger.calls():
            ledger.done(row.seq, "", 1.0, {})

    assert purge.offer(run) == (
        "3 faces of 2 people are still stored at The Service; `audit purge three` deletes them."
    )
    note(run, needed=False)
    assert purge.offer(run) == ""
    note(run, needed=True)
    purge.purge_run(run, QUIET)
    assert purge.offer(run) == ""
