"""Reports, made from a run folder alone.

Importing this package is cheap: pandas and matplotlib come with the first call.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reports.compare_page import ComparisonReport
    from reports.report_tables import Report

__all__ = ["build", "compare", "export", "load", "study"]


def build(run: Path) -> Path:
    """Write RUN/report from the run folder alone and return its index.html.

    The same folder gives the same bytes. Raises UserError when a file of the run folder is missing
    or broken, and Stopped when the report can't be written.
    """
    from reports.html import write_report

    return write_report(run)


def compare(
    runs: Sequence[Path], to: Path, *, force: bool = False, against: Sequence[str] = ()
) -> "ComparisonReport":
    """Compare runs, and the latest with published studies; write page and tables into `to`.

    The same folders give the same bytes. Raises UserError telling every difference if the runs
    can't be compared, unless `force`; for an unknown study; or for a broken run folder.
    """
    from reports.compare_page import write_comparison

    return write_comparison(runs, to, force=force, against=against)


def load(run: Path) -> "Report":
    """Read a run folder: observations, cloaks, photos, and every table of its report.

    The tables are reckoned when `tables` is first asked for. Raises UserError naming the file that
    is missing or broken.
    """
    from reports.report_tables import read_report

    return read_report(run)


def export(run: Path, file_format: str, out: Path) -> tuple[Path, ...]:
    """Write a run's tables into the folder `out` and return the files.

    They are observations, calls, enrolment and changed_uploads, then schema.json, which tells every
    column.
    `file_format` is csv, parquet or jsonl. Raises UserError when it is none of them or when the
    run folder can't be read; Stopped when `out` can't be written.
    """
    from reports.exports import write_tables

    return write_tables(run, file_format, out)


def study(folder: Path, runs: Mapping[str, Path]) -> Path:
    """Write a study's page and tables into its folder and return the page.

    `folder` has its study.toml; `runs` are its runs' folders by name. The same folders give the
    same bytes. Raises UserError when a file is missing or broken, Stopped when none can be written.
    """
    from reports.study_page import write_study

    return write_study(folder, runs)
