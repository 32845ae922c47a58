"""Somebody else's package adds a service: the documented example, installed and found."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

EXAMPLE = Path(__file__).parent / "example_plugin"
ROOT = Path(__file__).parents[2]

LIFE = """
import json, sys
from dataclasses import asdict
from providers import registry

folder = sys.argv[1]
dice = registry.open_provider("dice", folder=folder)

def meaning(call):
    try:
        call()
    except Exception as error:
        return dice.classify(error).kind

dice.create_gallery("g")
faces = [dice.enrol("g", who, b"photo", "tag").id for who in ("ann", "bob", "ann")]
again = registry.open_provider("dice", folder=folder)
ranked = again.identify_photo("g", b"probe", 0.0, 9)
seen = {
    "names": registry.names(),
    "service": registry.capabilities("dice").service,
    "faces": faces,
    "galleries": again.list_galleries(),
    "conflict": meaning(lambda: dice.create_gallery("g")),
    "absent": meaning(lambda: dice.identify_photo("h", b"probe", 0.0, 9)),
    "people": [found.person_id for found in ranked],
    "scores": [found.score for found in ranked],
    "best": [asdict(one) for one in again.identify_photo("g", b"probe", ranked[1].score, 1)],
}
dice.delete_gallery("g")
print(json.dumps(seen | {"left": dice.list_galleries()}))
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Install the example as an installer would: its file beside its metadata."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    site = tmp_path / "site"
    metadata = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    metadata.mkdir(parents=True)
    (site / "dice.py").write_bytes((EXAMPLE / "dice.py").read_bytes())
    (metadata / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    lines = []
    for group, entries in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {place}" for name, place in entries.items())]
    (metadata / "entry_points.txt").write_text("\n".join(lines))
    return site


def python(site: Path, code: str, *arguments: str) -> Any:
    """Run code in a process that finds what is installed in `site`; return what it prints."""
    paths = os.pathsep.join([str(ROOT), str(site)])
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.stderr
    return json.loads(done.stdout)


def test_an_installed_package_adds_a_service(site: Path, tmp_path: Path) -> None:
    folder = tmp_path / "dice"
    folder.mkdir()
    seen = python(site, LIFE, str(folder))
    assert seen["names"] == ["azure", "dice", "facepp", "local", "rekognition"]
    assert seen["service"] == "Dice"
    assert seen["faces"] == ["tag"] * 3
    assert seen["galleries"] == ["g"]
    assert (seen["conflict"], seen["absent"]) == ("conflict", "absent")
    assert sorted(seen["people"]) == ["ann", "bob"]
    assert seen["scores"] == sorted(seen["scores"], reverse=True)
    assert [(one["person_id"], one["score"]) for one in seen["best"]] == [
        (seen["people"][0], seen["scores"][0])
    ]
    assert seen["left"] == []


def test_a_package_cannot_take_a_name_of_ours(site: Path) -> None:
    [entry_points] = site.glob("*/entry_points.txt")
    entry_points.write_text("[audit.providers]\nazure = dice:DiceProvider\n")
    code = (
        "import json; from providers import registry;"
        "print(json.dumps([registry.names(), registry.capabilities('azure').service]))"
    )
    names, service = python(site, code)
    assert (names.count("azure"), service) == (1, "Azure Face")


def test_the_example_stays_short() -> None:
    assert len((EXAMPLE / "dice.py").read_text().splitlines()) <= 60
