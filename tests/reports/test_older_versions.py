"""Run folders of every version there has been stay readable.

Each fixture is what `audit run --provider mock --level low` of that time wrote, on the bundled
generated people, without its pictures:

1. the first: no enrolment.csv, changed_uploads.csv or service_thresholds; ledger schema 1
2. these three; ledger schema 2
3. one gallery for all arms, calls in phases: ledger schema 3; several networks may cloak
4. cloaks.jsonl tells each network's embedding_shifts, the manifest each cloak's parameters
5. the manifest tells its schema_version; lock.toml, if the run was pre-registered
6. embedding_map.csv; the manifest tells the tier's limits and how long cloaking took to begin
"""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import reports
from audit import status
from audit.errors import UserError
from audit.folders import RunFolder
from audit.types import SCHEMA_VERSION
from reports import exports, preregistration, schema

FIXTURES = Path(__file__).parent / "fixtures"
VERSIONS = range(1, SCHEMA_VERSION + 1)
CALLS = {1: 41, 2: 41, 3: 33, 4: 33, 5: 33, 6: 33}
Audit = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest) -> int:
    number: int = request.param
    return number


@pytest.fixture
def run(version: int, tmp_path: Path) -> Path:
    return Path(shutil.copytree(FIXTURES / f"version-{version}", tmp_path / f"version-{version}"))


def change_manifest(run: Path, **values: object) -> None:
    manifest = run / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | values))


def test_every_version_has_a_fixture() -> None:
    assert {path.name for path in FIXTURES.iterdir()} == {f"version-{it}" for it in VERSIONS}
    newest = json.loads((FIXTURES / f"version-{SCHEMA_VERSION}" / "manifest.json").read_text())
    assert newest["schema_version"] == SCHEMA_VERSION


def test_it_is_loaded(run: Path, version: int) -> None:
    data = reports.load(run)
    assert list(data.observations) == list(schema.names("observations"))
    assert data.observations["arm"].tolist() == ["control"] * 3 + ["fawkes-0.3-low"] * 3
    assert data.observations["true_score"].notna().all()
    assert len(data.cloaks) == 3
    assert data.manifest.service.recogniser == "bundled-conv"
    assert data.manifest.service.matching == "nearest"
    assert data.enrolment.empty == (version == 1)
    assert data.changed_uploads.empty


def test_its_report_is_built(run: Path, version: int) -> None:
    text = reports.build(run).read_text(encoding="utf-8")
    assert "With nothing cloaked (control), the Azure Face emulator " in text
    assert "with the network bundled-conv, on this machine" in text
    assert ("Pre-registration" in text) == (version >= 5)
    assert ("seen by bundled-conv" in text) == (version >= 6)


def test_its_lock_is_kept() -> None:
    run = FIXTURES / "version-5"
    data = reports.load(run)
    registration = preregistration.judged(data, preregistration.claims(data, data.summary))
    assert registration is not None
    assert "kept to the experiment that was locked" in registration.sentences[0]


@pytest.mark.parametrize("file_format", ["csv", "parquet", "jsonl"])
def test_it_is_exported(run: Path, version: int, file_format: str, tmp_path: Path) -> None:
    files = {path.stem: path for path in reports.export(run, file_format, tmp_path / "out")}
    calls = exports.read_table(files["calls"])
    assert list(calls) == list(schema.names("calls"))
    assert len(calls) == CALLS[version]
    assert calls["phase"].isna().all() == (version < 3)
    assert len(exports.read_table(files["observations"])) == 6
    assert len(exports.read_table(files["enrolment"])) == (0 if version == 1 else 14)


def test_its_status_is_told(run: Path, version: int) -> None:
    told = status.of(RunFolder(run))
    assert (told["state"], told["provider"]) == ("done", "mock")
    assert told["calls_done"] == told["calls_planned"] == CALLS[version]


def test_all_are_listed(audit_here: Audit) -> None:
    done = audit_here("list", "--runs", FIXTURES, "--json")
    assert [row["run"] for row in json.loads(done.stdout)] == [f"version-{it}" for it in VERSIONS]


def test_it_is_compared_with_a_run_of_today(run: Path, version: int, tmp_path: Path) -> None:
    run = run.rename(tmp_path / "then")
    change_manifest(run, run_id="then")
    newest = FIXTURES / f"version-{SCHEMA_VERSION}"
    found = reports.compare([run, newest], tmp_path / "out", force=version < SCHEMA_VERSION)
    assert "the Azure Face emulator" in found.sentences[0]
    assert "3 probes" in found.page.read_text(encoding="utf-8")


def test_a_newer_version_is_refused(tmp_path: Path) -> None:
    run = Path(shutil.copytree(FIXTURES / f"version-{SCHEMA_VERSION}", tmp_path / "newer"))
    change_manifest(run, schema_version=SCHEMA_VERSION + 1)
    with pytest.raises(UserError, match="a newer version of this program"):
        reports.load(run)
