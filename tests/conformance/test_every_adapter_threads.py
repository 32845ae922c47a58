"""One adapter in many threads at once: each request once, each answer to the thread that asked."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

import pytest

from tests.conformance.account import Account, Connect, Enrolled

THREADS = 16
ENROLMENT = ("add_person", "enrol", "attach", "label")
PROBE = ("detect", "identify", "identify_photo")
REMOVAL = ("remove_person", "remove_faces")

Answer = TypeVar("Answer")


def at_once(work: Callable[[int], Answer]) -> list[Answer]:
    """Return what each thread's work gives, all begun at the same moment."""
    start = Barrier(THREADS, timeout=60)

    def begin(number: int) -> Answer:
        start.wait()
        return work(number)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(begin, range(THREADS)))


def ids(*people: Enrolled) -> list[str]:
    return sorted(face for person in people for face in person.faces)


def wire(account: Account, before: int) -> Counter[tuple[str, int]]:
    """Return how often each operation was sent, by its status."""
    return Counter((entry["operation"], entry["status"]) for entry in account.log()[before:])


def owed(account: Account, *verbs: str) -> Counter[tuple[str, int]]:
    if not account.url:
        return Counter()
    names = [account.capabilities.operations[verb] for verb in verbs if account.has(verb)]
    return Counter((name, 200) for name in names * THREADS)


def test_threads_share_an_adapter(account: Account) -> None:
    people = account.fill()

    def enrol(number: int) -> Enrolled:
        photo = account.photo(3 + number % 3, number // 3)
        return account.enrol("g", account.person("g", f"thread-{number}"), [photo])

    def ask(number: int) -> list[str]:
        return [one.person_id for one in account.ask(account.photo(number % 3, 1), threshold=0.5)]

    before = len(account.log())
    both = at_once(lambda number: (enrol(number), ask(number)))
    assert wire(account, before) == owed(account, *ENROLMENT, *PROBE)
    assert [offered for _, offered in both] == [[people[n % 3].id] for n in range(THREADS)]
    enrolled = [person for person, _ in both]
    assert sorted(account.held()) == ids(*people, *enrolled)

    before = len(account.log())
    at_once(lambda number: account.remove("g", enrolled[number]))
    assert wire(account, before) == owed(account, *REMOVAL)
    assert sorted(account.held()) == ids(*people)


@pytest.mark.needs("emulator")
def test_connections_are_kept(account_at: Connect, caplog: pytest.LogCaptureFixture) -> None:
    account = account_at(latency_ms=100)  # so that all are in flight together
    at_once(lambda _: account.provider.list_galleries())
    assert account.sent("list_galleries") == THREADS
    assert "pool is full" not in caplog.text
