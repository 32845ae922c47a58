"""What an emulator knows survives its end, however it ends."""

import json
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any

import pytest
import requests

from audit.errors import UserError
from providers.azure import AzureProvider
from providers.base import TrainingState
from providers.emulators.options import Options
from providers.emulators.server import running, serve
from tests.providers.stub_emulator import CALIBRATION, StubRecogniser, photo

Connect = Callable[..., AzureProvider]
ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("stub_emulator.py")


def emulator(**options: Any) -> AbstractContextManager[str]:
    return running("azure", StubRecogniser(), CALIBRATION, options=Options(**options))


def process(state: Path) -> tuple[subprocess.Popen[str], str]:
    """Start a real emulator process; return it and its URL."""
    child = subprocess.Popen(
        [sys.executable, str(SCRIPT), str(state)],
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": str(ROOT)},
    )
    assert child.stdout is not None
    first = child.stdout.readline()
    assert first.startswith("listening on http://127.0.0.1:"), first
    return child, first.removeprefix("listening on ").strip()


def end(child: subprocess.Popen[str], sent: signal.Signals) -> int:
    child.send_signal(sent)
    code = child.wait(timeout=30)
    assert child.stdout is not None
    child.stdout.close()
    return code


def test_everything_survives_a_restart(connect: Connect, tmp_path: Path) -> None:
    with emulator(state=tmp_path) as url:
        azure = connect(url)
        azure.create_gallery("g")
        person = azure.add_person("g", "someone")
        face = azure.enrol("g", person, photo(2), "tag").id
        azure.train("g")
        probe = azure.detect(photo(2, 3))
        before = azure.identify("g", [probe], 0.0, 10)
        azure.close()
    with emulator(state=tmp_path) as url:
        azure = connect(url)
        assert azure.training_state("g") is TrainingState.SUCCEEDED
        assert azure.identify("g", [probe], 0.0, 10) == before
        assert before[0][0].person_id == person
        assert azure.list_faces("g", person) == [face]
        azure.close()


def test_lists_and_small_groups_survive_a_restart(tmp_path: Path) -> None:
    headers = {"Ocp-Apim-Subscription-Key": "any", "Content-Type": "application/octet-stream"}
    kinds = ("persongroups", "facelists", "largefacelists")
    with emulator(state=tmp_path) as url:
        for kind in kinds:
            container = f"{url}/face/v1.2/{kind}/c"
            body = {"name": kind, "userData": "ours", "recognitionModel": "recognition_04"}
            key = {"Ocp-Apim-Subscription-Key": "any"}
            requests.put(container, json=body, headers=key, timeout=10).raise_for_status()
            if kind == "persongroups":
                continue
            faces = f"{container}/persistedfaces?userData=tag"
            added = requests.post(faces, photo(0), headers=headers, timeout=10)
            added.raise_for_status()
        before = [shown(url, kind) for kind in kinds]
        galleries = requests.get(f"{url}/__emulator__/galleries", timeout=10).json()
    with emulator(state=tmp_path) as url:
        assert [shown(url, kind) for kind in kinds] == before
        assert requests.get(f"{url}/__emulator__/galleries", timeout=10).json() == galleries
    assert [len(row.get("faces", [])) for row in galleries] == [0, 1, 1]


def shown(url: str, kind: str) -> Any:
    """Return what a client sees of the containers of a kind."""
    headers = {"Ocp-Apim-Subscription-Key": "any"}
    query = "returnRecognitionModel=true"
    answer = requests.get(f"{url}/face/v1.2/{kind}?{query}", headers=headers, timeout=10)
    return answer.json()


def test_what_was_answered_survives_kill_9(connect: Connect, tmp_path: Path) -> None:
    child, url = process(tmp_path)
    azure = connect(url)
    azure.create_gallery("g")
    person = azure.add_person("g", "someone")
    faces = [azure.enrol("g", person, photo(1, n), f"tag-{n}").id for n in range(5)]
    azure.train("g")
    probe = azure.detect(photo(1, 2))
    assert end(child, signal.SIGKILL) == -signal.SIGKILL
    azure.close()
    child, url = process(tmp_path)
    azure = connect(url)
    assert azure.list_faces("g", person) == faces
    [[found]] = azure.identify("g", [probe], 0.5, 10)
    assert found.person_id == person
    azure.close()
    end(child, signal.SIGTERM)


def test_an_interrupt_ends_it_quietly(tmp_path: Path) -> None:
    child, url = process(tmp_path)
    assert requests.get(f"{url}/__emulator__/log", timeout=10).json() == []
    assert end(child, signal.SIGINT) == 0


def test_a_hanging_request_does_not_stop_the_end(capfd: pytest.CaptureFixture[str]) -> None:
    seen: list[str] = []

    def ask(url: str) -> None:
        try:
            requests.get(f"{url}/face/v1.2/largepersongroups", timeout=60)
        except requests.ConnectionError as error:
            seen.append(type(error).__name__)

    with emulator() as url:
        rules = [{"kind": "hang", "seconds": 3600}]
        requests.post(f"{url}/__emulator__/faults", json={"rules": rules}, timeout=10)
        thread = threading.Thread(target=ask, args=(url,))
        thread.start()
        while not requests.get(f"{url}/__emulator__/log", timeout=10).json():
            pass
    thread.join()
    assert seen == ["ConnectionError"]
    assert capfd.readouterr() == ("", "")


def test_the_log_holds_no_photo_and_no_key(connect: Connect) -> None:
    with emulator() as url:
        azure = connect(url)
        azure.create_gallery("g")
        person = azure.add_person("g", "someone")
        picture = photo(0)
        azure.enrol("g", person, picture, "tag")
        log = requests.get(f"{url}/__emulator__/log", timeout=10).json()
        azure.close()
    assert [set(row) for row in log] == [{"utc", "operation", "status", "body_size", "fault"}] * 3
    assert log[2]["body_size"] == len(picture)
    assert [row["status"] for row in log] == [200, 200, 200]
    assert azure._key not in json.dumps(log)


def test_a_port_in_use_is_told() -> None:
    with emulator() as url:
        port = int(url.rpartition(":")[2])
        with pytest.raises(UserError, match=f"Cannot listen on 127.0.0.1:{port}"):
            serve("azure", StubRecogniser(), CALIBRATION, port=port)


def test_unusable_state_is_told(tmp_path: Path) -> None:
    (tmp_path / "azure-stub.db").write_text("this is no database" * 99)
    with pytest.raises(UserError, match="cannot be used"), emulator(state=tmp_path):
        pass


def test_state_of_another_make_is_told(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "azure-stub.db")) as database:
        database.execute("CREATE TABLE persons (id TEXT PRIMARY KEY, gallery TEXT)")
    with (
        pytest.raises(UserError, match="cannot be used") as caught,
        emulator(state=tmp_path),
    ):
        pass
    assert "--state" in str(caught.value)


def test_an_unknown_service_is_told() -> None:
    with (
        pytest.raises(UserError, match="no emulator of 'acme'"),
        running("acme", StubRecogniser(), CALIBRATION),
    ):
        pass
