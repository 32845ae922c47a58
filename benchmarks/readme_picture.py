"""The picture in the README: the first screens of the report of a run on the bundled people.

    python benchmarks/readme_picture.py

Needs Chromium. The run is `audit run --provider mock` at three levels.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

PICTURE = Path(__file__).with_name("readme_report.png")
WIDTH_PX, HEIGHT_PX = 1280, 1150
LEVELS = ("low", "mid", "high")


def main() -> None:
    """Run, render, save."""
    with tempfile.TemporaryDirectory() as folder:
        levels = [word for level in LEVELS for word in ("--level", level)]
        command = [sys.executable, "-m", "audit", "run", "--provider", "mock", *levels]
        subprocess.run([*command, "--runs", folder, "--out", "example"], check=True)
        shot = Path(folder) / "shot.png"
        render(Path(folder) / "example" / "report" / "index.html", shot, Path(folder) / "profile")
        with Image.open(shot) as picture:
            picture.convert("P", palette=Image.Palette.ADAPTIVE).save(PICTURE, optimize=True)
    print(PICTURE)


def render(page: Path, shot: Path, profile: Path) -> None:
    """Save a screenshot of a page's top; no request leaves this machine."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("no Chromium found: install chromium")
    subprocess.run(
        [
            *(chromium, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
            *("--no-first-run", "--disable-background-networking", "--disable-component-update"),
            *("--disable-sync", "--host-resolver-rules=MAP * ~NOTFOUND"),
            *(f"--user-data-dir={profile}", f"--window-size={WIDTH_PX},{HEIGHT_PX}"),
            *(f"--screenshot={shot}", page.as_uri()),
        ],
        check=True,
        stderr=subprocess.DEVNULL,
    )


if __name__ == "__main__":
    main()
