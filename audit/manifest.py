"""The manifest: what ran, with what, when, and how it ended."""

import json
import platform
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from audit.folders import RunFolder, write_whole

_PACKAGES = (
    "cloak-audit",
    "azure-ai-vision-face",
    "boto3",
    "facenet-pytorch",
    "numpy",
    "pandas",
    "pillow",
    "requests",
    "scikit-learn",
    "scipy",
    "seaborn",
    "torch",
    "torchvision",
)


class Manifest:
    """Keeps manifest.json current; what earlier sessions of the run wrote stays."""

    def __init__(self, folder: RunFolder) -> None:
        self._file = folder.manifest
        self._values: dict[str, Any] = read(folder) if self._file.exists() else {}

    def update(self, **values: Any) -> None:
        """Set keys and write the file."""
        self._values |= values
        write_whole(self._file, json.dumps(self._values, indent=2, ensure_ascii=False) + "\n")

    def get(self, key: str) -> Any:
        """Return a key's value, None if it isn't there."""
        return self._values.get(key)


def read(folder: RunFolder) -> dict[str, Any]:
    """Return a run's manifest; empty when there is none yet."""
    if not folder.manifest.exists():
        return {}
    values: dict[str, Any] = json.loads(folder.manifest.read_text(encoding="utf-8"))
    return values


def environment() -> Mapping[str, Any]:
    """Return what this program runs on, without any user or machine name."""
    return {
        "git_revision": git_revision(),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "packages": {name: _version(name) for name in _PACKAGES},
    }


def git_revision() -> str:
    """Return the checkout's commit, with `+changes` if files differ; empty outside a checkout."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return ""
    revision = _git(root, "rev-parse", "HEAD")
    changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    return f"{revision}+changes" if revision and changed else revision


def _git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - fixed arguments
            ["git", "-C", str(root), *arguments],  # noqa: S607 - the user's own git
            capture_output=True,
            text=True,
            check=False,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
