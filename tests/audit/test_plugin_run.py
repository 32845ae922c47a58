"""A service that another package adds takes part in everything: a whole run with the example."""

import csv
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from datasets import generated

Audit = Callable[..., subprocess.CompletedProcess[str]]
EXAMPLE = Path(__file__).parents[1] / "providers" / "example_plugin" / "dice.py"
ENTRY_POINT = "[audit.providers]\ndice = dice:DiceProvider\n"


def test_a_run_at_somebody_else_s_service(audit: Audit, tmp_path: Path) -> None:
    site = tmp_path / "site"
    metadata = site / "audit_dice-1.0.dist-info"
    metadata.mkdir(parents=True)
    (site / "dice.py").write_bytes(EXAMPLE.read_bytes())
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: audit-dice\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(ENTRY_POINT)
    (tmp_path / "table").mkdir()
    generated.write_people(tmp_path / "people", 3, [5, 2, 2].__getitem__)
    here = Path(__file__).parents[2]
    installed = {
        "PYTHONPATH": os.pathsep.join([str(here), str(site)]),
        "DICE_FOLDER": str(tmp_path / "table"),
    }
    asked = ("--provider", "dice", "--photos", "people", "--person", "person-000", "--train", "3")

    done = audit("run", *asked, "--level", "none", "--yes", "--out", "game", **installed)

    assert done.returncode == 0, done.stderr
    run = tmp_path / "audit-runs" / "game"
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["calls"]["by_operation"] == {"Create": 1, "Enrol": 7, "Roll": 2}
    assert manifest["service"]["service_model"] == "dice-1"
    with (run / "observations.csv").open(newline="") as text:
        ranks = {int(row["rank"]) for row in csv.DictReader(text)}
    assert ranks <= {1, 2, 3}
    assert "deleted" in audit("purge", "game", **installed).stdout
    assert list((tmp_path / "table").iterdir()) == []
