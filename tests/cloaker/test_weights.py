"""Weights in the cache folder: added, fetched from a real loopback server, verified when read."""

import hashlib
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from audit.errors import Stopped, UserError
from cloaker import weights
from cloaker.networks import registry
from cloaker.networks.base import EmbeddingNetwork
from cloaker.networks.catalogue import CATALOGUE, METRICS, Entry, Metric, WeightFile

CONTENT = bytes(range(256)) * 2000
OTHER = b"something else"
KNOWN: tuple[Entry | Metric, ...] = (*CATALOGUE.values(), *METRICS.values())
FILES = [file for known in KNOWN for file in known.files]


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def never(name: str, contents: Sequence[bytes]) -> EmbeddingNetwork:
    raise NotImplementedError(name, contents)


def entry(*files: WeightFile) -> Entry:
    return Entry("Net", "some set", "MIT", "its authors", "arcface-112", 128, files, never)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own, and a small catalogue."""
    monkeypatch.setenv("AUDIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("AUDIT_WEIGHTS_MIRROR", raising=False)
    monkeypatch.setenv("NO_PROXY", "*")
    catalogue = {
        "one": entry(WeightFile("one.bin", sha256(CONTENT), len(CONTENT))),
        "two": entry(
            WeightFile("two.xml", sha256(b"graph"), 5), WeightFile("two.bin", sha256(b"data"), 4)
        ),
        "unpublished": entry(WeightFile("net.pt", None, None)),
    }
    monkeypatch.setattr(weights, "CATALOGUE", catalogue)
    monkeypatch.setattr(weights, "METRICS", {})
    return tmp_path / "cache" / "weights"


@pytest.fixture
def given(tmp_path: Path) -> Callable[[str, bytes], Path]:
    def write(name: str, content: bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write


Given = Callable[[str, bytes], Path]


def states() -> dict[str, str]:
    return {row.name: row.installed.value for row in weights.list_weights()}


class TestList:
    def test_nothing_is_installed_at_first(self) -> None:
        assert states() == {"one": "no", "two": "no", "unpublished": "no"}

    def test_needs_no_torch(self) -> None:
        code = (
            "import sys, cloaker.weights as w; w.list_weights(); sys.exit('torch' in sys.modules)"
        )
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

    def test_says_size_licence_and_origin(self) -> None:
        row = {row.name: row for row in weights.list_weights()}["two"]
        assert (row.size, row.licence, row.source) == (9, "MIT", "its authors")
        assert row.what == "Net, trained on some set, 128-d"
        assert not row.fetchable

    def test_marks_a_damaged_file(self, given: Given, cache: Path) -> None:
        weights.add("one", given("a.bin", CONTENT))
        (cache / "one" / "one.bin").write_bytes(CONTENT[:-1])
        assert states()["one"] == "bad checksum"

    def test_half_of_a_network_is_not_installed(self, given: Given, cache: Path) -> None:
        given("n.bin", b"data")
        weights.add("two", given("n.xml", b"graph"))
        (cache / "two" / "two.bin").unlink()
        assert states()["two"] == "no"


class TestAdd:
    def test_copies_a_good_file_under_its_own_name(self, given: Given, cache: Path) -> None:
        (stored,) = weights.add("one", given("downloaded-as.anything", CONTENT))
        assert stored == weights.StoredFile(cache / "one" / "one.bin", sha256(CONTENT), False)
        assert weights.read("one") == weights.Weights((CONTENT,), sha256(CONTENT))
        assert states()["one"] == "yes"
        assert [path.name for path in (cache / "one").iterdir()] == ["one.bin"]

    def test_refuses_a_wrong_file_and_says_both_hashes(self, given: Given) -> None:
        with pytest.raises(UserError) as raised:
            weights.add("one", given("a.bin", OTHER))
        assert sha256(OTHER) in str(raised.value)
        assert sha256(CONTENT) in str(raised.value)
        assert states()["one"] == "no"

    def test_a_wrong_file_leaves_a_good_one_alone(self, given: Given) -> None:
        weights.add("one", given("a.bin", CONTENT))
        with pytest.raises(UserError):
            weights.add("one", given("b.bin", OTHER))
        assert weights.read("one").contents == (CONTENT,)

    @pytest.mark.parametrize("named", ["xml", "bin"])
    def test_takes_the_other_file_from_beside(self, given: Given, named: str) -> None:
        paths = {"xml": given("net.v1.xml", b"graph"), "bin": given("net.v1.bin", b"data")}
        assert [f.path.name for f in weights.add("two", paths[named])] == ["two.xml", "two.bin"]
        assert weights.read("two").contents == (b"graph", b"data")

    def test_two_files_have_a_hash_that_both_shape(self, given: Given) -> None:
        given("n.bin", b"data")
        weights.add("two", given("n.xml", b"graph"))
        assert weights.read("two").sha256 not in {sha256(b"graph"), sha256(b"data")}
        assert len(weights.read("two").sha256) == 64

    def test_all_or_nothing(self, given: Given, cache: Path) -> None:
        with pytest.raises(UserError, match=r"no such file.*n\.bin"):
            weights.add("two", given("n.xml", b"graph"))
        given("n.bin", OTHER)
        with pytest.raises(UserError, match=r"is not two\.bin"):
            weights.add("two", given("n.xml", b"graph"))
        assert list((cache / "two").iterdir()) == []

    def test_a_directory_is_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="no such file"):
            weights.add("one", tmp_path)

    def test_an_unknown_name_lists_the_known(self, given: Given) -> None:
        with pytest.raises(UserError, match="one, two, unpublished"):
            weights.add("three", given("a.bin", CONTENT))

    def test_a_cache_that_is_a_file_is_the_users_to_mend(
        self, given: Given, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AUDIT_CACHE", str(given("cache-file", b"")))
        with pytest.raises(UserError, match="AUDIT_CACHE"):
            weights.add("one", given("a.bin", CONTENT))


class TestWithoutPublishedHash:
    def test_the_first_file_is_trusted_and_pinned(self, given: Given, cache: Path) -> None:
        (stored,) = weights.add("unpublished", given("a.pt", CONTENT))
        assert (stored.sha256, stored.pinned) == (sha256(CONTENT), True)
        assert (cache / "unpublished" / "net.pt.sha256").read_text() == f"{sha256(CONTENT)}\n"
        assert weights.read("unpublished").sha256 == sha256(CONTENT)
        assert states()["unpublished"] == "yes"

    def test_another_file_is_refused_afterwards(self, given: Given) -> None:
        weights.add("unpublished", given("a.pt", CONTENT))
        with pytest.raises(UserError, match=r"delete .*net\.pt\.sha256"):
            weights.add("unpublished", given("b.pt", OTHER))
        assert weights.read("unpublished").contents == (CONTENT,)

    def test_a_file_put_there_by_hand_is_not_trusted(self, cache: Path) -> None:
        (cache / "unpublished").mkdir(parents=True)
        (cache / "unpublished" / "net.pt").write_bytes(CONTENT)
        assert states()["unpublished"] == "no"
        with pytest.raises(UserError, match="audit weights add unpublished FILE"):
            weights.read("unpublished")


class TestRead:
    def test_absent(self) -> None:
        with pytest.raises(UserError, match="audit weights add one FILE") as raised:
            weights.read("one")
        assert "fetch" not in str(raised.value)

    @pytest.mark.parametrize("damaged", [b"", CONTENT[:1000], CONTENT + b"x"])
    def test_damaged(self, given: Given, cache: Path, damaged: bytes) -> None:
        weights.add("one", given("a.bin", CONTENT))
        (cache / "one" / "one.bin").write_bytes(damaged)
        with pytest.raises(UserError, match=f"expected: SHA-256 {sha256(CONTENT)}"):
            weights.read("one")

    def test_unreadable(self, cache: Path) -> None:
        (cache / "one" / "one.bin").mkdir(parents=True)
        with pytest.raises(UserError, match="can't be read"):
            weights.read("one")


@dataclass
class Server:
    """A file server that can misbehave. `cuts` says after how many bytes each answer breaks off."""

    files: dict[str, bytes]
    url: str = ""
    ranges: bool = True
    cuts: list[int] = field(default_factory=list)
    requests: list[tuple[str, str]] = field(default_factory=list)

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        asked = handler.headers.get("Range", "")
        self.requests.append((handler.path, asked))
        content = self.files.get(handler.path)
        if content is None:
            handler.send_error(404)
            return
        start = int(asked[6:-1]) if asked and self.ranges else 0
        if start >= len(content):
            handler.send_error(416)
            return
        handler.send_response(206 if start else 200)
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        handler.send_header("Content-Length", str(len(content) - start))
        handler.end_headers()
        end = start + self.cuts.pop(0) if self.cuts else len(content)
        handler.wfile.write(content[start:end])
        handler.close_connection = True


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server({"/one/one.bin": CONTENT, "/two/two.xml": b"graph", "/two/two.bin": b"data"})

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.answer(self)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        state.url = f"http://127.0.0.1:{http.server_port}"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield state
        http.shutdown()
        thread.join()


class TestFetch:
    def test_downloads_verifies_and_tells_progress(self, server: Server, cache: Path) -> None:
        seen: list[tuple[int, int | None]] = []
        (stored,) = weights.fetch("one", lambda *told: seen.append(told), mirror=server.url)
        assert stored.path.read_bytes() == CONTENT
        assert [done for done, _ in seen] == sorted({done for done, _ in seen})
        assert {total for _, total in seen} == {len(CONTENT)}
        assert seen[-1][0] == len(CONTENT)
        assert [path.name for path in (cache / "one").iterdir()] == ["one.bin"]

    def test_the_mirror_may_come_from_the_environment(
        self, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AUDIT_WEIGHTS_MIRROR", f"{server.url}/")
        assert [f.path.name for f in weights.fetch("two")] == ["two.xml", "two.bin"]
        assert weights.read("two").contents == (b"graph", b"data")

    def test_uses_the_published_address(
        self, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = WeightFile("one.bin", sha256(CONTENT), None, f"{server.url}/one/one.bin")
        monkeypatch.setattr(weights, "CATALOGUE", {"one": entry(file)})
        weights.fetch("one")
        assert weights.read("one").contents == (CONTENT,)

    def test_a_cut_connection_is_taken_up_again(self, server: Server) -> None:
        server.cuts = [100_000, 50_000]
        weights.fetch("one", mirror=server.url)
        whole, second, third = [asked for _, asked in server.requests]
        assert whole == ""
        assert 80_000 < int(second[6:-1]) <= 100_000
        assert 120_000 < int(third[6:-1]) <= 150_000
        assert weights.read("one").contents == (CONTENT,)

    def test_an_earlier_call_is_taken_up_again(self, server: Server, cache: Path) -> None:
        server.cuts = [100_000, 0]
        with pytest.raises(Stopped, match="audit weights add one FILE"):
            weights.fetch("one", mirror=server.url)
        kept = (cache / "one" / "one.bin.part").stat().st_size
        assert 80_000 < kept <= 100_000
        seen: list[int] = []
        weights.fetch("one", lambda done, _: seen.append(done), mirror=server.url)
        assert server.requests[-1] == ("/one/one.bin", f"bytes={kept}-")
        assert seen[0] > kept
        assert weights.read("one").contents == (CONTENT,)

    def test_a_server_without_ranges_starts_over(self, server: Server) -> None:
        server.ranges = False
        server.cuts = [100_000]
        weights.fetch("one", mirror=server.url)
        assert weights.read("one").contents == (CONTENT,)

    def test_a_part_longer_than_the_file_starts_over(self, server: Server, cache: Path) -> None:
        (cache / "one").mkdir(parents=True)
        (cache / "one" / "one.bin.part").write_bytes(CONTENT + b"more")
        weights.fetch("one", mirror=server.url)
        assert [asked for _, asked in server.requests] == [f"bytes={len(CONTENT) + 4}-", ""]
        assert weights.read("one").contents == (CONTENT,)

    def test_a_wrong_file_is_thrown_away(self, server: Server, cache: Path) -> None:
        server.files["/one/one.bin"] = OTHER
        with pytest.raises(UserError) as raised:
            weights.fetch("one", mirror=server.url)
        assert sha256(OTHER) in str(raised.value)
        assert list((cache / "one").iterdir()) == []

    def test_an_error_status_stops(self, server: Server) -> None:
        server.files.clear()
        with pytest.raises(Stopped, match="the server answers 404"):
            weights.fetch("one", mirror=server.url)
        assert len(server.requests) == 1

    def test_nobody_there_stops_without_telling_credentials(self, server: Server) -> None:
        with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as closed:
            port = closed.server_port
        with pytest.raises(Stopped) as raised:
            weights.fetch("one", mirror=f"http://me:secret@127.0.0.1:{port}")
        assert "secret" not in str(raised.value)
        assert raised.value.__cause__ is None
        assert "audit weights add one FILE" in str(raised.value)
        assert server.requests == []

    def test_what_is_there_is_not_fetched_again(self, server: Server) -> None:
        first = weights.fetch("one", mirror=server.url)
        assert weights.fetch("one", mirror=server.url) == first
        assert len(server.requests) == 1

    def test_no_address_is_known(self) -> None:
        with pytest.raises(UserError, match="audit weights add one FILE"):
            weights.fetch("one")

    def test_without_a_published_hash_the_first_is_pinned(self, server: Server) -> None:
        server.files["/unpublished/net.pt"] = CONTENT
        (stored,) = weights.fetch("unpublished", mirror=server.url)
        assert stored.pinned
        assert weights.read("unpublished").sha256 == sha256(CONTENT)


class TestMetrics:
    @pytest.fixture(autouse=True)
    def metric(self, monkeypatch: pytest.MonkeyPatch) -> None:
        file = WeightFile("metric.pth", sha256(CONTENT), len(CONTENT))
        metric = Metric("how alike", "MIT", "its authors", (file,))
        monkeypatch.setattr(weights, "METRICS", {"metric": metric})

    def test_are_installed_like_networks(self, given: Given) -> None:
        assert states()["metric"] == "no"
        weights.add("metric", given("downloaded-as.anything", CONTENT))
        row = {row.name: row for row in weights.list_weights()}["metric"]
        assert (row.installed.value, row.what, row.licence) == ("yes", "how alike", "MIT")
        assert weights.read("metric").contents == (CONTENT,)

    def test_are_named_among_what_can_be_installed(self, given: Given) -> None:
        with pytest.raises(UserError, match=r"arcface(.|\n)*one, two, unpublished, metric"):
            weights.add("arcface", given("a.bin", CONTENT))

    def test_are_no_networks(self) -> None:
        assert not set(METRICS) & set(registry.names())


class TestCatalogue:
    def test_hashes_are_whole_and_unlike(self) -> None:
        hashes = [file.sha256 for file in FILES if file.sha256]
        assert len(set(hashes)) == len(hashes) == 13
        assert all(len(h) == 64 and int(h, 16) for h in hashes)

    def test_files_of_a_network_differ_by_suffix(self) -> None:
        for known in KNOWN:
            suffixes = [Path(file.name).suffix for file in known.files]
            assert len(set(suffixes)) == len(suffixes)

    def test_addresses_are_encrypted(self) -> None:
        urls = [file.url for file in FILES if file.url]
        assert urls
        assert all(url.startswith("https://") for url in urls)

    def test_alexnets_hash_is_the_one_in_its_published_name(self) -> None:
        (file,) = METRICS["lpips-alexnet"].files
        assert file.name == f"alexnet-owt-{str(file.sha256)[:8]}.pth"
