"""The adapter through boto3 against the emulator, over a real socket."""

import hashlib
import io
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from PIL import Image

from audit.errors import UserError
from providers.base import EXPIRED, FailureKind, GalleryPage, PhotoRefusedError, RemotePerson
from providers.emulators.options import Options
from providers.emulators.server import running
from providers.rekognition import FacesInUseError, RekognitionProvider

Connect = Callable[..., RekognitionProvider]
Photo = Callable[..., bytes]
Log = Callable[[], list[dict[str, Any]]]
KEYS = {
    "access_key_id": "AKIDOFTHETESTS",
    "secret_access_key": "s3cret-0f-the-tests",
    "session_token": "t0ken-0f-the-tests",
}
NOBODY = "00000000-0000-4000-8000-000000000000"


@pytest.fixture(scope="module")
def start(stub: SimpleNamespace) -> Iterator[Callable[..., str]]:
    """Start an emulator with options of its own; it ends with the module."""
    with ExitStack() as stack:

        def start(**options: Any) -> str:
            emulator = running(
                "rekognition", stub.StubRecogniser(), stub.CALIBRATION, options=Options(**options)
            )
            return stack.enter_context(emulator)

        yield start


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Leave boto3 nothing to find but an empty configuration file; return its path."""
    for name in ("REGION", "DEFAULT_REGION", "PROFILE", "ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    configuration = tmp_path / "config"
    configuration.touch()
    monkeypatch.setenv("AWS_CONFIG_FILE", str(configuration))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return configuration


@pytest.fixture
def connect() -> Iterator[Connect]:
    with ExitStack() as stack:

        def connect(endpoint: str | None = None, **settings: Any) -> RekognitionProvider:
            given: dict[str, Any] = {"region": "us-east-1", **KEYS, **settings}
            rekognition = RekognitionProvider(endpoint=endpoint, **given)
            stack.callback(rekognition.close)
            return rekognition

        yield connect


@pytest.fixture
def faces(emulator: str, connect: Connect) -> RekognitionProvider:
    return connect(emulator)


@pytest.fixture
def users(emulator: str, connect: Connect) -> RekognitionProvider:
    return connect(emulator, gallery="users")


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
def test_whole_life(emulator: str, connect: Connect, photo: Photo, gallery: str) -> None:
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
    emulator: str, connect: Connect, photo: Photo, gallery: str
) -> None:
    rekognition = connect(emulator, gallery=gallery)
    enrol(rekognition, {f"person-{number}": [photo(number)] for number in range(3)})
    everyone = rekognition.identify_photo("g", photo(1), 0.0, 100)
    assert len(everyone) == 3
    assert rekognition.identify_photo("g", photo(1), 0.0, 2) == everyone[:2]
    assert rekognition.identify_photo("g", photo(1), 0.5, 100) == everyone[:1]
    assert rekognition.identify_photo("g", photo(5), 0.5, 100) == []


def test_a_person_is_offered_once_by_the_most_similar_face(
    faces: RekognitionProvider, photo: Photo
) -> None:
    enrol(faces, {"one": [photo(1, 8), photo(1), photo(1, 5)], "two": [photo(2)]})
    ranked = faces.identify_photo("g", photo(1), 0.0, 100)
    assert [candidate.person_id for candidate in ranked] == ["one", "two"]
    assert ranked[0].score == pytest.approx(0.9991, abs=1e-3)


def test_a_face_of_nobody_is_not_offered(faces: RekognitionProvider, photo: Photo) -> None:
    enrol(faces, {"two": [photo(2)]})
    faces._client.index_faces(CollectionId="g", Image={"Bytes": photo(1)}, QualityFilter="NONE")
    ranked = faces.identify_photo("g", photo(1), 0.0, 100)
    assert [candidate.person_id for candidate in ranked] == ["two"]


@pytest.mark.parametrize("gallery", ["faces", "users"])
def test_the_largest_face_of_a_photo_counts(
    emulator: str, connect: Connect, photo: Photo, gallery: str
) -> None:
    rekognition = connect(emulator, gallery=gallery)
    enrol(rekognition, {"one": [photo(1)], "six": [photo(6)]})
    assert rekognition.enrol("g", "one", photo(1, 1), "tag").note == ""
    several = rekognition.enrol("g", "one", photo(1, faces=2), "tag")
    assert several.note == "1 not indexed: EXCEEDS_MAX_FACES"
    ranked = rekognition.identify_photo("g", photo(1, faces=2), 0.5, 100)
    assert [candidate.person_id for candidate in ranked] == ["one"]


def test_photos_that_are_not_indexed_are_refused_with_the_reasons(
    emulator: str, connect: Connect, photo: Photo
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
def test_a_probe_without_a_face_is_told(
    emulator: str, connect: Connect, photo: Photo, gallery: str
) -> None:
    rekognition = connect(emulator, gallery=gallery)
    enrol(rekognition, {"one": [photo(1)]})
    with pytest.raises(Exception, match=r"[Nn]o face") as caught:
        rekognition.identify_photo("g", photo(0, faces=0), 0.0, 100)
    told = rekognition.classify(caught.value)
    assert (told.kind, told.no_face) == (FailureKind.PHOTO, True)


def test_an_enrolment_sent_twice_leaves_one_face(faces: RekognitionProvider, photo: Photo) -> None:
    enrolled = enrol(faces, {"one": [photo(1), photo(1)]})["one"]
    assert len(set(enrolled)) == 1
    assert faces.list_gallery("g") == page({"one": enrolled[:1]})


def test_requests_for_users_can_be_sent_twice(
    emulator: str, connect: Connect, photo: Photo
) -> None:
    first, second = (connect(emulator, gallery="users") for _ in range(2))
    [face] = enrol(first, {"one": [photo(1)]})["one"]
    assert second.add_person("g", "one") == "one"
    assert second.attach("g", "one", [face]) == {}
    assert first.list_gallery("g") == page({"one": [face]})
    for users in (first, second):
        users.remove_person("g", "one")
    assert first.list_gallery("g") == page({"": [face]})


def test_faces_that_cannot_be_associated_are_told(users: RekognitionProvider, photo: Photo) -> None:
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


def test_faces_of_nobody_are_listed_too(faces: RekognitionProvider, photo: Photo) -> None:
    enrolled = enrol(faces, {"one": [photo(1)]})
    indexed = faces._client.index_faces(
        CollectionId="g", Image={"Bytes": photo(2)}, QualityFilter="NONE"
    )
    nobody = indexed["FaceRecords"][0]["Face"]["FaceId"]
    assert faces.list_gallery("g") == page(enrolled | {"": [nobody]})


def test_faces_are_removed_after_their_user(users: RekognitionProvider, photo: Photo) -> None:
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
    users: RekognitionProvider, photo: Photo, log: Log, monkeypatch: pytest.MonkeyPatch
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
    emulator: str, connect: Connect, photo: Photo, log: Log, gallery: str
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


def test_proxies_are_not_for_this_machine(
    emulator: str, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert connect(emulator).list_galleries() == []


def test_account_tells_keys_and_regions_apart_without_holding_them(
    connect: Connect, emulator: str
) -> None:
    digest = hashlib.sha256(KEYS["access_key_id"].encode()).hexdigest()[:8]
    assert connect().account == f"rekognition/us-east-1/{digest}"
    assert connect(region="eu-west-1").account == f"rekognition/eu-west-1/{digest}"
    assert connect(emulator).account == f"rekognition/{emulator.removeprefix('http://')}/{digest}"
    assert connect(access_key_id="another").account != connect().account


def test_the_keys_are_in_no_text(faces: RekognitionProvider) -> None:
    with pytest.raises(Exception, match="ResourceNotFound") as caught:
        faces.delete_gallery("nowhere")
    told = faces.classify(RuntimeError(f"sent with {' '.join(KEYS.values())}"))
    texts = [repr(faces), str(faces), faces.account, repr(caught.value), repr(told)]
    assert told.message == "sent with [key] [key] [key]"
    assert not [text for text in texts for key in KEYS.values() if key in text]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"region": None}, "AWS_REGION"),
        ({"region": "mars moon"}, "AWS_REGION"),
        ({"endpoint": "nonsense"}, "AWS_REGION"),
        ({"access_key_id": None}, "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY together"),
        ({"secret_access_key": None}, "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY together"),
        (dict.fromkeys(KEYS), "--emulate"),
        ({"profile": "nowhere"}, "nowhere"),
        ({"gallery": "albums"}, "one of: faces, users"),
        ({"quality_filter": "none"}, "one of: NONE, AUTO, LOW, MEDIUM, HIGH"),
    ],
)
def test_unusable_settings_are_refused(
    connect: Connect, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError) as caught:
        connect(**settings)
    assert message in str(caught.value)
    assert KEYS["secret_access_key"] not in str(caught.value)


def test_a_profile_is_where_boto3_finds_it(connect: Connect, settings: Path) -> None:
    settings.write_text(
        "[profile work]\nregion = eu-west-1\naws_access_key_id = b\naws_secret_access_key = c\n"
    )
    digest = hashlib.sha256(b"b").hexdigest()[:8]
    found = connect(profile="work", region=None, **dict.fromkeys(KEYS))
    assert found.account == f"rekognition/eu-west-1/{digest}"


def test_a_profile_without_keys_is_refused(connect: Connect, settings: Path) -> None:
    settings.write_text("[profile work]\ncredential_process = false\n")
    with pytest.raises(UserError, match="can't be read"):
        connect(profile="work", **dict.fromkeys(KEYS))


def test_a_role_is_assumed_when_it_is_needed(
    connect: Connect, settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.write_text(
        "[profile work]\nrole_arn = arn:aws:iam::123456789012:role/audit\nsource_profile = base\n"
        "[profile base]\naws_access_key_id = b\naws_secret_access_key = c\n"
    )
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    rekognition = connect(profile="work", **dict.fromkeys(KEYS))
    with pytest.raises(UserError, match="gives no credentials"):
        _ = rekognition.account
    with pytest.raises(Exception, match="Could not connect") as caught:
        rekognition.list_galleries()
    assert rekognition.classify(caught.value).kind is FailureKind.TRANSIENT
