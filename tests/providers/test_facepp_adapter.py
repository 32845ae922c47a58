"""The adapter over HTTP against the emulator, over a real socket."""

import hashlib
from collections.abc import Callable
from typing import Any

import pytest
import requests

from audit.errors import UserError
from audit.types import Recogniser
from providers.base import EXPIRED, FailureKind, GalleryPage, PhotoRefusedError, RemotePerson
from providers.facepp import FaceppProvider
from providers.facepp_errors import FaceppError
from tests.providers import stub_emulator
from tests.providers.accounts import FACEPP_KEYS
from tests.providers.scaled_recogniser import ScaledRecogniser

Connect = Callable[..., FaceppProvider]
Log = Callable[[], list[dict[str, Any]]]
HOUR_S = 3600.0


def photo(person: int, variant: int = 0, *, faces: int = 1) -> bytes:
    return stub_emulator.photo(person, variant, faces=faces, size=(480, 360))


@pytest.fixture(scope="module")
def service() -> str:
    return "facepp"


@pytest.fixture(scope="module")
def recogniser() -> Recogniser:
    return ScaledRecogniser()


def enrol(facepp: FaceppProvider, photos: dict[str, list[bytes]]) -> dict[str, list[str]]:
    """Enrol people's photos in gallery `g`; return their face tokens."""
    facepp.create_gallery("g")
    tokens = {
        person: [facepp.enrol("g", person, image, "tag").id for image in images]
        for person, images in photos.items()
    }
    for person, faces in tokens.items():
        assert facepp.attach("g", "", faces) == {}
        for face in faces:
            facepp.label("g", face, person)
    return tokens


def test_whole_life(facepp: FaceppProvider, emulator: str) -> None:
    enrolled = enrol(facepp, {f"person-{number}": [photo(number)] for number in range(3)})
    probe = facepp.detect(photo(1, 2))
    [ranked] = facepp.identify("g", [probe], 0.0, 5)
    assert ranked[0].person_id == "person-1"
    assert {candidate.person_id for candidate in ranked} == set(enrolled)
    assert ranked[0].score == pytest.approx(0.9988, abs=1e-3)
    assert ranked[0].native_score == pytest.approx(100 * ranked[0].score)
    assert ranked[1].score < 0.01
    assert facepp.list_galleries() == ["g"]
    tokens = [face for faces in enrolled.values() for face in faces]
    assert facepp.list_gallery("g") == GalleryPage((RemotePerson("", "", tuple(tokens)),))
    [gallery] = requests.get(f"{emulator}/__emulator__/galleries", timeout=10).json()
    assert {person["person"] for person in gallery["persons"]} == set(enrolled)
    facepp.delete_gallery("g")
    assert facepp.list_galleries() == []


def test_a_comparison_is_never_censored(facepp: FaceppProvider) -> None:
    enrolled = enrol(facepp, {"one": [photo(1)], "two": [photo(2)]})
    probe = facepp.detect(photo(1, 2))
    [[best]] = facepp.identify("g", [probe], 0.5, 5)
    same = facepp.verify("g", probe, enrolled["one"][0])
    assert same.person_id == enrolled["one"][0]
    assert (same.score, same.native_score) == (best.score, best.native_score)
    other = facepp.verify("g", probe, enrolled["two"][0])
    assert other.score < 0.01


def test_the_thresholds_stand_beside_each_score(facepp: FaceppProvider) -> None:
    enrolled = enrol(facepp, {"one": [photo(1)], "two": [photo(2)]})
    probe = facepp.detect(photo(1, 2))
    [ranked] = facepp.identify("g", [probe], 0.0, 5)
    for candidate in [*ranked, facepp.verify("g", probe, enrolled["one"][0])]:
        assert list(candidate.thresholds) == ["1e-3", "1e-4", "1e-5"]
        assert list(candidate.thresholds.values()) == sorted(candidate.thresholds.values())


def test_a_person_is_offered_once_by_the_most_similar_face(facepp: FaceppProvider) -> None:
    enrolled = enrol(facepp, {"one": [photo(1, 8), photo(1), photo(1, 5)], "two": [photo(2)]})
    probe = facepp.detect(photo(1))
    [ranked] = facepp.identify("g", [probe], 0.0, 5)
    assert [candidate.person_id for candidate in ranked] == ["one", "two"]
    assert ranked[0].score == facepp.verify("g", probe, enrolled["one"][1]).score
    assert facepp.identify("g", [probe], 0.0, 1) == [ranked[:1]]
    assert facepp.identify("g", [probe], 0.5, 5) == [ranked[:1]]
    assert facepp.identify("g", [facepp.detect(photo(5))], 0.5, 5) == [[]]


def test_a_face_of_nobody_is_not_offered(facepp: FaceppProvider) -> None:
    enrol(facepp, {"two": [photo(2)]})
    facepp.attach("g", "", [facepp.enrol("g", "one", photo(1), "tag").id])
    [ranked] = facepp.identify("g", [facepp.detect(photo(1))], 0.0, 5)
    assert [candidate.person_id for candidate in ranked] == ["two"]


def test_an_empty_gallery_offers_nobody(facepp: FaceppProvider) -> None:
    facepp.create_gallery("g")
    assert facepp.identify("g", [facepp.detect(photo(1))], 0.0, 5) == [[]]


def test_the_largest_face_of_a_photo_counts(facepp: FaceppProvider) -> None:
    enrol(facepp, {"one": [photo(1)], "six": [photo(6)]})
    assert facepp.enrol("g", "one", photo(1), "tag").note == ""
    several = facepp.enrol("g", "one", photo(1, faces=2), "tag")
    assert several.note == "2 faces; the largest was taken"
    for probe in (several.id, facepp.detect(photo(1, faces=2))):
        [ranked] = facepp.identify("g", [probe], 0.5, 5)
        assert [candidate.person_id for candidate in ranked] == ["one"]


def test_a_photo_without_a_face_is_refused(facepp: FaceppProvider) -> None:
    nobody = photo(0, faces=0)
    for call in (lambda: facepp.detect(nobody), lambda: facepp.enrol("g", "one", nobody, "tag")):
        with pytest.raises(PhotoRefusedError) as caught:
            call()
        assert (caught.value.code, caught.value.no_face) == ("NoFace", True)


def test_expired_faces_are_told_when_they_are_attached(
    start: Callable[..., str], connect: Connect, clock: Any
) -> None:
    facepp = connect(start(clock=clock))
    facepp.create_gallery("g")
    old = facepp.enrol("g", "one", photo(1), "tag").id
    clock.now += 73 * HOUR_S
    new = facepp.enrol("g", "one", photo(1), "tag").id
    assert facepp.attach("g", "", [old, new]) == {old: EXPIRED}
    assert facepp.list_gallery("g") == GalleryPage((RemotePerson("", "", (new,)),))


def test_listings_are_read_page_by_page(facepp: FaceppProvider, log: Log) -> None:
    galleries = [f"gallery-{number}" for number in range(101)]
    for gallery in galleries:
        facepp.create_gallery(gallery)
    tokens = [facepp.enrol(galleries[0], "one", photo(1), "tag").id for _ in range(101)]
    for first in range(0, 101, 5):
        facepp.attach(galleries[0], "", tokens[first : first + 5])
    assert sorted(facepp.list_galleries()) == sorted(galleries)
    first_page = facepp.list_gallery(galleries[0])
    last_page = facepp.list_gallery(galleries[0], first_page.next)
    assert [len(page.people[0].face_ids) for page in (first_page, last_page)] == [100, 1]
    assert {*first_page.people[0].face_ids, *last_page.people[0].face_ids} == set(tokens)
    assert (first_page.next, last_page.next) == ("101", "")
    asked = [row["operation"] for row in log()]
    assert asked.count("faceset/getfacesets") == asked.count("faceset/getdetail") == 2


def test_faces_are_removed_once(facepp: FaceppProvider) -> None:
    enrolled = enrol(facepp, {"one": [photo(1), photo(1, 3)], "two": [photo(2)]})
    for _ in range(2):
        facepp.remove_faces("g", enrolled["one"])
    assert facepp.list_gallery("g").people[0].face_ids == tuple(enrolled["two"])
    [ranked] = facepp.identify("g", [facepp.detect(photo(1))], 0.0, 5)
    assert [candidate.person_id for candidate in ranked] == ["two"]


def test_a_face_that_stays_is_a_failure(
    facepp: FaceppProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = {"failure_detail": [{"face_token": "a", "reason": "OF_ANOTHER_KIND"}]}
    monkeypatch.setattr(facepp, "_call", lambda *_: kept)
    with pytest.raises(FaceppError) as caught:
        facepp.remove_faces("g", ["a"])
    told = facepp.classify(caught.value)
    assert (told.kind, told.code) == (FailureKind.FATAL, "OF_ANOTHER_KIND")


def test_a_faceset_without_a_name_is_listed_by_its_token(
    facepp: FaceppProvider, emulator: str
) -> None:
    url = f"{emulator}/facepp/v3/faceset/create"
    made = requests.post(url, data=FACEPP_KEYS, timeout=10).json()
    assert facepp.list_galleries() == [made["faceset_token"]]


def test_each_verb_is_one_request_of_its_own_name(facepp: FaceppProvider, log: Log) -> None:
    tokens = enrol(facepp, {"one": [photo(1)]})
    probe = facepp.detect(photo(1))
    facepp.identify("g", [probe], 0.0, 5)
    facepp.verify("g", probe, tokens["one"][0])
    facepp.list_galleries()
    facepp.list_gallery("g")
    facepp.remove_faces("g", tokens["one"])
    facepp.delete_gallery("g")
    assert [row["operation"] for row in log()] == list(facepp.capabilities.operations.values())


def test_proxies_are_not_for_this_machine(
    emulator: str, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert connect(emulator).list_galleries() == []


def test_account_tells_keys_apart_without_holding_them(connect: Connect) -> None:
    first, second = (connect(api_key=key) for key in "ab")
    digest = hashlib.sha256(b"a").hexdigest()[:8]
    assert first.account == f"facepp/api-us.faceplusplus.com/{digest}"
    assert second.account != first.account
    assert first.service_model == "v3"


def test_the_keys_are_in_no_text(facepp: FaceppProvider) -> None:
    with pytest.raises(Exception, match="INVALID_OUTER_ID") as caught:
        facepp.delete_gallery("nowhere")
    told = facepp.classify(RuntimeError(f"sent with {' and '.join(FACEPP_KEYS.values())}"))
    texts = [repr(facepp), str(facepp), facepp.account, repr(caught.value), repr(told)]
    assert told.message == "sent with [key] and [key]"
    assert not [text for text in texts for key in FACEPP_KEYS.values() if key in text]


@pytest.mark.parametrize(
    "endpoint", ["api-us.faceplusplus.com", "ftp://x", "https://", "https://x/facepp/v3"]
)
def test_unusable_endpoints_are_refused(connect: Connect, endpoint: str) -> None:
    with pytest.raises(UserError, match="no usable address"):
        connect(endpoint)


@pytest.mark.parametrize("missing", ["api_key", "api_secret"])
def test_empty_keys_are_refused(connect: Connect, missing: str) -> None:
    with pytest.raises(UserError, match="FACEPP_API_SECRET"):
        connect(**{missing: ""})
