import json
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

import reports
from audit.errors import Stopped, UserError

_VOID = {"meta", "link", "img", "br", "hr", "wbr"}
_HREFS = ("href", "src", "xlink:href", "srcset", "action", "data", "poster")


class Page(HTMLParser):
    """Collects what a browser would ask for, and whether each tag is closed in its turn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.alts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.tags.append(tag)
        self.links += [values[name] for name in _HREFS if name in values]
        self.ids += [values["id"]] if "id" in values else []
        self.alts += [values["alt"]] if tag == "img" else []
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_asks_for_nothing(study_run: Path) -> None:
    text = (study_run / "report" / "index.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.open == []
    assert all(link.startswith(("#", "data:")) for link in page.links)
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    assert not re.search(r"url\((?!#)|@import", text)
    assert "script" not in page.tags
    assert page.tags.count("svg") == 13
    assert page.tags.count("details") == 3


def test_figures_in_the_page_are_those_in_the_folder(study_run: Path) -> None:
    text = (study_run / "report" / "index.html").read_text(encoding="utf-8")
    for svg in (study_run / "report" / "figures").glob("*.svg"):
        assert svg.read_text(encoding="utf-8").split("?>\n", 1)[1] in text


def test_example_pairs_are_embedded_and_nameless(study_run: Path) -> None:
    page = Page((study_run / "report" / "index.html").read_text(encoding="utf-8"))
    assert page.tags.count("img") == 3 * (3 + 5)
    assert all(alt for alt in page.alts)
    assert not any("Ada" in alt for alt in page.alts)


def test_one_example_still_tells_whose_targets_were_separate(make_run: Callable[..., Path]) -> None:
    run = make_run({"control": [], "fawkes-0.3-mid-separate": []}, examples=1)
    text = reports.build(run).read_text(encoding="utf-8")
    assert "<h3>Level mid, fawkes-0.3, separate targets</h3>" in text


def test_building_twice_gives_equal_bytes(make_run: Callable[..., Path]) -> None:
    answers = [{"score": 0.9 - number / 50} for number in range(9)]
    run = make_run({"control": answers, "fawkes-0.3-high": answers}, examples=3)
    first = bytes_of(reports.build(run).parent)
    shutil.rmtree(run / "report")
    assert bytes_of(reports.build(run).parent) == first
    assert bytes_of(reports.build(run).parent) == first


def bytes_of(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_names_are_escaped(make_run: Callable[..., Path]) -> None:
    name = "<script>alert('名')</script> & Çelik"
    wrong = {"outcome": "other_person", "top_person": name, "person": name}
    run = make_run({"control": [wrong, {"outcome": "error", "person": name}]})
    text = reports.build(run).read_text(encoding="utf-8")
    assert "script" not in Page(text).tags
    assert "&lt;script&gt;alert(&#39;名&#39;)&lt;/script&gt; &amp; Çelik" in text


def test_a_name_may_be_broken_where_its_words_are_joined(make_run: Callable[..., Path]) -> None:
    probes = [{"score": 0.9, "person": person} for person in ("Ada_<i>_Lovelace", "Eve")]
    text = reports.build(make_run({"control": probes})).read_text(encoding="utf-8")
    assert '<th scope="row">Ada_<wbr>&lt;i&gt;_<wbr>Lovelace</th>' in text


def test_the_whole_manifest_and_experiment_are_in_the_page(study_run: Path) -> None:
    text = (study_run / "report" / "index.html").read_text(encoding="utf-8")
    manifest = json.loads((study_run / "manifest.json").read_text())
    for value in (manifest["photo_set_sha256"], manifest["weights"]["net"], "by_operation.ident"):
        assert value in text
    assert "level = [&#34;high&#34;]" in text
    assert "never taken for 0" in text


def test_a_control_alone_is_a_report(make_run: Callable[..., Path]) -> None:
    run = make_run({"control": [{"score": 0.9}]})
    text = reports.build(run).read_text(encoding="utf-8")
    assert Page(text).tags.count("svg") == 8
    assert "No photo was cloaked in this run." in text


def test_an_unreadable_picture_is_named(make_run: Callable[..., Path]) -> None:
    run = make_run({"control": [{"score": 0.9}], "fawkes-0.3-high": [{"score": 0.9}]})
    (path,) = (run / "cloaked" / "fawkes-0.3-high").iterdir()
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(UserError, match=path.name):
        reports.build(run)
    Image.new("RGB", (5, 5)).save(path)
    with pytest.raises(UserError, match="its original has"):
        reports.build(run)


def test_a_folder_that_cannot_be_written_stops_with_one_message(
    make_run: Callable[..., Path],
) -> None:
    run = make_run({"control": [{"score": 0.9}]})
    (run / "report").write_text("in the way")
    with pytest.raises(Stopped, match="the run's data is safe") as stopped:
        reports.build(run)
    assert "`audit report a run` rebuilds" in stopped.value.remedy


def test_a_full_disk_leaves_the_old_report_whole(make_run: Callable[..., Path]) -> None:
    run = make_run({"control": [{"score": 0.9}]})
    before = bytes_of(reports.build(run).parent)
    with file_size_limit(2_000), pytest.raises(Stopped, match="the run's data is safe"):
        reports.build(run)
    assert bytes_of(run / "report") == before


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Let no file grow beyond `size` bytes: a write fails half way, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_importing_reports_is_cheap() -> None:
    program = "import reports, sys; print({'pandas', 'matplotlib', 'jinja2'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    assert done.stdout == b"set()\n"
