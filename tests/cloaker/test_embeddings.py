"""The embeddings kept between runs: found again by content, private, dispensable, deletable."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from cloaker.embeddings import EmbeddingCache, SeenFace
from cloaker.known_faces import Face

FACE = Face(1.5, 2.25, 40.125, 50.5, 0.987654321, ((1.1, 2.2), (3.3, 4.4)))
OTHER = Face(3.0, 4.0, 39.0, 41.0, 0.91, ((0.5, 0.25),))
SETTINGS = {"network": ["a", "0" * 64], "version": 1}


def seen(value: float, face: Face = FACE) -> SeenFace:
    return face, np.full(4, value, np.float32)


@pytest.fixture
def cache(tmp_path: Path) -> EmbeddingCache:
    return EmbeddingCache(tmp_path / "embeddings")


def test_what_is_kept_comes_back_as_it_was(cache: EmbeddingCache) -> None:
    cache.put(SETTINGS, {"p1": [seen(0.1), seen(1 / 3, OTHER)], "p2": []})
    found = cache.get(SETTINGS, ["p1", "p2", "p3"])
    assert sorted(found) == ["p1", "p2"]
    assert [face for face, _ in found["p1"]] == [FACE, OTHER]
    assert found["p1"][1][1].tolist() == seen(1 / 3)[1].tolist()
    assert found["p2"] == ()


def test_another_network_or_version_sees_for_itself(cache: EmbeddingCache) -> None:
    cache.put(SETTINGS, {"p1": [seen(0.1)]})
    assert not cache.get(SETTINGS | {"version": 2}, ["p1"])
    assert not cache.get(SETTINGS | {"network": ["a", "1" * 64]}, ["p1"])


def test_only_the_owner_can_read_it(cache: EmbeddingCache, tmp_path: Path) -> None:
    cache.put(SETTINGS, {"p1": [seen(0.1)]})
    assert stat.S_IMODE((tmp_path / "embeddings").stat().st_mode) == 0o700
    files = list((tmp_path / "embeddings").iterdir())
    assert files
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_what_is_forgotten_is_nowhere_on_the_disk(cache: EmbeddingCache, tmp_path: Path) -> None:
    marks = {f"p{i}": [seen(1234.5 + i)] for i in range(40)}
    cache.put(SETTINGS, marks)
    assert cache.forget(["p3", "p4", "absent"]) == 2
    assert cache.count() == 38
    assert not cache.get(SETTINGS, ["p3", "p4"])
    content = b"".join(file.read_bytes() for file in (tmp_path / "embeddings").iterdir())
    assert np.full(4, 1239.5, np.float32).tobytes() in content
    assert np.full(4, 1237.5, np.float32).tobytes() not in content


@pytest.mark.parametrize("content", [b"no database at all", b"SQLite format 3\x00" + b"x" * 5000])
def test_a_damaged_file_is_begun_anew(
    cache: EmbeddingCache, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "embeddings").mkdir()
    (tmp_path / "embeddings" / "embeddings-2.db").write_bytes(content)
    assert cache.get(SETTINGS, ["p1"]) == {}
    cache.put(SETTINGS, {"p1": [seen(0.1)]})
    assert list(cache.get(SETTINGS, ["p1"])) == ["p1"]


def test_where_nothing_can_be_written_nothing_is_kept(tmp_path: Path) -> None:
    (tmp_path / "embeddings").write_text("a file where the folder should be")
    cache = EmbeddingCache(tmp_path / "embeddings")
    cache.put(SETTINGS, {"p1": [seen(0.1)]})
    assert cache.get(SETTINGS, ["p1"]) == {}
    assert cache.forget(["p1"]) == 0


def test_threads_may_write_at_once(cache: EmbeddingCache) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda i: cache.put(SETTINGS, {f"p{i}": [seen(i)]}), range(40)))
    found = cache.get(SETTINGS, [f"p{i}" for i in range(40)])
    assert [found[f"p{i}"][0][1][0] for i in range(40)] == list(range(40))


def test_what_was_seen_for_a_run_is_forgotten_with_it(tmp_path: Path) -> None:
    EmbeddingCache(tmp_path, "run-1").put(SETTINGS, {"p1": [seen(0.1)], "p2": [seen(0.2)]})
    EmbeddingCache(tmp_path, "run-2").put(SETTINGS, {"p3": [seen(0.3)]})
    EmbeddingCache(tmp_path).put(SETTINGS, {"p4": [seen(0.4)]})
    assert EmbeddingCache(tmp_path).forget(["p1"]) == 1
    assert EmbeddingCache(tmp_path, "run-1").forget([]) == 1
    assert sorted(EmbeddingCache(tmp_path).get(SETTINGS, ["p1", "p2", "p3", "p4"])) == ["p3", "p4"]
