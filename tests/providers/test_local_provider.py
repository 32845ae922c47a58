"""A recogniser of this machine as a provider: its verbs, its file, and its three matchings."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest

from audit.errors import UserError
from audit.types import RecognisedFace
from providers.base import Failure, FailureKind, GalleryPage, Provider
from providers.emulators.calibration import Calibration
from providers.local import LocalProvider
from providers.local_matching import Ranking
from tests.providers.stub_emulator import CALIBRATION, StubRecogniser, photo

Open = Callable[..., LocalProvider]

MATCHINGS = ["nearest", "centroid", "linear"]


@pytest.fixture
def open_local(tmp_path: Path) -> Iterator[Open]:
    with ExitStack() as stack:

        def open_local(matching: str = "nearest", folder: Path | None = tmp_path) -> LocalProvider:
            provider = LocalProvider(
                recogniser=StubRecogniser(),
                score=CALIBRATION.score,
                folder=folder,
                matching=matching,
            )
            stack.callback(provider.close)
            return provider

        yield open_local


def fill(provider: Provider, people: Sequence[int] = (0, 1, 2)) -> None:
    provider.create_gallery("g")
    for person in people:
        for variant in (0, 3):
            provider.enrol("g", f"p{person}", photo(person, variant), f"{person}-{variant}")


def faces(provider: Provider, person_id: str) -> list[str]:
    """Return the ids of a person's faces."""
    held = provider.list_gallery("g").people
    return [face for person in held if person.id == person_id for face in person.face_ids]


def failure(provider: Provider, call: Callable[[], object]) -> Failure:
    with pytest.raises(Exception) as caught:
        call()
    return provider.classify(caught.value)


@pytest.mark.parametrize("matching", MATCHINGS)
def test_whole_life(open_local: Open, matching: str) -> None:
    local = open_local(matching)
    assert (local.service_model, local.account) == (f"stub {matching}", "local/stub")
    fill(local)
    ranked = local.identify_photo("g", photo(1, 1, faces=2), 0.0, 100)
    assert [found.person_id for found in ranked] == ["p1", "p0", "p2"]
    assert [found.score for found in ranked] == sorted([f.score for f in ranked], reverse=True)
    assert all(0 <= found.score <= 1 for found in ranked)
    assert ranked[0].score > 0.9
    assert ranked[1].score < 0.1
    assert local.identify_photo("g", photo(1, 1), 0.5, 100) == ranked[:1]
    assert local.identify_photo("g", photo(1, 1), 0.0, 2) == ranked[:2]
    held = local.list_gallery("g")
    assert [(one.id, one.tag, len(one.face_ids)) for one in held.people] == [
        ("p0", "p0", 2),
        ("p1", "p1", 2),
        ("p2", "p2", 2),
    ]
    assert held.next == ""
    assert local.list_galleries() == ["g"]
    local.delete_gallery("g")
    assert local.list_galleries() == []


def test_scores_are_the_calibrated_cosines(open_local: Open) -> None:
    nearest, centroid = open_local("nearest"), open_local("centroid")
    fill(nearest)
    for local, cosine in ((nearest, np.cos(0.1)), (centroid, np.cos(0.05))):
        best = local.identify_photo("g", photo(1, 2 if local is centroid else 4), 0.0, 1)[0]
        assert best.native_score == pytest.approx(cosine, abs=1e-6)
        assert best.score == Calibration(12.0, -5.0).score(best.native_score)


def test_linear_probabilities_sum_to_one(open_local: Open) -> None:
    local = open_local("linear")
    fill(local)
    ranked = local.identify_photo("g", photo(2, 1), 0.0, 100)
    assert sum(found.score for found in ranked) == pytest.approx(1.0)
    assert all(found.score == found.native_score for found in ranked)


@pytest.mark.parametrize("matching", MATCHINGS)
def test_one_person_is_not_everybody(open_local: Open, matching: str) -> None:
    local = open_local(matching)
    fill(local, people=[4])
    [known] = local.identify_photo("g", photo(4, 1), 0.0, 100)
    [stranger] = local.identify_photo("g", photo(5), 0.0, 100)
    assert known.score > 0.99
    assert stranger.score < 0.01


@pytest.mark.parametrize("matching", MATCHINGS)
def test_an_empty_gallery_offers_nobody(open_local: Open, matching: str) -> None:
    local = open_local(matching)
    local.create_gallery("g")
    assert local.identify_photo("g", photo(0), 0.0, 100) == []


@pytest.mark.parametrize("matching", MATCHINGS)
def test_a_changed_gallery_is_seen(open_local: Open, matching: str) -> None:
    local, another_process = open_local(matching), open_local(matching)
    fill(local)
    assert local.identify_photo("g", photo(5), 0.5, 9) == []
    another_process.enrol("g", "p5", photo(5), "5-0")
    assert local.identify_photo("g", photo(5), 0.5, 9)[0].person_id == "p5"
    another_process.remove_faces("g", faces(local, "p5"))
    assert local.identify_photo("g", photo(5), 0.5, 9) == []
    local.delete_gallery("g")
    fill(local, people=[3, 4])
    assert [found.person_id for found in local.identify_photo("g", photo(4), 0.0, 9)] == [
        "p4",
        "p3",
    ]


def test_a_gallery_is_prepared_once(open_local: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    local = open_local("linear")
    fill(local)
    expected = local.identify_photo("g", photo(0), 0.0, 9)
    monkeypatch.setattr(local, "_fitted", lambda *_: pytest.fail("fitted anew"))
    assert local.identify_photo("g", photo(0), 0.0, 9) == expected


def test_threads_prepare_a_gallery_once(open_local: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    local, start = open_local("linear"), Barrier(8, timeout=60)
    fill(local)
    fit, fitted = local._fitted, []

    def counted(database: sqlite3.Connection, gallery: str) -> Ranking:
        fitted.append(gallery)
        return fit(database, gallery)

    def ask(number: int) -> str:
        start.wait()
        return local.identify_photo("g", photo(number % 3, 1), 0.5, 1)[0].person_id

    monkeypatch.setattr(local, "_fitted", counted)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(8))) == [f"p{number % 3}" for number in range(8)]
    assert fitted == ["g"]


@pytest.mark.parametrize("matching", MATCHINGS)
def test_galleries_survive_a_kill(open_local: Open, matching: str) -> None:
    killed = open_local(matching)  # and never closed
    fill(killed)
    expected = killed.identify_photo("g", photo(2, 1), 0.0, 9)
    resumed = open_local(matching)
    assert resumed.identify_photo("g", photo(2, 1), 0.0, 9) == expected
    assert resumed.list_gallery("g") == killed.list_gallery("g")


def test_a_photo_enrolled_twice_is_one_face(open_local: Open) -> None:
    local = open_local()
    local.create_gallery("g")
    local.create_gallery("h")
    first = local.enrol("g", "p", photo(0), "tag")
    assert local.enrol("g", "p", photo(0), "tag") == first
    assert faces(local, "p") == [first.id]
    others = {
        local.enrol("g", "p", photo(0), "another").id,
        local.enrol("g", "q", photo(0), "tag").id,
        local.enrol("h", "p", photo(0), "tag").id,
    }
    assert len(others | {first.id}) == 4


@pytest.mark.parametrize("matching", MATCHINGS)
def test_no_change_of_a_gallery_is_missed(open_local: Open, matching: str) -> None:
    local = open_local(matching)
    fill(local)

    def offered() -> set[str]:
        return {found.person_id for found in local.identify_photo("g", photo(0), 0.0, 9)}

    assert offered() == {"p0", "p1", "p2"}
    local.remove_faces("g", faces(local, "p0"))  # neither the last faces nor the last person
    assert offered() == {"p1", "p2"}
    for variant in (0, 3):  # as many faces as there were before
        local.enrol("g", "p4", photo(4, variant), f"4-{variant}")
    assert offered() == {"p1", "p2", "p4"}
    local.remove_faces("g", faces(local, "p4"))
    assert offered() == {"p1", "p2"}
    local.remove_faces("g", [*faces(local, "p1"), *faces(local, "p2")])
    assert offered() == set()


def test_only_the_faces_that_are_named_are_removed(open_local: Open) -> None:
    local = open_local()
    fill(local)
    local.create_gallery("h")
    elsewhere = local.enrol("h", "p0", photo(0), "0-0").id
    kept = faces(local, "p1")
    for _ in range(2):
        local.remove_faces("g", [*faces(local, "p0"), *faces(local, "p2"), elsewhere, "none"])
    assert faces(local, "p1") == kept
    assert local.list_gallery("g").people[0].face_ids == tuple(kept)
    assert local.list_gallery("h").people[0].face_ids == (elsewhere,)


def test_photos_are_looked_at_by_many_threads_at_once() -> None:
    together = Barrier(4, timeout=60)

    class Meeting:
        """A recogniser that waits until four threads look at photos."""

        name = "meeting"

        def __call__(self, image: bytes) -> Sequence[RecognisedFace]:
            together.wait()
            found: Sequence[RecognisedFace] = StubRecogniser()(image)
            return found

    local = LocalProvider(recogniser=Meeting(), score=CALIBRATION.score, folder=None)
    with closing(local), ThreadPoolExecutor(4) as pool:
        local.create_gallery("g")
        enrolled = pool.map(lambda n: local.enrol("g", f"p{n}", photo(n), "tag").id, range(4))
        assert len(set(enrolled)) == 4
        best = pool.map(lambda n: local.identify_photo("g", photo(n), 0.5, 9), range(4))
        assert [[one.person_id for one in offered] for offered in best] == [
            [f"p{n}"] for n in range(4)
        ]


def test_galleries_of_different_networks_do_not_meet(
    open_local: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_local().create_gallery("g")
    monkeypatch.setattr(StubRecogniser, "name", "a/nother")
    assert open_local().list_galleries() == []
    assert sorted(file.name for file in tmp_path.glob("*.db")) == [
        "local-a%2Fnother.db",
        "local-stub.db",
    ]


def test_without_a_folder_nothing_is_kept(open_local: Open) -> None:
    fill(open_local(folder=None))
    assert open_local(folder=None).list_galleries() == []


def test_what_is_refused(open_local: Open) -> None:
    local = open_local()
    local.create_gallery("g")
    calls: dict[str, tuple[Callable[[], object], FailureKind]] = {
        "GalleryExists": (lambda: local.create_gallery("g"), FailureKind.CONFLICT),
        "GalleryNotFound": (lambda: local.delete_gallery("h"), FailureKind.ABSENT),
        "InvalidImage": (lambda: local.enrol("g", "p", b"text", "t"), FailureKind.PHOTO),
        "NoFace": (lambda: local.identify_photo("g", photo(0, faces=0), 0, 1), FailureKind.PHOTO),
    }
    for code, (call, kind) in calls.items():
        told = failure(local, call)
        assert (told.code, told.kind, told.no_face) == (code, kind, code == "NoFace")
    assert local.list_gallery("g") == GalleryPage(())


def test_a_locked_file_passes_and_a_defect_does_not(open_local: Open) -> None:
    local = open_local()
    assert local.classify(sqlite3.OperationalError("database is locked")) == Failure(
        FailureKind.TRANSIENT, "OperationalError", "database is locked"
    )
    assert local.classify(KeyError("x")).kind is FailureKind.FATAL


def test_an_unknown_matching_is_told_what_exists(open_local: Open) -> None:
    with pytest.raises(UserError, match=r"'psychic'[\s\S]*nearest, centroid, linear"):
        open_local("psychic")
