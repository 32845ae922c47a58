"""What every adapter does when all goes well, through its real client on a real socket."""

import pytest
import requests

from audit.errors import UserError
from providers import registry
from providers.base import EXPIRED, FailureKind
from tests.conformance.account import Account, Connect, Row

FOUR_DAYS_S = 4 * 86400


class FakeClock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


def test_a_whole_life(account: Account) -> None:
    people = account.fill()
    ranked = account.ask(account.photo(1, 1))
    assert ranked[0].person_id == people[1].id
    assert {found.person_id for found in ranked} == {person.id for person in people}
    assert account.provider.list_galleries() == ["g"]
    assert sorted(account.held()) == sorted(face for person in people for face in person.faces)
    account.provider.delete_gallery("g")
    assert list(account.provider.list_galleries()) == []


def test_scores_and_ranks(account: Account) -> None:
    account.fill()
    ranked = account.ask(account.photo(1, 1))
    scores = [found.score for found in ranked]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > 0.95
    assert all(0 <= score < 0.1 for score in scores[1:])
    low, high = account.capabilities.score_scale
    natives = [found.native_score for found in ranked]
    assert natives == sorted(natives, reverse=True)
    assert all(low <= native <= high for native in natives)


def test_a_threshold_hides_and_a_number_cuts(account: Account) -> None:
    people = account.fill()
    everyone = account.ask(account.photo(1, 1))
    assert account.ask(account.photo(1, 1), threshold=0.5) == everyone[:1]
    assert everyone[0].person_id == people[1].id
    assert account.ask(account.photo(1, 1), candidates=2) == everyone[:2]
    assert account.ask(account.photo(5), threshold=0.5) == []
    assert len(account.ask(account.photo(5))) == 3


def test_the_largest_face_of_a_probe_counts(account: Account) -> None:
    people = account.fill()
    assert account.ask(account.photo(1, faces=2))[0].person_id == people[1].id


def test_photos_unlike_each_other_are_one_person(account: Account) -> None:
    account.provider.create_gallery("g")
    person_id = account.person("g", "person-0")
    faces = [
        face
        for look in (0, 1, 2)
        for face in account.enrol("g", person_id, [account.photo(look)]).faces
    ]
    account.train("g")
    assert sorted(account.held()) == sorted(faces)
    assert [found.person_id for found in account.ask(account.photo(2, 1))] == [person_id]


def test_galleries_know_nothing_of_one_another(account: Account) -> None:
    account.fill("g", people=1)
    account.provider.create_gallery("h")
    person = account.enrol("h", account.person("h", "person-4"), [account.photo(4)])
    account.train("h")
    assert [found.person_id for found in account.ask(account.photo(0), gallery="h")] == [person.id]


@pytest.mark.needs("identify")
def test_a_batch_is_answered_in_its_order(account: Account) -> None:
    people = account.fill()
    size = account.capabilities.identify_batch
    order = [(2, 0, 1)[number % 3] for number in range(size)]
    probes = [account.provider.detect(account.photo(person, 1)) for person in order]
    answers = account.provider.identify("g", probes, 0.5, 5)
    assert [[found.person_id for found in answer] for answer in answers] == [
        [people[person].id] for person in order
    ]


@pytest.mark.needs("verify")
def test_verification_is_never_censored(account: Account) -> None:
    people = account.fill()
    probe = account.provider.detect(account.photo(1, 1))

    def verified(person: int) -> float:
        by_face = account.capabilities.compares_faces
        enrolled = people[person].faces[0] if by_face else people[person].id
        candidate = account.provider.verify("g", probe, enrolled)
        assert candidate.person_id == enrolled
        return candidate.score

    assert verified(1) > 0.95
    assert 0 <= verified(0) < 0.1


def test_an_enrolment_sent_twice(account: Account) -> None:
    account.provider.create_gallery("g")
    person = account.person("g", "person-0")
    account.send("g", person, account.photo(0))
    account.enrol("g", person, [account.photo(0)])
    assert len(account.held()) == (1 if account.capabilities.enrolment_is_idempotent else 2)


@pytest.mark.needs("list_faces")
def test_the_faces_of_one_person_are_told_in_one_request(account: Account) -> None:
    people = account.fill()
    before = len(account.log())
    assert account.provider.list_faces("g", people[1].id) == people[1].faces
    assert len(account.log()) == before + 1


@pytest.mark.needs("emulator")
def test_the_service_holds_what_it_was_given(account: Account) -> None:
    people = account.fill()
    [gallery] = requests.get(f"{account.url}/__emulator__/galleries", timeout=10).json()
    assert gallery["gallery"] == "g"
    held = {row["person_id"]: row["faces"] for row in gallery["persons"]}
    assert {person: {face["face_id"] for face in faces} for person, faces in held.items()} == {
        person.id: set(person.faces) for person in people
    }


@pytest.mark.needs("detect")
def test_face_ids_expire(account_at: Connect) -> None:
    clock = FakeClock()
    account = account_at(clock=clock)
    people = account.fill()
    probe = account.provider.detect(account.photo(0))
    clock.now += FOUR_DAYS_S
    calls = [lambda: account.provider.identify("g", [probe], 0.0, 5)]
    if account.has("verify"):
        by_face = account.capabilities.compares_faces
        enrolled = people[0].faces[0] if by_face else people[0].id
        calls.append(lambda: [[account.provider.verify("g", probe, enrolled)]])
    assert {account.failure(call).kind for call in calls} == {FailureKind.ABSENT}
    assert account.ask(account.photo(0))[0].person_id == people[0].id


@pytest.mark.needs("attach", "detect")
def test_faces_expire_before_they_are_attached(account_at: Connect) -> None:
    clock = FakeClock()
    account = account_at(clock=clock)
    account.provider.create_gallery("g")
    face = account.send("g", "person-0", account.photo(0))
    clock.now += FOUR_DAYS_S
    assert account.provider.attach("g", "", [face]) == {face: EXPIRED}


@pytest.mark.needs("emulator")
def test_every_operation_is_known_to_the_emulator(account: Account) -> None:
    for operation in account.capabilities.operations.values():
        account.disturb(operation, "500", every=1000)
    tiers = account.capabilities.tiers.values()
    for pattern in {
        name for tier in tiers for name in (*tier.operation_rates, *tier.operation_usd)
    }:
        account.disturb(pattern, "500", every=1000)


def test_what_tells_of_an_account(account: Account) -> None:
    account.fill()
    assert account.provider.account.startswith(f"{account.row.name}/")
    assert account.provider.service_model
    assert account.capabilities.default_tier in account.capabilities.tiers


def test_a_kind_of_gallery_that_does_not_exist(row: Row) -> None:
    with pytest.raises(UserError, match="kind"):
        registry.capabilities(row.name, "no such kind")
