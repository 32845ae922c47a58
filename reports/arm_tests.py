"""Each cloaked arm tested against the control: by people, or by the probes of the only one."""

from typing import Any

import numpy as np
import pandas as pd

from audit.types import Outcome
from reports import paired
from reports.manifest import Manifest, ManifestArm
from reports.tables import FACE_FOUND, PROBE, of_arm
from reports.units import by_person, units

TESTS = ("score_p", "recognition_p")


def arm_tests(observations: pd.DataFrame, pairs: pd.DataFrame, manifest: Manifest) -> pd.DataFrame:
    """Return per cloaked arm how scores and recognition differ from the control's.

    `pairs` is the frame of `tables.paired_scores`. `shift` is Hodges and Lehmann's, of the people's
    mean changes where there are several; `score_p` and `recognition_p` are of `paired.score_test`
    and `paired.recognition_test`, the latter over the probes in which the service found a face both
    times, all adjusted by Holm over this table. `over` tells what the tests go by, `units` how many
    of them have changes of score. `detectable` is the smallest mean change of score that so many
    would show in about 80 of 100 cases.
    """
    rows = [_row(observations, of_arm(pairs, arm), arm, manifest) for arm in manifest.cloaked_arms]
    table = pd.DataFrame(rows, columns=None if rows else ["arm", "changes", *TESTS])
    tests = int(table[[*TESTS]].notna().sum().sum())
    adjusted = paired.holm(table[[*TESTS]].to_numpy(float).ravel()).reshape(-1, len(TESTS))
    detectable = [paired.smallest_detectable(changes, tests) for changes in table["changes"]]
    table = table.assign(**dict(zip(TESTS, adjusted.T, strict=True)), detectable=detectable)
    return table.drop(columns="changes")


def _row(
    observations: pd.DataFrame, pairs: pd.DataFrame, arm: ManifestArm, manifest: Manifest
) -> dict[str, Any]:
    changes = units(pairs["change"].to_numpy(float), pairs["true_person"])
    shift = paired.hodges_lehmann(changes.means)
    control, cloaked = (_recognised(observations, of) for of in (manifest.control_of(arm), arm))
    both = control.merge(cloaked, on=PROBE, suffixes=("_control", ""))
    was, is_now = (both[name].to_numpy(float) for name in ("recognised_control", "recognised"))
    lost, gained = (by_person(flags, both["true_person"]) for flags in (was > is_now, was < is_now))
    return {
        "arm": arm.name,
        "over": "people" if changes.are_people else "probes",
        "units": len(changes.sums),
        "pairs": int(changes.counts.sum()),
        "shift": shift.value,
        "ci_low": shift.low,
        "ci_high": shift.high,
        "score_p": paired.score_test(changes),
        "changes": changes,
        "asked": int((~np.isnan(was + is_now)).sum()),
        "lost": int(lost.sum()),
        "gained": int(gained.sum()),
        "recognition_p": paired.recognition_test(lost, gained),
    }


def _recognised(observations: pd.DataFrame, arm: ManifestArm) -> pd.DataFrame:
    """Return the arm's probes with `recognised`: 1 or 0, NaN where no face was found."""
    rows = of_arm(observations, arm)
    found = rows["outcome"].isin([str(outcome) for outcome in FACE_FOUND])
    recognised = rows["outcome"].eq(Outcome.MATCH).astype(float).where(found)
    return rows[PROBE].assign(recognised=recognised)
