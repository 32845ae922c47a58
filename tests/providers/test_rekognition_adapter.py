"""The adapter through boto3 against the emulator, over a real socket."""

import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import requests
from PIL import Image

from providers.base import EXPIRED, FailureKind, GalleryPage, PhotoRefusedError, RemotePerson
from providers.rekognition import FacesInUseError, RekognitionProvider
from tests.providers.stub_emulator import photo

Connect = Callable[..., RekognitionProvider]
Log = Callable[[], list[dict[str, Any]]]
pytestmark = pytest.mark.usefixtures("aws_configuration")
NOBODY = "00000000-0000-4000-8000-000000000000"


@pytest.fixture(scope="module")
def service() -> str:
    return "rekognition"


def enrol(rekognition: RekognitionProvider, photos: dict[str, list[bytes]]) -> dict[str, list[str]]:
    """Enrol people's photos in gallery `g`; return their face ids."""
    rekognition.create_gallery("g")
    ids = {}
    for person, images in photos.items():
        if rekognition.capabilities.has("add_person"):
            assert rekognition.add_person("g", person) == person
        ids[person] = [rekognition.enrol("g", person, image, "tag").id for image in images]
        if rekognition.capabilities.has("attach"):
            assert rekognition.attach("g", person, ids[person]) == {}
    return ids


def page(people: dict[str, list[str]]) -> GalleryPage:
    """Return the only page of a gallery: everyone's face ids."""
    held = (RemotePerson(person, person, tuple(faces)) for person, faces in people.items())
    return GalleryPage(tuple(held))


@pytest.mark.parametrize("gallery", ["faces", "users"])
def test_whole_life(emulator: str, connect: Connect, gallery: str) -> None:
    rekognition = connect(emulator, gallery=gallery)
    enrolled = enrol(rekognition, {f"person-{number}": [photo(number)] for number in range(3)})
    ranked = rekognition.identify_photo("g", photo(1, 2), 0.0, 100)
    assert ranked[0].person_id == "person-1"
    assert {candidate.person_id for candidate in ranked} == set(enrolled)
    assert ranked[0].score == pytest.approx(0.9988, abs=1e-3)
    assert ranked[0].native_score == pytest.approx(100 * ranked[0].score)
    assert ranked[1].score < 0.01
    assert rekognition.list_galleries() == ["g"]
    held = {person.tag: list(person.face_ids) for person in rekognition.list_gallery("g").people}
    assert held == enrolled
    [stored] = requests.get(f"{emulator}/__emulator__/galleries", timeout=10).json()
    assert {person["person"] for person in stored["persons"]} == set(enrolled)
    rekognition.delete_gallery("g")
    assert rekognition.list_galleries() == []


@pytest.mark.parametrize("gallery", ["faces", "users"])
def test_identify_censors_below_the_threshold(
    emulator: str, connect: Connect, gallery: str
) -> None:
    rekognition = connect(emulator, gallery=gallery)
    enrol(rekognition, {f"person-{number}": [photo(number)] for number in range(3)})
    everyone = rekognition.identify_photo("g", photo(1), 0.0, 100)
    assert len(everyone) == 3
    assert rekognition.identify_photo("g", photo(1), 0.0, 2) == everyone[:2]
    assert rekognition.identify_photo("g", photo(1), 0.5, 100) == everyone[:1]
    assert rekognition.identify_photo("g", photo(5), 0.5, 100) == []


def test_a_person_is_offered_once_by_the_most_similar_face(faces: RekognitionProvider) -> None:
    enrol(faces, {"one": [photo(1, 8), photo(1), photo(1, 5)], "two": [photo(2)]})
    ranked = faces.identify_photo("g", photo(1), 0.0, 100)
    assert [candidate.person_id for candidate in ranked] == ["one", "two"]
    assert ranked[0].score == pytest.approx(0.9991, abs=1e-3)


def test_a_face_of_nobody_is_not_offered(faces: RekognitionProvider) -> None:
    enrol(faces, {"two": [photo(2)]})
    faces._client.index_faces(CollectionId="g", Image={"Bytes": photo(1)}, QualityFilter="NONE")
    ranked = faces.identify_photo("g", photo(1), 0.0, 100)
    assert [candidate.person_id for candidate in ranked] == ["two"]


@pytest.mark.parametrize("gallery", ["faces", "users"])
def test_the_largest_face_of_a_photo_counts(emulator: str, connect: Connect, gallery: str) -> None:
    rekognition = connect(emulator, gallery=gallery)
    enrol(rekognition, {"one": [photo(1)], "six": [photo(6)]})
    assert rekognition.enrol("g", "one", photo(1, 1), "tag").note == ""
    several = rekognition.enrol("g", "one", photo(1, faces=2), "tag")
    assert several.note == "1 not indexed: EXCEEDS_MAX_FACES"
    ranked = rekognition.identify_photo("g", photo(1, faces=2), 0.5, 100)
    assert [candidate.person_id for candidate in ranked] == ["one"]


def test_photos_that_are_not_indexed_are_refused_with_the_reasons(
    emulator: str, connect: Connect
) -> None:
    strict = connect(emulator, quality_filter="HIGH")
    strict.create_gallery("g")
    dark = io.BytesIO()
    Image.new("RGB", (160, 120), (25, 0, 0)).save(dark, "PNG")
    refusals = {"NoFace": photo(0, faces=0), "LOW_BRIGHTNESS,LOW_SHARPNESS": dark.getvalue()}
    for code, image in refusals.items():
        with pytest.raises(PhotoRefusedError) as caught:
            strict.enrol("g", "one", image, "tag")
        assert (caught.value.code, caught.value.no_face) == (code, code == "NoFace")
    assert strict.list_gallery("g") == GalleryPage(())


@pytest.mark.parametrize("gallery", ["faces", "users"])
def test_a_probe_without_a_face_is_told(emulator: str, connect: Connect, gallery: str) -> None:
    rekognition = connect(emulator, gallery=gallery)
    enrol(rekognition, {"one": [photo(1)]})
    with pytest.raises(Exception, match=r"[Nn]o face") as caught:
        rekognition.identify_photo("g", photo(0, faces=0), 0.0, 100)
    told = rekognition.classify(caught.value)
    assert (told.kind, told.no_face) == (FailureKind.PHOTO, True)


def test_an_enrolment_sent_twice_leaves_one_face(faces: RekognitionProvider) -> None:
    enrolled = enrol(faces, {"one": [photo(1), photo(1)]})["one"]
    assert len(set(enrolled)) == 1
    assert faces.list_gallery("g") == page({"one": enrolled[:1]})


def test_requests_for_users_can_be_sent_twice(emulator: str, connect: Connect) -> None:
    first, second = (connect(emulator, gallery="users") for _ in range(2))
    [face] = enrol(first, {"one": [photo(1)]})["one"]
    assert second.add_person("g", "one") == "one"
    assert second.attach("g", "one", [face]) == {}
    assert first.list_gallery("g") == page({"one": [face]})
    for users in (first, second):
        users.remove_person("g", "one")
    assert first.list_gallery("g") == page({"": [face]})


def test_faces_that_cannot_be_associated_are_told(users: RekognitionProvider) -> None:
    taken = enrol(users, {"one": [photo(1)], "two": [photo(2)]})["two"][0]
    unlike = users.enrol("g", "one", photo(3), "tag").id
    assert users.attach("g", "one", [taken, NOBODY, unlike]) == {
        taken: "ASSOCIATED_TO_A_DIFFERENT_USER",
        NOBODY: EXPIRED,
    }
    assert [(one.id, len(one.face_ids)) for one in users.list_gallery("g").people] == [
        ("one", 2),
        ("two", 1),
    ]


def test_faces_of_nobody_are_listed_too(faces: RekognitionProvider) -> None:
    enrolled = enrol(faces, {"one": [photo(1)]})
    indexed = faces._client.index_faces(
        CollectionId="g", Image={"Bytes": photo(2)}, QualityFilter="NONE"
    )
    nobody = indexed["FaceRecords"][0]["Face"]["FaceId"]
    assert faces.list_gallery("g") == page(enrolled | {"": [nobody]})


def test_faces_are_removed_after_their_user(users: RekognitionProvider) -> None:
    enrolled = enrol(users, {"one": [photo(1), photo(1, 3)], "two": [photo(2)]})
    with pytest.raises(FacesInUseError, match="2 faces are still a user's") as caught:
        users.remove_faces("g", [*enrolled["one"], NOBODY])
    told = users.classify(caught.value)
    assert (told.kind, told.code) == (FailureKind.BUSY, "ASSOCIATED_TO_AN_EXISTING_USER")
    users.remove_person("g", "one")
    for _ in range(2):
        users.remove_faces("g", [*enrolled["one"], NOBODY])
    assert users.list_gallery("g") == page({"two": enrolled["two"]})


def test_listings_are_read_page_by_page(
    users: RekognitionProvider, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = replace(users.capabilities, list_page=3)
    monkeypatch.setattr(RekognitionProvider, "describe", lambda *_: table)
    one, two = enrol(
        users, {"one": [photo(0, variant) for variant in range(5)], "two": [photo(1), photo(2)]}
    ).values()
    for gallery in "abcdef":
        users.create_gallery(gallery)
    assert sorted(users.list_galleries()) == list("abcdefg")
    first = users.list_gallery("g")
    second = users.list_gallery("g", first.next)
    third = users.list_gallery("g", second.next)
    assert first.people == page({"one": one[:3]}).people
    assert second.people == page({"one": one[3:], "two": two[:1]}).people
    assert third == page({"two": two[1:]})
    asked = [row["operation"] for row in log()]
    assert [asked.count(name) for name in ("ListCollections", "ListFaces")] == [3, 3]


@pytest.mark.parametrize("gallery", ["faces", "users"])
def test_each_verb_is_one_request_of_its_own_name(
    emulator: str, connect: Connect, log: Log, gallery: str
) -> None:
    rekognition = connect(emulator, gallery=gallery)
    enrolled = enrol(rekognition, {"one": [photo(1)]})
    rekognition.list_galleries()
    rekognition.list_gallery("g")
    rekognition.identify_photo("g", photo(1), 0.0, 100)
    if gallery == "users":
        rekognition.remove_person("g", "one")
    rekognition.remove_faces("g", enrolled["one"])
    rekognition.delete_gallery("g")
    asked = [row["operation"] for row in log()]
    assert sorted(asked) == sorted(rekognition.capabilities.operations.values())


def test_the_face_model_is_learned_from_answers(emulator: str, connect: Connect) -> None:
    rekognition = connect(emulator)
    assert rekognition.service_model == ""
    rekognition.create_gallery("g")
    assert rekognition.service_model == "FaceModelVersion 7.0"


def test_the_kind_of_gallery_decides_what_can_be_done(connect: Connect) -> None:
    assert connect().capabilities == RekognitionProvider.describe("faces")
    assert connect(gallery="users").capabilities == RekognitionProvider.describe("users")
