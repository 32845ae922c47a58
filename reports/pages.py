"""What every page of this room is: one template filled in, its figures and tables as files too."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from reports.drawing import Drawn
from reports.flat_files import csv_bytes, write_all

_XML = '<?xml version="1.0" encoding="utf-8"?>\n'


def render(template: str, figures: Mapping[str, Drawn], **values: Any) -> str:
    """Return a template's page. `figures` are by name; every value must be there."""
    environment = Environment(
        loader=PackageLoader("reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["breakable"] = _breakable
    # The figures are our own SVG, escaped where they were drawn.
    inline = {name: Markup(figure.svg) for name, figure in figures.items()}  # noqa: S704 - our own SVG
    return environment.get_template(template).render(figures=inline, **values)


def _breakable(name: str) -> Markup:
    """Let a name go over several lines where its words are joined, not only in their midst."""
    return Markup(re.sub(r"([_/])(?=[^_/])", r"\1<wbr>", str(escape(name))))  # noqa: S704 - escaped


def write_page(
    folder: Path,
    page: str,
    frames: Mapping[str, pd.DataFrame],
    figures: Mapping[str, Drawn],
    remedy: str,
) -> Path:
    """Write tables, figures and, last, the page into a folder; return the page's path.

    Raises Stopped, telling `remedy`, when the folder can't be written.
    """
    index = folder / "index.html"
    files = {folder / "tables" / f"{name}.csv": csv_bytes(frame) for name, frame in frames.items()}
    for name, figure in figures.items():
        files[folder / "figures" / f"{name}.svg"] = f"{_XML}{figure.svg}".encode()
        files[folder / "figures" / f"{name}.png"] = figure.png
    files[index] = page.encode()
    write_all(files, remedy)
    return index
