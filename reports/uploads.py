"""What became of the photos sent: which the service did not enrol, and which were changed."""

import re

import pandas as pd

from reports.manifest import Service
from reports.services import whose_limits
from reports.tables import in_arm_order
from reports.wording import plural

_ENROLLED, _OPEN = "enrolled", "open"
_HASH_SHOWN = 12
_SIZES = re.compile(r" from \d+x\d+ to \d+x\d+")


def not_enrolled(enrolment: pd.DataFrame) -> pd.DataFrame:
    """Return per arm how many photos each of the service's reasons kept out, most first."""
    rows = enrolment[enrolment["outcome"] != _ENROLLED]
    given = rows["reason"].where(rows["reason"] != "", rows["code"])
    given = given.where(given != "", rows["outcome"].str.replace("_", " "))
    reason = given.where(rows["outcome"] != _OPEN, "no answer yet")
    return _counted(rows.assign(reason=reason), "reason")


def rejected(enrolment: pd.DataFrame) -> pd.DataFrame:
    """Return every photo that the service did not enrol, with the service's code and reason."""
    rows = enrolment[~enrolment["outcome"].isin([_ENROLLED, _OPEN])]
    return _shortened(rows)[["arm", "photo", "person", "code", "reason"]]


def noted(enrolment: pd.DataFrame) -> pd.DataFrame:
    """Return every photo that the service said something about, enrolled or not."""
    return _shortened(enrolment[enrolment["note"] != ""])[["arm", "photo", "person", "note"]]


def notes(enrolment: pd.DataFrame) -> pd.DataFrame:
    """Return per arm how many photos each note stands beside, most first."""
    return _counted(enrolment[enrolment["note"] != ""], "note")


def changes(changed_uploads: pd.DataFrame, service: Service) -> str:
    """Say how many photos were changed to fit the limits and how; "" if none was."""
    if changed_uploads.empty:
        return ""
    photos, uploads = changed_uploads["photo"].nunique(), len(changed_uploads)
    verb = "was" if photos == 1 else "were"
    times = f" in {uploads} uploads" if uploads > photos else ""
    kinds = changed_uploads["change"].map(_kind).value_counts().sort_index()
    counts = kinds.sort_values(ascending=False, kind="stable").to_dict()
    how = ", ".join(
        f"{count} {kind}" if len(counts) > 1 else f"{kind}" for kind, count in counts.items()
    )
    limits = f"{whose_limits(service)}'s limits"
    return f"{plural(photos, 'photo')} {verb} changed to fit {limits}{times}: {how}."


def _kind(change: str) -> str:
    """Return what was done to a picture without its sizes."""
    return " and ".join(_SIZES.sub("", change).split(", "))


def _counted(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    counts = rows.groupby(["arm", column], sort=False).size().reset_index(name="photos")
    counts = counts.sort_values(["photos", column], ascending=[False, True], kind="stable")
    return in_arm_order(counts, rows)


def _shortened(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(photo=rows["photo_sha256"].str[:_HASH_SHOWN])
