"""Faults as they look on the wire, and the rules and rates that bring them about."""

import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol
from urllib.parse import urlsplit

import pytest
import requests
from azure.core.exceptions import HttpResponseError
from hypothesis import given
from hypothesis import strategies as st

from providers.azure import AzureProvider
from providers.base import FailureKind, Rate
from providers.emulators.throttle import Throttle

Log = Callable[[], list[dict[str, Any]]]
Disturb = Callable[..., None]
REQUEST = (
    b"GET /face/v1.2/largepersongroups HTTP/1.1\r\nHost: here\r\n"
    b"Ocp-Apim-Subscription-Key: any\r\n\r\n"
)


class Clock(Protocol):
    now: float

    def __call__(self) -> float: ...


def raw_answer(url: str, *, timeout_s: float = 10.0) -> bytes:
    """Send a request on a socket and return all that comes back until it is closed."""
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    with socket.create_connection((parts.hostname, parts.port), timeout=timeout_s) as connection:
        connection.sendall(REQUEST)
        answer = b""
        while part := connection.recv(65536):
            answer += part
        return answer


def test_reset_is_a_reset(emulator: str, disturb: Disturb) -> None:
    disturb("*", "reset")
    with pytest.raises(ConnectionResetError):
        raw_answer(emulator)


def test_a_lost_response_is_a_close_without_a_byte(
    emulator: str, disturb: Disturb, log: Log
) -> None:
    disturb("*", "lost_response")
    assert raw_answer(emulator) == b""
    assert [(row["status"], row["fault"]) for row in log()] == [(200, "lost_response")]


def test_half_a_body_is_shorter_than_announced(
    emulator: str, azure: AzureProvider, disturb: Disturb
) -> None:
    azure.create_gallery("g")
    disturb("*", "half_body")
    head, _, body = raw_answer(emulator).partition(b"\r\n\r\n")
    [announced] = [line for line in head.split(b"\r\n") if line.startswith(b"content-length: ")]
    length = int(announced.partition(b": ")[2])
    assert 0 < len(body) == length // 2
    assert body.startswith(b'[{"largePersonGroupId":"g"')


def test_hanging_is_silence_and_then_an_answer(emulator: str, disturb: Disturb) -> None:
    disturb("*", "hang", seconds=600)
    with pytest.raises(TimeoutError):
        raw_answer(emulator, timeout_s=0.1)
    disturb("*", "hang", seconds=0.01)
    headers = {"Ocp-Apim-Subscription-Key": "any"}
    url = f"{emulator}/face/v1.2/largepersongroups"
    assert requests.get(url, headers=headers, timeout=10).json() == []


def test_nothing_is_done_for_a_client_that_left(
    emulator: str, connect: Callable[..., AzureProvider], disturb: Disturb
) -> None:
    impatient = connect(emulator, read_timeout_s=0.1)
    disturb("CreateLargePersonGroup", "hang", seconds=600)
    with pytest.raises(Exception, match="timed out"):
        impatient.create_gallery("g")
    assert impatient.list_galleries() == []


def test_every_nth_request_of_an_operation(
    emulator: str, azure: AzureProvider, disturb: Disturb, log: Log
) -> None:
    azure.create_gallery("g")
    disturb("getlargepersongroups", "503", every=3)
    for _ in range(3):
        azure.list_gallery("g")
    for _ in range(7):
        with suppress(HttpResponseError):
            azure.list_galleries()
    statuses = [row["status"] for row in log() if row["operation"] == "GetLargePersonGroups"]
    assert statuses == [200, 200, 503, 200, 200, 503, 200]
    requests.post(f"{emulator}/__emulator__/faults", json={"rules": []}, timeout=10)
    assert [len(azure.list_galleries()) for _ in range(3)] == [1, 1, 1]


@pytest.mark.parametrize(
    ("path", "document", "told"),
    [
        ("faults", {"rule": []}, "rules"),
        ("faults", {"rules": [{"kind": "flood"}]}, "kind is one of"),
        ("faults", {"rules": [{"kind": "reset", "oftn": 5}]}, "oftn"),
        ("faults", {"rules": [{"kind": "reset", "every": 0}]}, "every"),
        ("faults", {"rules": [{"kind": "reset", "operation": "Fly"}]}, "AddLargePersonGroup"),
        ("rate", {"calls": 0, "per_s": 1}, "calls"),
        ("rate", {"calls": 1}, "per_s"),
        ("rate", {"calls": 1, "per_s": "fast"}, "fast"),
    ],
)
def test_mistaken_orders_are_told(emulator: str, path: str, document: Any, told: str) -> None:
    answer = requests.post(f"{emulator}/__emulator__/{path}", json=document, timeout=10)
    assert answer.status_code == 400
    assert told in answer.json()["error"]


def test_unknown_control_paths_list_the_known(emulator: str) -> None:
    answer = requests.get(f"{emulator}/__emulator__/faults", timeout=10)
    assert answer.status_code == 404
    assert "POST faults" in answer.json()["error"]


def test_a_rate_is_kept_and_told(
    start: Callable[..., str], connect: Callable[..., AzureProvider], clock: Clock
) -> None:
    azure = connect(start(clock=clock, rate=Rate(2, 60.0)))
    azure.list_galleries()
    clock.now += 20
    azure.list_galleries()
    clock.now += 0.5
    with pytest.raises(Exception, match="Rate limit is exceeded") as caught:
        azure.list_galleries()
    told = azure.classify(caught.value)
    assert (told.kind, told.code, told.retry_after_s) == (FailureKind.THROTTLED, "429", 40.0)
    clock.now += 39.5
    assert azure.list_galleries() == []


def test_a_rate_can_be_changed_and_lifted(emulator: str, azure: AzureProvider) -> None:
    requests.post(f"{emulator}/__emulator__/rate", json={"calls": 1, "per_s": 3600}, timeout=10)
    azure.list_galleries()
    with pytest.raises(Exception, match="Rate limit is exceeded"):
        azure.list_galleries()
    requests.post(f"{emulator}/__emulator__/rate", json=None, timeout=10)
    assert [azure.list_galleries() for _ in range(3)] == [[]] * 3


@given(
    calls=st.integers(1, 5),
    gaps=st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0, 3.0]), max_size=60),
)
def test_no_window_holds_more_than_the_rate(calls: int, gaps: list[float]) -> None:
    now = [0.0]
    throttle = Throttle(Rate(calls, 2.0), lambda: now[0])
    passed: list[float] = []
    for gap in gaps:
        now[0] += gap
        wait_s = throttle.take()
        recent = [at for at in passed if at > now[0] - 2.0]
        if wait_s:
            assert len(recent) == calls
            assert recent[0] + 2.0 == now[0] + wait_s
        else:
            assert len(recent) < calls
            passed.append(now[0])
