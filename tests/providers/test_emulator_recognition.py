"""What the emulator answers about faces, and when it stops knowing them."""

from collections.abc import Callable
from typing import Protocol

import numpy as np
import pytest

from audit.errors import UserError
from providers.azure import AzureProvider
from providers.base import TrainingState
from providers.emulators import calibration as calibration_module
from providers.emulators.calibration import Calibration, calibration
from providers.emulators.options import Matching
from tests.providers.stub_emulator import photo

Connect = Callable[..., AzureProvider]


class Clock(Protocol):
    now: float

    def __call__(self) -> float: ...


def test_face_ids_expire(start: Callable[..., str], connect: Connect, clock: Clock) -> None:
    azure = connect(start(clock=clock), face_id_ttl_s=60)
    azure.create_gallery("g")
    person = azure.add_person("g", "someone")
    azure.enrol("g", person, photo(0), "tag")
    azure.train("g")
    face = azure.detect(photo(0))
    clock.now += 59.9
    assert azure.verify("g", face, person).score > 0.9
    clock.now += 0.1
    with pytest.raises(Exception, match="Face is not found") as caught:
        azure.verify("g", face, person)
    assert azure.classify(caught.value).kind == "absent"


def test_training_takes_its_time(start: Callable[..., str], connect: Connect, clock: Clock) -> None:
    azure = connect(start(clock=clock, training_s=30))
    azure.create_gallery("g")
    azure.enrol("g", azure.add_person("g", "someone"), photo(0), "tag")
    azure.train("g")
    assert azure.training_state("g") is TrainingState.RUNNING
    clock.now += 29.9
    assert azure.training_state("g") is TrainingState.RUNNING
    clock.now += 0.1
    assert azure.training_state("g") is TrainingState.SUCCEEDED
    assert len(azure.identify("g", [azure.detect(photo(0))], 0.5, 10)[0]) == 1


def test_training_freezes_what_identify_sees(azure: AzureProvider) -> None:
    azure.create_gallery("g")
    first, second = azure.add_person("g", "first"), azure.add_person("g", "second")
    azure.enrol("g", first, photo(0), "tag")
    azure.train("g")
    azure.enrol("g", second, photo(1), "tag")
    probe = azure.detect(photo(1))
    assert azure.identify("g", [probe], 0.5, 10) == [[]]
    azure.train("g")
    [[found]] = azure.identify("g", [probe], 0.5, 10)
    assert found.person_id == second


def test_a_person_scores_as_the_nearest_face(azure: AzureProvider) -> None:
    azure.create_gallery("g")
    person = azure.add_person("g", "someone")
    for variant in (0, 8):
        azure.enrol("g", person, photo(2, variant), f"tag-{variant}")
    azure.train("g")
    probe = azure.detect(photo(2, 6))
    expected = Calibration(12.0, -5.0).score(float(np.cos(0.2)))
    [[found]] = azure.identify("g", [probe], 0.0, 10)
    assert found.score == pytest.approx(expected, abs=1e-5)
    assert azure.verify("g", probe, person) == found


def test_a_deleted_gallery_can_be_made_anew(azure: AzureProvider) -> None:
    for person in (0, 1):
        azure.create_gallery("g")
        remote = azure.add_person("g", "someone")
        azure.enrol("g", remote, photo(person), "tag")
        azure.train("g")
        [[found]] = azure.identify("g", [azure.detect(photo(person))], 0.5, 10)
        assert found.person_id == remote
        azure.delete_gallery("g")


@pytest.mark.parametrize(
    ("file_format", "accepted"),
    [("JPEG", True), ("GIF", True), ("BMP", True), ("TIFF", False), ("WEBP", False)],
)
def test_formats(azure: AzureProvider, file_format: str, *, accepted: bool) -> None:
    image = photo(3, file_format=file_format)
    if accepted:
        assert azure.detect(image)
        return
    with pytest.raises(Exception, match="image format unsupported"):
        azure.detect(image)


def test_small_faces_are_not_seen_in_large_pictures(azure: AzureProvider) -> None:
    assert azure.detect(photo(0, size=(3200, 600)))  # 60 px = 36 px * 3200 / 1920
    with pytest.raises(Exception, match="No face"):
        azure.detect(photo(0, size=(3208, 600)))


def test_scores_stay_within_0_and_1() -> None:
    steep = Calibration(slope=10_000, offset=0)
    assert [steep.score(cosine) for cosine in (-1.0, 0.0, 1.0)] == [0.0, 0.5, 1.0]


def test_a_network_without_calibration_is_told() -> None:
    with pytest.raises(UserError, match=r"benchmarks/calibrate\.py"):
        calibration("no-such-network")


def test_calibrations_are_read_from_the_table(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path_factory.mktemp("table")
    (folder / "calibration.json").write_text('{"net": {"slope": 9.5, "offset": -3, "seen": 1}}')
    monkeypatch.setattr(calibration_module, "files", lambda _: folder)
    assert calibration("net") == Calibration(9.5, -3)


def test_a_person_s_score_is_that_of_the_nearest_face_or_of_the_centroid(
    start: Callable[..., str], connect: Connect
) -> None:
    scores = {}
    for matching in Matching:
        azure = connect(start(matching=matching))
        azure.create_gallery("g")
        person = azure.add_person("g", "one face of the person, two of somebody else")
        for shown in (0, 1, 1):
            azure.enrol("g", person, photo(shown, 5), "tag")
        azure.train("g")
        probe = azure.detect(photo(0, 5))
        [[found]] = azure.identify("g", [probe], 0.0, 10)
        assert found == azure.verify("g", probe, person)
        scores[matching] = found.score
    assert scores[Matching.NEAREST] > 0.99
    assert scores[Matching.CENTROID] < 0.95
