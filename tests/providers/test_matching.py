import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from providers.emulators.matching import Faces, cosine, rank
from providers.emulators.options import Matching

Embedding = NDArray[np.float32]

_SIDES = st.sampled_from([-1.0, -0.5, 0.0, 0.5, 1.0])


def embeddings(*shape: int) -> st.SearchStrategy[NDArray[np.float32]]:
    """Draw vectors of few different values: many of them are alike, so that people tie."""
    return arrays(np.float32, shape, elements=_SIDES)


@st.composite
def galleries(draw: st.DrawFn) -> tuple[list[str], Embedding, Embedding]:
    """Draw the person of each face, in any order, the faces, and a probe."""
    people = draw(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=30))
    size = draw(st.integers(1, 5))
    return people, draw(embeddings(len(people), size)), draw(embeddings(size))


def plainly_ranked(
    people: list[str], faces: Embedding, probe: Embedding, matching: Matching
) -> list[tuple[str, float]]:
    cosines = {
        person: cosine(faces[[who == person for who in people]], probe, matching)
        for person in people
    }
    return sorted(cosines.items(), key=lambda item: (-item[1], item[0]))


@given(galleries(), st.sampled_from(Matching), st.none() | st.integers(1, 10))
def test_people_rank_by_their_cosines_and_ties_by_name(
    gallery: tuple[list[str], Embedding, Embedding], matching: Matching, most: int | None
) -> None:
    assert rank(*gallery, matching, most) == plainly_ranked(*gallery, matching)[:most]


@given(st.integers(0, 2**32 - 1), st.integers(1, 70), st.sampled_from(Matching))
def test_the_same_faces_rank_the_same_wherever_they_stand(
    seed: int, others: int, matching: Matching
) -> None:
    rng = np.random.default_rng(seed)
    strangers = rng.standard_normal((others, 128)).astype(np.float32)
    own, probe = rng.standard_normal((2, 128)).astype(np.float32)
    faces = np.concatenate([[own], strangers, [own]])
    people = ["twin-b", *map(str, range(others)), "twin-a"]
    found = dict(ranked := rank(people, faces, probe, matching))
    assert found["twin-a"] == found["twin-b"] == cosine(own[None], probe, matching)
    names = [person for person, _ in ranked]
    assert names.index("twin-a") + 1 == names.index("twin-b")


@given(arrays(np.float64, (4, 8), elements=st.floats(-1, 1)), embeddings(8))
def test_nearest_is_the_best_face_and_centroid_their_mean(
    faces: NDArray[np.float64], probe: Embedding
) -> None:
    single = faces.astype(np.float32)
    dots = [sum(map(float, face * probe)) for face in single]
    assert cosine(single, probe, Matching.NEAREST) == pytest.approx(max(dots), abs=1e-5)
    mean = single.astype(np.float64).mean(axis=0)
    if (length := float(np.linalg.norm(mean))) > 1e-3:
        expected = float(mean @ probe) / length
        assert cosine(single, probe, Matching.CENTROID) == pytest.approx(expected, abs=1e-3)


def test_faces_that_cancel_out_are_like_nobody() -> None:
    opposite = np.array([[1, 0], [-1, 0]], np.float32)
    assert cosine(opposite, np.array([1, 0], np.float32), Matching.CENTROID) == 0


@pytest.mark.parametrize("matching", Matching)
def test_nobody_ranks_in_an_empty_gallery(matching: Matching) -> None:
    nothing = np.zeros((0, 0), np.float32)
    assert rank([], nothing, np.ones(4, np.float32), matching) == []


@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.sampled_from(Matching))
def test_many_probes_find_whom_each_alone_finds(seed: int, count: int, matching: Matching) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((count + 9, 16)).astype(np.float32)
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    people = [str(number) for number in rng.integers(0, 12, count)]
    faces = Faces(people, units[:count])
    found, cosines = faces.nearest(units[count:], matching)
    for probe, place, cosine_found in zip(units[count:], found, cosines, strict=True):
        [(name, best)] = rank(people, units[:count], probe, matching, most=1)
        assert faces.names[place] == name
        assert cosine_found == pytest.approx(best, abs=1e-5)


def test_many_probes_are_matched_block_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    units = rng.standard_normal((30, 8)).astype(np.float32)
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    faces = Faces([str(number % 7) for number in range(20)], units[:20])
    whole = faces.nearest(units[20:], Matching.NEAREST)
    monkeypatch.setattr("providers.emulators.matching._BLOCK_VALUES", 60)
    parts = faces.nearest(units[20:], Matching.NEAREST)
    assert parts[0].tolist() == whole[0].tolist()
    assert parts[1] == pytest.approx(whole[1], abs=1e-6)
