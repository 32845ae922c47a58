"""What this machine keeps about photos can be listed, emptied, and forgotten with a run."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from audit import stores
from audit.folders import RunFolder, write_jsonl
from cloaker.known_faces import Face

Audit = Callable[..., subprocess.CompletedProcess[str]]
SETTINGS = {"network": "n"}


def keep(*photos: str) -> None:
    face = Face(0, 0, 9, 9, 1.0, ((1.0, 2.0),))
    stores.embeddings().put(SETTINGS, {p: [(face, np.ones(4, np.float32))] for p in photos})


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AUDIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_store_can_be_emptied_by_its_name(audit_here: Audit, own_cache: Path) -> None:
    keep("a", "b")
    (own_cache / "faces").mkdir()
    (own_cache / "faces" / "f.json").write_text("[]")
    listed = json.loads(audit_here("cache", "list", "--json").stdout)
    assert {row["store"]: row["records"] for row in listed} == {
        "embeddings": 2,
        "faces": 1,
        "cloaks": 0,
    }
    done = audit_here("cache", "clear", "embeddings", "--json")
    assert [row["records"] for row in json.loads(done.stdout)] == [2]
    assert not (own_cache / "embeddings").exists()
    assert (own_cache / "faces" / "f.json").exists()


def test_an_unknown_store_is_told_and_nothing_deleted(audit_here: Audit) -> None:
    keep("a")
    done = audit_here("cache", "clear", "embeddings", "weights")
    assert done.returncode == 2
    assert "nothing kept is called weights" in done.stderr
    assert "embeddings, faces, cloaks" in done.stderr
    assert stores.embeddings().count() == 1


def test_a_purged_run_leaves_no_embedding_of_its_photos(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.cloaked.mkdir(parents=True)
    write_jsonl(folder.photos, [{"sha256": "mine"}, {"sha256": "mine too"}])
    write_jsonl(folder.cloaks, [{"cloaked_sha256": "cloaked"}])
    folder.embedding_map.write_text("network\n")
    keep("mine", "cloaked", "another's")
    assert stores.forget(folder) == 2
    assert not folder.embedding_map.exists()
    assert list(stores.embeddings().get(SETTINGS, ["mine", "cloaked", "another's"])) == [
        "another's"
    ]
