"""The trackers beside nearest face and centroid, over random embeddings."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from audit.types import Candidate
from providers.local_matching import BOUND, NEIGHBOURS, LocalMatching, ranking

Embedding = NDArray[np.float32]
VOTING = [LocalMatching.K_NEAREST, LocalMatching.WEIGHTED_K_NEAREST]
LEARNING = [*VOTING, LocalMatching.LINEAR, LocalMatching.SVM, LocalMatching.NETWORK]


@st.composite
def galleries(draw: st.DrawFn) -> tuple[list[str], Embedding, Embedding]:
    """Draw the person of each face, at least two people, the faces and a probe, all unit."""
    people = ["a", "b", *draw(st.lists(st.sampled_from("abcd"), max_size=12))]
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    vectors = random.normal(size=(len(people) + 1, draw(st.integers(3, 16))))
    unit = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return people, unit[:-1], unit[-1]


def ranked(
    matching: LocalMatching, people: list[str], faces: Embedding, probe: Embedding
) -> list[Candidate]:
    return ranking(matching, people, faces, lambda cosine: (1 + cosine) / 2)(probe)


def clusters(people: int, each: int) -> tuple[list[str], Embedding]:
    """Return faces of people who are far apart, each person's near one another."""
    random = np.random.default_rng(7)
    vectors = np.repeat(np.eye(people, 32), each, axis=0)
    vectors += 0.05 * random.normal(size=vectors.shape)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return [f"p{i // each}" for i in range(len(unit))], unit.astype(np.float32)


@settings(deadline=None, max_examples=60)
@given(galleries(), st.sampled_from(VOTING))
def test_votes_are_counted_among_the_nearest_faces(
    case: tuple[list[str], Embedding, Embedding], matching: LocalMatching
) -> None:
    people, faces, probe = case
    gaps = np.linalg.norm(faces.astype(float) - probe.astype(float), axis=1)
    nearest = np.argsort(gaps)[:NEIGHBOURS]
    weights = 1 / gaps[nearest] if matching is LocalMatching.WEIGHTED_K_NEAREST else 1 + 0 * nearest
    expected = dict.fromkeys(people, 0.0)
    for face, weight in zip(nearest, weights / weights.sum(), strict=True):
        expected[people[face]] += float(weight)
    found = {one.person_id: one.score for one in ranked(matching, *case)}
    assert found == pytest.approx(expected, abs=1e-6)


def test_a_tie_of_votes_goes_to_the_nearest_face() -> None:
    angles = np.array([0.3, 0.1, 0.2, 0.4])
    faces = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    probe = np.array([1, 0], np.float32)
    found = ranked(LocalMatching.K_NEAREST, ["a", "b", "a", "b"], faces, probe)
    assert [(one.person_id, one.score) for one in found] == [("b", 0.5), ("a", 0.5)]


@settings(deadline=None, max_examples=60)
@given(galleries())
def test_bounded_nearest_offers_those_within_the_bound(
    case: tuple[list[str], Embedding, Embedding],
) -> None:
    people, faces, probe = case
    gaps = np.linalg.norm(faces.astype(float) - probe.astype(float), axis=1)
    near = {person for person, gap in zip(people, gaps, strict=True) if gap <= BOUND}
    everyone = ranked(LocalMatching.NEAREST, *case)
    found = ranked(LocalMatching.BOUNDED_NEAREST, *case)
    assert found == [one for one in everyone if one.person_id in near]


@settings(deadline=None, max_examples=20)
@given(galleries(), st.sampled_from(LEARNING))
def test_everybody_has_a_score_and_the_best_comes_first(
    case: tuple[list[str], Embedding, Embedding], matching: LocalMatching
) -> None:
    found = ranked(matching, *case)
    assert sorted(one.person_id for one in found) == sorted(set(case[0]))
    scores = [one.score for one in found]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    assert found == ranked(matching, *case)


@pytest.mark.parametrize("people", [2, 6])
@pytest.mark.parametrize("matching", [one for one in LEARNING if one is not LocalMatching.NETWORK])
def test_people_who_are_far_apart_are_told_apart(matching: LocalMatching, people: int) -> None:
    names, faces = clusters(people, each=6)
    kept = np.arange(len(names)) % 6 < 5
    rank = ranking(matching, [n for n, k in zip(names, kept, strict=True) if k], faces[kept], abs)
    assert [rank(face)[0].person_id for face in faces[~kept]] == [f"p{i}" for i in range(people)]


def test_a_network_stops_when_it_knows_its_training_photos() -> None:
    names, faces = clusters(30, each=6)
    kept = np.arange(len(names)) % 6 < 5
    rank = ranking(
        LocalMatching.NETWORK, [n for n, k in zip(names, kept, strict=True) if k], faces[kept], abs
    )
    known = np.array([rank(face)[0].person_id for face in faces]) == np.array(names)
    assert known[kept].mean() > 0.95
    assert known[~kept].mean() > 0.8


def test_the_margins_of_an_svm_keep_their_order_as_scores() -> None:
    names, faces = clusters(2, each=5)
    rank = ranking(LocalMatching.SVM, names, faces, abs)
    own, between = rank(faces[0]), rank((faces[0] + faces[-1]) / np.float32(np.sqrt(2)))
    assert own[0].person_id == "p0"
    assert own[0].score > between[0].score >= 0.5
    assert own[0].score + own[1].score == pytest.approx(1)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("matching", LEARNING)
def test_a_gallery_of_one_photo_a_person_is_nothing_to_warn_of(matching: LocalMatching) -> None:
    names, faces = clusters(people=24, each=1)
    assert ranking(matching, names, faces, abs)(faces[3])[0].person_id == "p3"
