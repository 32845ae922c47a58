"""The calls of an experiment: all that is needed, nothing twice, in an order that works."""

from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.calls import Call
from audit.expansion import SHARED, Service, expand
from audit.types import Arm, Game, Photo, Split
from providers import registry

SERVICES = [
    ("azure", None),
    ("rekognition", "faces"),
    ("rekognition", "users"),
    ("facepp", None),
    ("local", None),
]
every_service = pytest.mark.parametrize(("provider", "gallery"), SERVICES)


def arms(number: int, game: Game = Game.POISON) -> list[Arm]:
    return [Arm(f"arm-{n}", game, "s", "high" if n else "none", None, 1.0) for n in range(number)]


def split(protected: list[int], probes: int, decoys: list[int]) -> Split:
    def photos(who: str, number: int) -> tuple[Photo, ...]:
        return tuple(Photo(f"{who}-{n}", who, Path(), 9, 9) for n in range(number))

    return Split(
        seed=0,
        train={f"p{n}": photos(f"p{n}", size) for n, size in enumerate(protected)},
        probe={
            f"p{n}": tuple(Photo(f"q{n}-{k}", f"p{n}", Path(), 9, 9) for k in range(probes))
            for n in range(len(protected))
        },
        decoy={f"d{n}": photos(f"d{n}", size) for n, size in enumerate(decoys)},
    )


def calls(
    provider: str, gallery: str | None, number: int, of: Split, *, fresh: bool = False
) -> list[Call]:
    service = Service(provider, registry.capabilities(provider, gallery), fresh=fresh)
    return list(expand(service, "run", arms(number), of))


@every_service
def test_the_study_of_2021_takes_at_most_two_fifths_of_the_calls_in_one_gallery(
    provider: str, gallery: str | None
) -> None:
    study = split([70], 31, [6] * 40)

    apart = calls(provider, gallery, 8, study, fresh=True)
    together = calls(provider, gallery, 8, study)

    assert len(apart) >= 2.5 * len(together)


@every_service
@given(
    protected=st.lists(st.integers(1, 12), min_size=1, max_size=3),
    probes=st.integers(1, 12),
    decoys=st.lists(st.integers(1, 6), min_size=1, max_size=5),
    number=st.integers(1, 4),
    fresh=st.booleans(),
)
@settings(deadline=None)
def test_every_arm_has_everybody_enrolled_once_before_it_is_probed(
    provider: str,
    gallery: str | None,
    protected: list[int],
    probes: int,
    decoys: list[int],
    number: int,
    *,
    fresh: bool,
) -> None:
    of = split(protected, probes, decoys)
    planned = calls(provider, gallery, number, of, fresh=fresh)

    assert len({call.id for call in planned}) == len(planned)
    assert all(later.phase - call.phase in (0, 1) for call, later in pairwise(planned))
    everybody = {
        photo.sha256 for group in (of.train, of.decoy) for own in group.values() for photo in own
    }
    asked = {photo.sha256 for own in of.probe.values() for photo in own}
    for arm in arms(number):
        mine = [call for call in planned if call.arm in (arm.name, SHARED)]
        enrolled = [call for call in mine if call.verb == "enrol"]
        assert Counter(call.photos[0] for call in enrolled) == dict.fromkeys(everybody, 1)
        questions = [call for call in mine if call.verb in ("identify", "identify_photo")]
        assert Counter(photo for call in questions for photo in call.photos) == dict.fromkeys(
            asked, 1
        )
        assert max(call.phase for call in enrolled) < min(call.phase for call in questions)


@every_service
def test_whoever_is_enrolled_for_one_arm_is_taken_out_before_the_next(
    provider: str, gallery: str | None
) -> None:
    held: dict[str, set[str]] = defaultdict(set)
    for call in calls(provider, gallery, 3, split([4, 2], 2, [2, 2])):
        match call.verb:
            case "enrol":
                held[call.arm] |= set(call.photos)
            case "remove_faces":
                held[call.arm] -= set(call.photos)
            case "remove_person" if provider == "azure":
                held[call.arm] = {p for p in held[call.arm] if not p.startswith(call.person)}
            case "identify" | "identify_photo":
                others = {arm for arm, photos in held.items() if photos} - {call.arm, SHARED}
                assert not others


@every_service
def test_cloaked_probes_are_asked_in_one_gallery_that_is_filled_once(
    provider: str, gallery: str | None
) -> None:
    service = Service(provider, registry.capabilities(provider, gallery))
    of = split([4], 3, [2, 2])

    planned = list(expand(service, "run", arms(3, Game.EVADE), of))

    verbs = Counter(call.verb for call in planned)
    assert verbs["enrol"] == 8
    assert verbs["create_gallery"] == 1
    assert not verbs["remove_person"]
    assert not verbs["remove_faces"]
    assert {call.arm for call in planned if call.verb.startswith("identify")} == {
        "arm-0",
        "arm-1",
        "arm-2",
    }


def test_one_arm_alone_has_its_gallery_as_if_it_were_fresh() -> None:
    of = split([4], 3, [2, 2])

    assert calls("azure", None, 1, of) == calls("azure", None, 1, of, fresh=True)
