"""How every adapter tells what went wrong, and that it sends each request once."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from providers.base import Failure, FailureKind, TrainingState
from tests.conformance.account import Account, Connect, Row

Calls = dict[str, Callable[[], Any]]
NOBODY = "00000000-0000-4000-8000-000000000000"


def calls(account: Account) -> Calls:
    """Fill an account; return every verb that it has with arguments that are right.

    Deletion comes last; each of the others can be carried out after those before it.
    """
    people = account.fill()
    provider, photo = account.provider, account.photo
    someone = people[0]
    by_person = account.capabilities.attaches_by_person
    enrolled = someone.faces[0] if account.capabilities.compares_faces else someone.id
    face = account.send("g", someone.id, photo(0, 5))
    account.train("g")
    probe = provider.detect(photo(0, 1)) if account.has("detect") else ""
    every: Calls = {
        "create_gallery": lambda: provider.create_gallery("another"),
        "add_person": lambda: provider.add_person("g", "person-9"),
        "enrol": lambda: account.send("g", someone.id, photo(0, 6)),
        "attach": lambda: provider.attach("g", someone.id if by_person else "", [face]),
        "label": lambda: provider.label("g", face, someone.id),
        "train": lambda: provider.train("g"),
        "training_state": lambda: provider.training_state("g"),
        "detect": lambda: provider.detect(photo(1, 1)),
        "identify": lambda: provider.identify("g", [probe], 0.0, 5),
        "identify_photo": lambda: provider.identify_photo("g", photo(0, 1), 0.0, 5),
        "verify": lambda: provider.verify("g", probe, enrolled),
        "list_galleries": provider.list_galleries,
        "list_gallery": lambda: provider.list_gallery("g"),
        "list_faces": lambda: provider.list_faces("g", someone.id),
        "remove_person": lambda: provider.remove_person("g", someone.id),
        "remove_faces": lambda: provider.remove_faces("g", someone.faces),
        "delete_gallery": lambda: provider.delete_gallery("g"),
    }
    assert set(account.capabilities.operations) <= set(every)
    return {verb: call for verb, call in every.items() if account.has(verb)}


def enrol(account: Account, photo: bytes, gallery: str = "g", tag: str = "person-9") -> None:
    account.enrol(gallery, account.person(gallery, tag), [photo])


@pytest.mark.needs("emulator")
@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("429", FailureKind.THROTTLED),
        ("500", FailureKind.TRANSIENT),
        ("503", FailureKind.TRANSIENT),
        ("reset", FailureKind.TRANSIENT),
        ("lost_response", FailureKind.TRANSIENT),
        ("half_body", FailureKind.TRANSIENT),
    ],
)
def test_each_verb_sends_one_request_however_it_fails(
    account: Account, fault: str, expected: FailureKind
) -> None:
    every = calls(account)
    before = len(account.log())
    account.disturb("*", fault)
    kinds = {verb: account.failure(call).kind for verb, call in every.items()}
    assert kinds == dict.fromkeys(every, expected)
    sent = [(entry["operation"], entry["fault"]) for entry in account.log()[before:]]
    assert sent == [(account.capabilities.operations[verb], fault) for verb in every]


@pytest.mark.needs("emulator")
def test_silence_is_given_up(account: Account, connect: Connect) -> None:
    account.provider.create_gallery("g")
    person = account.person("g", "person-0")
    impatient = connect(account.url, read_timeout_s=0.2).provider
    account.disturb("*", "hang", seconds=600)
    before = len(account.log())
    for call in (
        impatient.list_galleries,
        lambda: impatient.enrol("g", person, account.photo(0), "photo-0"),
    ):
        assert account.failure(call).kind is FailureKind.TRANSIENT
    assert [entry["fault"] for entry in account.log()[before:]] == ["hang", "hang"]


@pytest.mark.needs("emulator")
def test_nobody_listening_is_transient(connect: Connect) -> None:
    account = connect("http://127.0.0.1:9")
    assert account.failure(account.provider.list_galleries).kind is FailureKind.TRANSIENT


@pytest.mark.needs("emulator")
def test_a_service_throttles_in_its_own_form(account: Account) -> None:
    account.control("rate", {"calls": 1, "per_s": 3600})
    account.provider.list_galleries()
    told = account.failure(account.provider.list_galleries)
    assert told.kind is FailureKind.THROTTLED
    own = {"azure": "429", "facepp": "CONCURRENCY_LIMIT_EXCEEDED"}
    amazon = "ProvisionedThroughputExceededException"
    assert told.code == own.get(account.row.name, amazon)


def test_a_gallery_exists_once(account: Account) -> None:
    account.provider.create_gallery("g")
    told = account.failure(lambda: account.provider.create_gallery("g"))
    assert told.kind is FailureKind.CONFLICT


@pytest.mark.needs("emulator")
def test_a_lost_creation_is_there_when_sent_again(account: Account) -> None:
    account.disturb("*", "lost_response")
    account.failure(lambda: account.provider.create_gallery("g"))
    account.control("faults", {"rules": []})
    told = account.failure(lambda: account.provider.create_gallery("g"))
    assert told.kind is FailureKind.CONFLICT
    assert list(account.provider.list_galleries()) == ["g"]


def test_what_does_not_exist_is_absent(account: Account) -> None:
    account.fill()
    account.provider.delete_gallery("g")
    provider = account.provider
    absent: Calls = {
        "enrol": lambda: enrol(account, account.photo(0)),
        "ask": lambda: account.ask(account.photo(0)),
        "train": lambda: provider.train("g"),
        "training_state": lambda: provider.training_state("g"),
        "list_gallery": lambda: provider.list_gallery("g"),
        "list_faces": lambda: provider.list_faces("g", NOBODY),
        "remove_person": lambda: provider.remove_person("g", NOBODY),
        "remove_faces": lambda: provider.remove_faces("g", [NOBODY]),
        "delete_gallery": lambda: provider.delete_gallery("g"),
    }
    owed = {"enrol", "ask", *account.capabilities.operations}
    kinds = {verb: account.failure(call).kind for verb, call in absent.items() if verb in owed}
    assert kinds == dict.fromkeys(kinds, FailureKind.ABSENT)


@pytest.mark.needs("remove_person")
def test_who_was_never_there_is_absent(account: Account) -> None:
    account.fill()
    told = account.failure(lambda: account.provider.remove_person("g", NOBODY))
    assert told.kind is FailureKind.ABSENT
    assert len(account.held()) == 6


@pytest.mark.needs("remove_person", "remove_faces")
def test_faces_are_not_removed_before_their_person(account: Account) -> None:
    people = account.fill()
    told = account.failure(lambda: account.provider.remove_faces("g", people[0].faces))
    assert told.kind is FailureKind.BUSY
    assert sorted(account.held()) == sorted(face for person in people for face in person.faces)


@pytest.mark.needs("train")
def test_a_gallery_is_busy_while_it_trains(account_at: Connect) -> None:
    account = account_at(training_s=3600)
    account.provider.create_gallery("g")
    enrol(account, account.photo(0))
    account.provider.train("g")
    assert account.provider.training_state("g") is TrainingState.RUNNING
    for call in (lambda: account.ask(account.photo(0)), lambda: account.provider.train("g")):
        assert account.failure(call).kind is FailureKind.BUSY


def refusal(account: Account, call: Callable[[], Any]) -> Failure:
    told = account.failure(call)
    assert told.kind is FailureKind.PHOTO
    assert told.code
    return told


def test_a_photo_without_a_face_is_told_apart(account: Account) -> None:
    account.fill()
    nobody = account.photo(0, faces=0)
    assert refusal(account, lambda: enrol(account, nobody)).no_face
    assert refusal(account, lambda: account.ask(nobody)).no_face
    assert len(account.ask(account.photo(0))) == 3


@pytest.mark.parametrize("content", ["text", "half a picture"])
def test_what_is_no_picture_is_refused(account: Account, content: str) -> None:
    account.fill()
    picture = b"no picture " * 500 if content == "text" else account.photo(0)[:2000]
    for call in (lambda: enrol(account, picture), lambda: account.ask(picture)):
        assert not refusal(account, call).no_face


def is_taken(account: Account, picture: bytes) -> bool:
    """Tell whether a picture is looked at; in a large one, the face may be too small to see."""
    try:
        account.ask(picture)
    except Exception as error:  # noqa: BLE001 - as each SDK has its own
        return account.provider.classify(error).no_face
    return True


@pytest.mark.needs("emulator")
def test_the_limits_of_photos_are_those_of_the_capabilities(account: Account) -> None:
    account.fill()
    limits, photo = account.capabilities, account.photo
    longest, shortest = limits.image_side_max_px, limits.image_side_min_px
    within = [
        photo(0, size=(longest, 128)),
        photo(0) + bytes(limits.image_bytes_max - 50_000),
    ]
    beyond = [
        photo(0, size=(longest + 1, 128)),
        photo(0) + bytes(limits.image_bytes_max),
        *([photo(0, size=(shortest - 1, 128))] if shortest > 1 else []),
    ]
    for picture in within:
        assert is_taken(account, picture)
    for number, picture in enumerate(beyond):
        refusal(account, partial(account.ask, picture))
        refusal(account, partial(enrol, account, picture, tag=f"person-{10 + number}"))


def test_the_formats_of_photos_are_those_of_the_capabilities(account: Account) -> None:
    account.fill()
    for name in ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF"):
        ask = partial(account.ask, account.photo(0, file_format=name))
        if name in account.capabilities.image_formats:
            assert ask()
        else:
            refusal(account, ask)


@pytest.mark.needs("emulator")
def test_a_wrong_key_is_refused(row: Row, emulator: Callable[..., str], connect: Connect) -> None:
    url = emulator(row.name, keys=frozenset({"right"}))
    wrong, right = connect(url), connect(url, **{row.keys[0]: "right"})
    told = wrong.failure(wrong.provider.list_galleries)
    assert told.kind is FailureKind.REFUSED
    assert "To do:" in told.message
    assert list(right.provider.list_galleries()) == []


@pytest.mark.needs("emulator")
def test_a_missing_approval_is_refused(account_at: Connect) -> None:
    account = account_at(gated=True)

    def life() -> None:
        account.fill()
        account.ask(account.photo(0))

    told = account.failure(life)
    assert told.kind is FailureKind.REFUSED
    assert "To do:" in told.message


@pytest.mark.needs("emulator")
def test_a_full_account_is_a_quota(account_at: Connect) -> None:
    account = account_at(faces_max=1)
    account.provider.create_gallery("g")
    enrol(account, account.photo(0), tag="person-0")
    told = account.failure(lambda: enrol(account, account.photo(1), tag="person-1"))
    assert told.kind is FailureKind.QUOTA


@pytest.mark.needs("emulator")
def test_a_defect_tells_no_key(account: Account) -> None:
    told = account.provider.classify(RuntimeError(f"sent with {account.key}"))
    assert told.kind is FailureKind.FATAL
    assert account.key not in repr(told)
