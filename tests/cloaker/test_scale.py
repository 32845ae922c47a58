"""Cloaking on a real Ray cluster of this machine, of two workers of which one is killed."""

import hashlib
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from audit.errors import UserError
from audit.types import Cloak, CloakedPhoto, Photo, Targets
from cloaker import cloaking, parcel, scale
from cloaker.cloaking import Cloaking, Work, cloak_photos
from cloaker.known_faces import KnownFaces
from cloaker.levels import resolve
from cloaker.networks import registry
from cloaker.parcel import Parcel
from cloaker.pipeline import cloak_here
from cloaker.recipe import Batch
from datasets import generated
from datasets.carried import carried
from datasets.photos import pixels

Audit = Callable[..., "subprocess.CompletedProcess[str]"]

PHOTOS, BATCH = 6, 1
NAME = "bundled-conv"
needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is absent")


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Photo]]:
    folder = tmp_path_factory.mktemp("people")
    counts = [PHOTOS, 2, 2]
    generated.write_people(folder, len(counts), counts.__getitem__)
    photos: dict[str, list[Photo]] = {}
    for path in sorted(folder.rglob("*.png")):
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        photos.setdefault(path.parent.name, []).append(Photo(sha256, path.parent.name, path, 0, 0))
    return photos


@pytest.fixture
def cloak_with(
    people: dict[str, list[Photo]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Cloaking]:
    """Return a function that cloaks one person's photos by `work`, with a cache of its own."""
    monkeypatch.setattr(cloaking, "_BATCH", {"cpu": BATCH})
    torch.set_num_threads(1)
    own, *others = people
    network, judge = (registry.load(name) for name in (NAME, "bundled-mixer"))
    parameters = resolve("fawkes-0.3", "min")
    weights = {NAME: network.weights_sha256}

    def call(
        name: str, work: Work, on_progress: Callable[[int, int], None] = lambda _done, _of: None
    ) -> Cloaking:
        return cloak_photos(
            Cloak("fawkes-0.3", "min", parameters, weights, Targets.SAME, 0),
            [network],
            people[own],
            {other: people[other] for other in others},
            read=pixels,
            carried=carried,
            faces=KnownFaces(tmp_path.parent / "faces"),
            out=tmp_path / name,
            cache=tmp_path / f"cache-{name}",
            judges=[judge],
            text=generated.MARK,
            work=work,
            on_progress=on_progress,
        )

    return call


class Nodes:
    """Two machines, as Ray sees it: each a process tree of its own, with one CPU."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        size: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 100_000_000}
        self._cluster: Any = Cluster(
            initialize_head=True, head_node_args=size | {"include_dashboard": False}
        )
        self._second = self._cluster.add_node(**size)
        self.address: str = self._cluster.address

    def kill_one(self) -> None:
        if self._second:
            self._cluster.remove_node(self._second, allow_graceful=False)
        self._second = None

    def workers(self) -> list[int]:
        """Return the processes that cloak at this moment."""
        raylets = [
            node.all_processes["raylet"][0].process.pid for node in self._cluster.list_all_nodes()
        ]
        return [
            int(child)
            for raylet in raylets
            for children in Path(f"/proc/{raylet}/task").glob("*/children")
            for child in children.read_text().split()
            if b"_cloaked" in _command_line(child)
        ]

    def end(self) -> None:
        self._cluster.shutdown()


def _command_line(process: str) -> bytes:
    try:
        return Path("/proc", process, "cmdline").read_bytes()
    except OSError:  # it has just ended
        return b""


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RAY_USAGE_STATS_ENABLED", "0")
        environment.setenv("PYTHONPATH", str(Path.cwd()))
        started = Nodes()
        yield started
        started.end()


def hashes(result: Cloaking) -> list[str]:
    return [record.cloaked_sha256 for record in result.cloaked]


def figures(record: CloakedPhoto) -> tuple[object, ...]:
    return record.file, record.steps, record.dssim, record.embedding_shifts, record.target


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"cloak-audit\[ray\]"), scale.cluster("auto", "cpu"):
        pass


@needs_ray
@pytest.mark.parametrize("address", ["nonsense", ":6379", "host:", "ray://host:10001", ""])
def test_what_is_no_address_is_said(address: str) -> None:
    with pytest.raises(UserError, match="HOST:PORT"), scale.cluster(address, "cpu"):
        pass


@needs_ray
def test_an_address_where_nobody_answers_is_said_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(UserError, match="refused"), scale.cluster(f"127.0.0.1:{port}", "cpu"):
        pass


@needs_ray
@pytest.mark.filterwarnings("ignore")
def test_no_cluster_is_an_error_that_says_how_to_start_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    with pytest.raises(UserError, match="ray start --head"), scale.cluster("auto", "cpu"):
        pass


def test_other_weights_on_a_worker_are_refused() -> None:
    with pytest.raises(UserError, match="other weights of bundled-conv"):
        parcel.loaded(NAME, "0" * 64, "cpu")


@needs_ray
@pytest.mark.filterwarnings("ignore")  # Ray's own files and sockets
def test_more_threads_than_any_machine_has_cpus_are_refused(nodes: Nodes) -> None:
    torch.set_num_threads(2)
    try:
        with pytest.raises(UserError, match="has 2 CPU"), scale.cluster(nodes.address, "cpu"):
            pass
    finally:
        torch.set_num_threads(1)


@needs_ray
@pytest.mark.filterwarnings("ignore")
def test_a_batch_that_was_begun_again_takes_its_steps_back(nodes: Nodes) -> None:
    ray = pytest.importorskip("ray")
    told: list[int] = []
    with scale.cluster(nodes.address, "cpu"):
        count = scale._step_count(ray)
        steps = scale._Steps(ray, count, 20, told.append)
        for taken in (5, 8, 2):
            ray.get(count.note.remote(0, taken))
            for _ in ("what was asked before", "what was asked since"):
                ray.wait([steps._asked])
                steps.tell()
        ray.get(count.note.remote(0, 9))
        steps.finish(0, cast("Batch", [[None, None], [None]]))
        steps.tell()
    told = [more for more in told if more]
    assert told == [5, 3, -6, 3 * 20 - 2]


def test_a_worker_tells_its_steps_at_most_twice_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 0.1, 0.5, 0.9, 1.3])

    def five_steps(_parcel: object, on_step: Callable[[int], None]) -> list[object]:
        for _ in range(5):
            on_step(8)
        return []

    monkeypatch.setattr(scale, "cloak_parcel", five_steps)
    monkeypatch.setattr("cloaker.scale.time.monotonic", lambda: next(clock))
    told: list[tuple[int, int]] = []
    note = SimpleNamespace(remote=lambda number, taken: told.append((number, taken)))
    scale._cloaked(cast("Parcel", None), 3, SimpleNamespace(note=note))
    assert told == [(3, 8), (3, 24), (3, 40)]


def written(folder: Path) -> tuple[dict[str, bytes], list[dict[str, Any]]]:
    """Return the photos by person and name, and the records without the time that they took."""
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.png")
    }
    lines = (folder / "cloaks.jsonl").read_text().splitlines()
    return files, [json.loads(line) | {"seconds": 0} for line in lines]


@needs_ray
@pytest.mark.filterwarnings("ignore")
def test_the_command_writes_the_bytes_of_one_machine_though_a_worker_is_killed(
    audit_here: Audit,
    people: dict[str, list[Photo]],
    nodes: Nodes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = people[next(iter(people))][0].path.parent.parent
    asked = ["cloak", str(folder), "--level", "min", "--network", NAME]
    here = audit_here(*asked, "--out", "here", AUDIT_CACHE=str(tmp_path / "cache-here"))
    assert here.returncode == 0, here.stderr
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "faces").symlink_to(tmp_path / "cache-here" / "faces")
    monkeypatch.setenv("AUDIT_CACHE", str(cache))

    there = subprocess.Popen(
        [sys.executable, "-m", "audit", *asked, "--out", "there", "--ray", nodes.address],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (at_work := nodes.workers()):
        assert there.poll() is None, "it ended before there was a worker to kill"
        time.sleep(0.002)
    os.kill(at_work[0], signal.SIGKILL)
    _, said = there.communicate()

    assert there.returncode == 0, said
    assert written(tmp_path / "there") == written(tmp_path / "here")
    lines = said.splitlines()
    assert all(line.startswith(("photos checked: ", "steps of cloaking: ")) for line in lines), said
    steps = 20 * sum(map(len, people.values()))
    assert lines[-1].startswith(f"steps of cloaking: {steps} of {steps}, ")
    # What the cluster made, this machine finds in the cache.
    again = audit_here(*asked, "--out", "again")
    assert again.returncode == 0, again.stderr
    kept = {path.stat().st_ino for path in (cache / "cloaks").rglob("*.png")}
    made = {path.stat().st_ino for path in (tmp_path / "there").rglob("*.png")}
    assert {path.stat().st_ino for path in (tmp_path / "again").rglob("*.png")} == made <= kept


@needs_ray
@pytest.mark.filterwarnings("ignore")
def test_two_workers_make_the_bytes_of_one_machine_though_one_of_them_is_killed(
    cloak_with: Callable[..., Cloaking], nodes: Nodes, tmp_path: Path
) -> None:
    here = cloak_with("here", cloak_here)
    told: list[int] = []

    def kill_at_the_first(done: int, of: int) -> None:
        told.append(done)
        assert of == PHOTOS * 20
        nodes.kill_one()

    with scale.cluster(nodes.address, "cpu") as work:
        there = cloak_with("there", work, kill_at_the_first)

    assert there.failures == ()
    assert hashes(there) == hashes(here)
    assert list(map(figures, there.cloaked)) == list(map(figures, here.cloaked))
    assert told == sorted(told)
    assert told[-1] == PHOTOS * 20
    for record in there.cloaked:
        file = tmp_path / "there" / record.file
        assert hashlib.sha256(file.read_bytes()).hexdigest() == record.cloaked_sha256
    assert {*here.cloaked[0].embedding_shifts} == {NAME, "bundled-mixer"}
