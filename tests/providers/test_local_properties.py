"""The three matchings of a recogniser of this machine, over random embeddings."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from audit.types import RecognisedFace
from providers.local import LocalProvider

Embedding = NDArray[np.float32]


class Scripted:
    """A recogniser that takes a photo's bytes for its embedding."""

    name = "scripted"

    def __call__(self, image: bytes) -> Sequence[RecognisedFace]:
        return [RecognisedFace(0, 0, 9, 9, 1.0, np.frombuffer(image, np.float32).tolist())]


@st.composite
def galleries(draw: st.DrawFn) -> tuple[list[int], Embedding, Embedding]:
    """Draw the person of each face, the faces (N x D) and a probe (D)."""
    people = draw(st.lists(st.integers(0, 4), min_size=1, max_size=12))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    vectors = generator.normal(size=(len(people) + 1, draw(st.integers(2, 16))))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Embedding = vectors.astype(np.float32)
    return people, unit[:-1], unit[-1]


@contextmanager
def enrolled(matching: str, people: list[int], faces: Embedding) -> Iterator[LocalProvider]:
    local = LocalProvider(
        recogniser=Scripted(), score=lambda cosine: (1 + cosine) / 2, folder=None, matching=matching
    )
    with closing(local):
        local.create_gallery("g")
        for number, (person, face) in enumerate(zip(people, faces, strict=True)):
            local.enrol("g", str(person), face.tobytes(), str(number))
        yield local


def cosines(
    matching: str, people: list[int], faces: Embedding, probe: Embedding
) -> dict[str, float]:
    """Return each person's native score, after a look at the ranks."""
    with enrolled(matching, people, faces) as local:
        ranked = local.identify_photo("g", probe.tobytes(), 0.0, 100)
    assert [one.native_score for one in ranked] == sorted(
        (one.native_score for one in ranked), reverse=True
    )
    return {one.person_id: one.native_score for one in ranked}


@settings(deadline=None, max_examples=60)
@given(galleries())
def test_nearest_is_brute_force(case: tuple[list[int], Embedding, Embedding]) -> None:
    people, faces, probe = case
    best: dict[str, float] = {}
    for person, face in zip(people, faces, strict=True):
        cosine = sum(float(a) * float(b) for a, b in zip(face, probe, strict=True))
        best[str(person)] = max(cosine, best.get(str(person), -2.0))
    assert cosines("nearest", people, faces, probe) == pytest.approx(best, abs=1e-5)


@settings(deadline=None, max_examples=60)
@given(galleries())
def test_centroid_is_its_definition(case: tuple[list[int], Embedding, Embedding]) -> None:
    people, faces, probe = case
    expected = {}
    for person in set(people):
        own = [face for whose, face in zip(people, faces, strict=True) if whose == person]
        mean = np.sum(own, axis=0, dtype=np.float64) / len(own)
        # The mean of opposite faces is short, and float32 then says little about its direction.
        assume(np.linalg.norm(mean) > 0.01)
        expected[str(person)] = float(mean @ probe / np.linalg.norm(mean))
    assert cosines("centroid", people, faces, probe) == pytest.approx(expected, abs=1e-4)


@settings(deadline=None, max_examples=60)
@given(galleries(), st.data())
def test_an_enrolled_photo_comes_first_with_nearest(
    case: tuple[list[int], Embedding, Embedding], data: st.DataObject
) -> None:
    people, faces, _ = case
    chosen = data.draw(st.integers(0, len(people) - 1))
    ranked = cosines("nearest", people, faces, faces[chosen])
    assert ranked[str(people[chosen])] == pytest.approx(1.0, abs=1e-5)
    assert ranked[str(people[chosen])] == pytest.approx(max(ranked.values()), abs=1e-6)


@settings(deadline=None, max_examples=25)
@given(
    galleries(),
    st.sampled_from(["nearest", "centroid", "linear"]),
    st.floats(0, 1),
    st.integers(1, 6),
)
def test_a_threshold_and_a_number_only_cut_the_ranking(
    case: tuple[list[int], Embedding, Embedding], matching: str, threshold: float, number: int
) -> None:
    people, faces, probe = case
    with enrolled(matching, people, faces) as local:
        everyone = local.identify_photo("g", probe.tobytes(), 0.0, 100)
        cut = local.identify_photo("g", probe.tobytes(), threshold, number)
    assert {one.person_id for one in everyone} == set(map(str, people))
    assert all(0 <= one.score <= 1 for one in everyone)
    assert list(cut) == [one for one in everyone if one.score >= threshold][:number]
