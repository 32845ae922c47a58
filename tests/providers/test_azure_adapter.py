"""The adapter through the real SDK against the emulator, over a real socket."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import requests

from audit.errors import UserError
from providers.azure import AzureProvider
from providers.base import FailureKind, GalleryPage, Provider, RemotePerson, TrainingState
from tests.providers.stub_emulator import photo

Log = Callable[[], list[dict[str, Any]]]


def trained(azure: Provider, people: int = 3) -> dict[int, str]:
    azure.create_gallery("g")
    ids = {person: azure.add_person("g", f"tag-{person}") for person in range(people)}
    for person, person_id in ids.items():
        azure.enrol("g", person_id, photo(person), f"photo-{person}")
    azure.train("g")
    assert azure.training_state("g") is TrainingState.SUCCEEDED
    return ids


def failure(call: Callable[[], object]) -> Exception:
    with pytest.raises(Exception) as caught:
        call()
    return caught.value


def test_whole_life(azure: AzureProvider, emulator: str) -> None:
    ids = trained(azure)
    face = azure.detect(photo(1, 2))
    [ranked] = azure.identify("g", [face], 0.0, 100)
    assert ranked[0].person_id == ids[1]
    assert {candidate.person_id for candidate in ranked} == set(ids.values())
    assert ranked[0].score == ranked[0].native_score == pytest.approx(0.9988, abs=1e-3)
    assert ranked[1].score < 0.01
    assert azure.verify("g", face, ids[1]) == ranked[0]
    assert azure.verify("g", face, ids[0]).score < 0.01
    assert azure.list_galleries() == ["g"]
    held = azure.list_gallery("g")
    assert {person.tag: person.id for person in held.people} == {
        f"tag-{number}": person for number, person in ids.items()
    }
    assert [len(person.face_ids) for person in held.people] == [1, 1, 1]
    azure.delete_gallery("g")
    assert azure.list_galleries() == []
    assert requests.get(f"{emulator}/__emulator__/galleries", timeout=10).json() == []


def test_identify_answers_in_the_order_of_the_faces(azure: AzureProvider) -> None:
    ids = trained(azure)
    order = [2, 0, 1, 2, 0, 1, 2, 0, 1, 2]
    faces = [azure.detect(photo(person, 1)) for person in order]
    answers = azure.identify("g", faces, 0.5, 100)
    assert [[found.person_id for found in answer] for answer in answers] == [
        [ids[person]] for person in order
    ]


def test_identify_censors_below_the_threshold(azure: AzureProvider) -> None:
    trained(azure)
    stranger = azure.detect(photo(5))
    assert azure.identify("g", [stranger], 0.5, 100) == [[]]
    [everyone] = azure.identify("g", [stranger], 0.0, 100)
    assert len(everyone) == 3
    assert len(azure.identify("g", [stranger], 0.0, 2)[0]) == 2


def test_the_largest_face_of_a_probe_counts(azure: AzureProvider) -> None:
    ids = trained(azure)
    [ranked] = azure.identify("g", [azure.detect(photo(1, faces=2))], 0.5, 10)
    assert [candidate.person_id for candidate in ranked] == [ids[1]]


def test_models_and_lifetime_are_always_sent(azure: AzureProvider, emulator: str) -> None:
    trained(azure)
    group = requests.get(
        f"{emulator}/face/v1.2/largepersongroups/g?returnRecognitionModel=true",
        headers={"Ocp-Apim-Subscription-Key": "any"},
        timeout=10,
    ).json()
    assert group["recognitionModel"] == "recognition_04"
    assert azure.service_model == "v1.2 recognition_04 detection_03"


def test_listings_are_read_page_by_page(
    azure: AzureProvider, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = replace(azure.capabilities, list_page=3)
    monkeypatch.setattr(AzureProvider, "describe", lambda _: table)
    for gallery in "abcdefg":
        azure.create_gallery(gallery)
    tags = {azure.add_person("a", f"tag-{number}"): f"tag-{number}" for number in range(6)}
    assert azure.list_galleries() == list("abcdefg")
    people = [RemotePerson(person, tags[person], ()) for person in sorted(tags)]
    assert azure.list_gallery("a") == GalleryPage(tuple(people[:3]), people[2].id)
    # Nothing tells that a full page is the last one.
    assert azure.list_gallery("a", people[2].id) == GalleryPage(tuple(people[3:]), people[5].id)
    assert azure.list_gallery("a", people[5].id) == GalleryPage(())
    pages = [row["operation"] for row in log()].count("GetLargePersonGroupPersons")
    assert pages == 3


def test_faces_are_listed_in_one_request(azure: AzureProvider, log: Log) -> None:
    azure.create_gallery("g")
    person = azure.add_person("g", "someone")
    faces = [
        azure.enrol("g", person, photo(0, variant), f"tag-{variant}").id for variant in range(4)
    ]
    before = len(log())
    assert azure.list_faces("g", person) == faces
    assert [row["operation"] for row in log()[before:]] == ["GetLargePersonGroupPerson"]


def test_a_person_is_removed_with_the_faces(azure: AzureProvider, emulator: str) -> None:
    ids = trained(azure)
    azure.remove_person("g", ids[1])
    [gallery] = requests.get(f"{emulator}/__emulator__/galleries", timeout=10).json()
    assert {person["person_id"] for person in gallery["persons"]} == {ids[0], ids[2]}
    told = azure.classify(failure(lambda: azure.remove_person("g", ids[1])))
    assert (told.kind, told.code) == (FailureKind.ABSENT, "PersonNotFound")


def test_training_is_one_post(azure: AzureProvider, log: Log) -> None:
    trained(azure)
    asked = [row["operation"] for row in log()]
    assert asked.count("TrainLargePersonGroup") == 1
    assert asked.count("GetLargePersonGroupTrainingStatus") == 1


def test_training_an_empty_gallery_fails(azure: AzureProvider) -> None:
    azure.create_gallery("g")
    azure.train("g")
    assert azure.training_state("g") is TrainingState.FAILED


def test_account_tells_keys_apart_without_holding_them(
    connect: Callable[..., AzureProvider],
) -> None:
    first, second = (connect("https://x.cognitiveservices.azure.com/", key=key) for key in "ab")
    digest = hashlib.sha256(b"a").hexdigest()[:8]
    assert first.account == f"azure/x.cognitiveservices.azure.com/{digest}"
    assert second.account != first.account


def test_the_key_is_in_no_text(azure: AzureProvider) -> None:
    secret = azure._key
    assert secret not in repr(azure)
    assert secret not in str(azure)
    assert secret not in azure.account
    with pytest.raises(Exception, match="ot found") as caught:
        azure.train("nowhere")
    assert secret not in repr(caught.value)
    failure = azure.classify(RuntimeError(f"sent with {secret}"))
    assert secret not in repr(failure)
    assert "[key]" in failure.message


@pytest.mark.parametrize(
    "endpoint", ["", "x.cognitiveservices.azure.com", "ftp://x", "https://", "https://x/face/v1.0"]
)
def test_unusable_endpoints_are_refused(endpoint: str) -> None:
    with pytest.raises(UserError, match="no usable address"):
        AzureProvider(endpoint, "key")


def test_an_empty_key_is_refused() -> None:
    with pytest.raises(UserError, match="AZURE_FACE_KEY"):
        AzureProvider("https://x", "")
