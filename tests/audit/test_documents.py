"""What README, CHANGELOG and docs/ name is there: files, headings, commands, options, scripts."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.core import TyperGroup

from audit.cli import app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(ROOT.joinpath("docs").glob("*.md"))]
GONE = {"--emulator-network", "--emulator-matching"}  # the changelog tells how they were renamed
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def commands() -> dict[str, set[str]]:
    """Return every command that can be typed after `audit`, and its options."""
    return dict(_walk(typer.main.get_command(app), ()))


def _walk(command: Any, path: tuple[str, ...]) -> Iterator[tuple[str, set[str]]]:
    if isinstance(command, TyperGroup):
        for name, inner in command.commands.items():
            yield from _walk(inner, (*path, name))
    else:
        yield (
            " ".join(path),
            {"--help"}
            | {
                word for option in command.params for word in (*option.opts, *option.secondary_opts)
            },
        )


def typed(page: Path) -> list[str]:
    """Return what a page sets in code: spans between backticks, and lines after a prompt."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"^```.*?^```", text, flags=re.MULTILINE | re.DOTALL)
    lines = [line[2:] for block in blocks for line in block.splitlines() if line[:2] == "$ "]
    for block in blocks:
        text = text.replace(block, "")
    spans = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", text)]
    return [*spans, *(line.split("  #")[0] for line in lines)]


def headings(page: Path) -> set[str]:
    """Return the anchors that a page's headings have."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        if link.startswith("https://"):
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.is_file(), link
        assert not anchor or anchor in headings(target), link


@each_page
def test_lines_are_short(page: Path) -> None:
    assert [line for line in page.read_text(encoding="utf-8").splitlines() if len(line) > 100] == []


@each_page
def test_commands_and_options_exist(page: Path) -> None:
    known = commands()
    groups = {name.split()[0] for name in known if " " in name}
    everywhere = set.union(*known.values())
    for code in typed(page):
        options = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", code)) - GONE
        named = re.search(r"(?:^|uv run )audit ([a-z]+)(?: ([a-z]+))?", code)
        if named is None:
            assert not code.startswith("--") or options <= everywhere, code
            continue
        name, inner = named.groups()
        if name not in groups:
            assert options <= known[name], code
        elif inner is not None:
            assert options <= known[f"{name} {inner}"], code


@each_page
def test_files_of_the_repository_exist(page: Path) -> None:
    roots = ("audit", "providers", "cloaker", "datasets", "evaluation", "reports", "tests")
    for word in {word for code in typed(page) for word in code.split()}:
        if word.endswith(".py") and "/" not in word:
            assert (ROOT / "benchmarks" / word).is_file(), word
        elif word.split("/")[0] in {*roots, "benchmarks"} and "/" in word:
            assert list(ROOT.glob(word)), word


def test_the_readme_names_every_command_and_links_every_page() -> None:
    readme = PAGES[0]
    code = " ".join(typed(readme))
    for name in {name.split()[0] for name in commands()}:
        assert f"audit {name}" in code, name
    for page in ROOT.joinpath("docs").glob("*.md"):
        assert f"(docs/{page.name})" in readme.read_text(encoding="utf-8"), page.name
