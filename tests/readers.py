"""Reading back what a run wrote."""

import csv
import json
from pathlib import Path
from typing import Any


def jsonl(file: Path) -> list[dict[str, Any]]:
    """Return the objects of a file that has one a line."""
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def rows(file: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file."""
    with file.open(encoding="utf-8", newline="") as text:
        return list(csv.DictReader(text))
