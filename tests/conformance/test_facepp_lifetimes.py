"""How long faces live at the Face++ emulator, how long tasks take, and what survives a restart.

Sources: console.faceplusplus.com, documents 4888391 (create) and its neighbours, 40622157 (tasks).
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.facepp_account import FaceppAccount

HOUR_S = 3600


@pytest.fixture
def account() -> Iterator[FaceppAccount]:
    with FaceppAccount().opened() as account:
        yield account


@pytest.fixture
def slow() -> Iterator[FaceppAccount]:
    """Return an account whose tasks take ten seconds."""
    with FaceppAccount().opened(training_s=10) as account:
        yield account


def test_a_face_in_no_faceset_dies(account: FaceppAccount) -> None:
    account.done("faceset/create", outer_id="g")
    kept, removed, lost = account.tokens(3)
    account.add("g", [kept, removed])
    account.now += 72 * HOUR_S - 1
    assert account.done("face/getdetail", face_token=lost)["facesets"] == []
    account.done("faceset/removeface", outer_id="g", face_tokens=removed)
    account.now += 1
    assert account.error("face/getdetail", face_token=lost) == f"INVALID_FACE_TOKEN: {lost}"
    assert account.add("g", [lost])[0]["failure_detail"][0]["reason"] == "INVALID_FACE_TOKEN"
    account.now += 72 * HOUR_S - 2
    account.done("face/getdetail", face_token=removed)
    account.now += 1
    assert account.error("face/getdetail", face_token=removed) == f"INVALID_FACE_TOKEN: {removed}"
    assert account.done("faceset/getdetail", outer_id="g")["face_tokens"] == [kept]
    account.done("faceset/delete", outer_id="g", check_empty=0)
    account.now += 72 * HOUR_S
    account.tokens(1)
    assert account.error("face/getdetail", face_token=kept) == f"INVALID_FACE_TOKEN: {kept}"


def test_tasks(slow: FaceppAccount) -> None:
    slow.done("faceset/create", outer_id="g")
    face = slow.tokens(1)[0]
    adding = slow.done("faceset/async/addface", outer_id="g", face_tokens=f"{face},unknown")
    assert set(adding) == {"request_id", "time_used", "task_id"}
    slow.now += 9
    running_ = slow.done("faceset/async/task_status", task_id=adding["task_id"])
    assert running_["status"] == 0
    assert slow.done("faceset/getdetail", outer_id="g")["face_count"] == 0
    slow.now += 1
    added = slow.done("faceset/async/task_status", task_id=adding["task_id"])
    assert added["failure_detail"] == [{"reason": "INVALID_FACE_TOKEN", "face_token": "unknown"}]
    assert (added["status"], added["face_added"], added["face_count"]) == (1, 1, 1)
    every = {"outer_id": "g", "face_tokens": "RemoveAllFaceTokens"}
    removing = slow.done("faceset/async/removeface", **every)
    slow.now += 10
    assert slow.done("faceset/getdetail", outer_id="g")["face_count"] == 0
    removed = slow.done("faceset/async/task_status", task_id=removing["task_id"])
    assert (removed["status"], removed["face_removed"], removed["outer_id"]) == (1, 1, "g")


def test_tasks_that_fail(slow: FaceppAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    slow.done("faceset/create", outer_id="g")
    task = slow.done("faceset/async/addface", outer_id="g", face_tokens="a")["task_id"]
    slow.done("faceset/delete", outer_id="g")
    slow.now += 10
    status = slow.done("faceset/async/task_status", task_id=task)
    assert (status["status"], status["task_failure_detail"]) == (-1, "INVALID_FACESET_TOKEN")
    assert slow.error("faceset/async/task_status", task_id="no") == "INVALID_TASK_ID"
    monkeypatch.setattr("providers.emulators.facepp_tasks._QUEUE_MAX", 0)
    slow.done("faceset/create", outer_id="g")
    full = slow.ask("faceset/async/addface", outer_id="g", face_tokens="a")
    assert (full.status_code, full.json()["error_message"]) == (503, "TASK_QUEUE_IS_FULL")


def test_what_an_account_holds_survives_a_restart(tmp_path: Path) -> None:
    with FaceppAccount().opened(state=tmp_path, training_s=10) as account:
        account.done("faceset/create", outer_id="g", display_name="Group")
        face, other, probe = (account.tokens(1, person)[0] for person in (1, 2, 1))
        account.add("g", [face])
        account.done("face/setuserid", face_token=face, user_id="someone")
        adding = account.done("faceset/async/addface", outer_id="g", face_tokens=other)
    account.now += 10
    with account.opened(state=tmp_path):
        assert account.done("faceset/async/task_status", task_id=adding["task_id"])["status"] == 1
        found = account.done("search", outer_id="g", face_token=probe)["results"]
        assert [(row["face_token"], row["user_id"]) for row in found] == [(face, "someone")]
