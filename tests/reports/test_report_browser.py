"""Every page in a real Chromium: nothing asked for, nothing complained of, all within reach."""

import io
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

import reports

Scheme = Literal["light", "dark"]
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
PHONE_PX, SCREEN_PX = 360, 1280
A4_PX = 718
"""A4 at 96 pixels an inch, less a centimetre of margin on both sides."""

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium to render the pages with")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    offline = ["--disable-background-networking", "--host-resolver-rules=MAP * ~NOTFOUND"]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--disable-gpu", *offline], chromium_sandbox=False
        )
        yield chromium
        chromium.close()


@pytest.fixture
def comparison(make_runs: Callable[..., tuple[Path, ...]], tmp_path: Path) -> Path:
    answers = {
        "control": [{"score": 0.9 + number / 200} for number in range(9)],
        "fawkes-0.3-high": [{"score": 0.5 + number / 30} for number in range(9)],
    }
    runs = make_runs(answers, answers, answers)
    return reports.compare(runs, tmp_path / "compared", against=["uva-2021"]).page


@pytest.fixture
def study(make_run: Callable[..., Path], tmp_path: Path) -> Path:
    run = make_run({"control": [{"score": 0.9}] * 9, "fawkes-0.3-high": [{"score": 0.6}] * 9})
    folder = tmp_path / "study"
    folder.mkdir()
    (folder / "study.toml").write_text(
        """
study = "uva-2021"
paper = "uva-2021"
small = true
run = [{name = "all", of = "", about = "Every arm"}]
absent = [{what = "The paper's photos", why = "they were never published"}]

[[finding]]
says = "The strongest cloak protects most probes"
left = "all/fawkes-0.3-high"
relation = ">="
right = 0.5
"""
    )
    return reports.study(folder, {"all": run})


@pytest.fixture
def several_people(make_run: Callable[..., Path]) -> Path:
    probes = [
        {"score": 0.9, "person": person, "number": f"{person} {number}"}
        for person in (
            "Ada",
            "Arnold_Schwarzenegger",
            "a person of a long name, who has a title too",
        )
        for number in range(6)
    ]
    lost = [{**probe, "outcome": "no_face", "score": None} for probe in probes[:2]]
    named = {**probes[2], "outcome": "other_person", "top_person": "Gloria_Macapagal_Arroyo"}
    cloaked = [*lost, named, *probes[3:]]
    return reports.build(make_run({"control": probes, "fawkes-0.3-high": cloaked}))


@pytest.fixture(params=["study_run", "several_people", "comparison", "study"])
def file(request: pytest.FixtureRequest) -> Path:
    found: Path = request.getfixturevalue(request.param)
    return found / "report" / "index.html" if found.is_dir() else found


@contextmanager
def opened(browser: Browser, file: Path, width: int, scheme: Scheme = "light") -> Iterator[Page]:
    """Open a page, and see to it that it asks for nothing else and complains of nothing."""
    page = browser.new_page(color_scheme=scheme, viewport=ViewportSize(width=width, height=900))
    asked: list[str] = []
    told: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: told.append(message.text))
    page.on("pageerror", lambda error: told.append(str(error)))
    page.goto(file.as_uri())
    yield page
    assert [url for url in asked if not url.startswith("data:")] == [file.as_uri()]
    assert told == []
    page.close()


@pytest.mark.parametrize("width", [PHONE_PX, SCREEN_PX])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(browser: Browser, file: Path, scheme: Scheme, width: int) -> None:
    with opened(browser, file, width, scheme) as page:
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
        assert page.evaluate("document.documentElement.scrollWidth") == width


@pytest.mark.parametrize(
    ("scheme", "ink", "paper"),
    [("light", (32, 38, 45), (253, 253, 252)), ("dark", (228, 232, 236), (20, 24, 28))],
)
def test_the_figures_follow_the_page_into_the_dark(
    browser: Browser, study_run: Path, scheme: Scheme, ink: tuple[int, ...], paper: tuple[int, ...]
) -> None:
    with opened(browser, study_run / "report" / "index.html", SCREEN_PX, scheme) as page:
        fill = page.evaluate("getComputedStyle(document.querySelector('.chart svg text')).fill")
        assert fill == f"rgb{ink}"
        with Image.open(io.BytesIO(page.screenshot(full_page=True))) as picture:
            assert picture.getpixel((0, 0)) == paper
            assert len(picture.getcolors(picture.width * picture.height) or ()) > 50


def test_on_paper_nothing_is_cut_off(browser: Browser, file: Path) -> None:
    with opened(browser, file, A4_PX) as page:
        page.emulate_media(media="print")
        wide = "[...document.querySelectorAll('*')].filter(it => it.scrollWidth > innerWidth)"
        assert page.evaluate(f"{wide}.map(it => it.tagName)") == []
        assert page.pdf(format="A4").startswith(b"%PDF")


_OUTSIDE = """[...document.querySelectorAll('.chart svg')].flatMap(svg => {
    const frame = svg.getBoundingClientRect();
    return [...svg.querySelectorAll('text')].filter(text => {
        const box = text.getBoundingClientRect();
        return box.left < frame.left - 1 || box.right > frame.right + 1
            || box.top < frame.top - 1 || box.bottom > frame.bottom + 1;
    }).map(text => text.textContent);
})"""
_BROKEN = """[...document.querySelectorAll('tbody th')].flatMap(cell => {
    const nodes = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
    const broken = [];
    while (nodes.nextNode()) {
        for (const word of nodes.currentNode.data.matchAll(/[^-\\s_/]+/g)) {
            const range = document.createRange();
            range.setStart(nodes.currentNode, word.index);
            range.setEnd(nodes.currentNode, word.index + word[0].length);
            if (range.getClientRects().length > 1) broken.push(word[0]);
        }
    }
    return broken;
})"""


@pytest.mark.parametrize("width", [PHONE_PX, SCREEN_PX])
def test_no_text_of_a_figure_is_cut_off(browser: Browser, file: Path, width: int) -> None:
    with opened(browser, file, width) as page:
        assert page.evaluate(_OUTSIDE) == []


def test_on_paper_names_are_broken_between_words_only(
    browser: Browser, several_people: Path
) -> None:
    with opened(browser, several_people, A4_PX) as page:
        page.emulate_media(media="print")
        assert page.evaluate(_BROKEN) == []
        assert "Schwarzenegger" in page.inner_text("main")


def test_the_keyboard_reaches_every_link_and_every_table(browser: Browser, study_run: Path) -> None:
    with opened(browser, study_run / "report" / "index.html", SCREEN_PX) as page:
        page.evaluate("document.querySelectorAll('details').forEach(it => it.open = true)")
        there = page.evaluate("document.querySelectorAll('a[href], summary, [tabindex]').length")
        for place in range(there):
            page.keyboard.press("Tab")
            reached = "[...document.querySelectorAll('a[href], summary, [tabindex]')]"
            assert page.evaluate(f"{reached}.indexOf(document.activeElement)") == place
