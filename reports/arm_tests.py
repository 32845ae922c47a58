"""Each cloaked arm tested against the control, probe by probe."""

from typing import Any

import pandas as pd

from audit.types import Outcome
from reports import paired
from reports.manifest import Manifest, ManifestArm
from reports.tables import FACE_FOUND, PROBE, of_arm


def arm_tests(observations: pd.DataFrame, pairs: pd.DataFrame, manifest: Manifest) -> pd.DataFrame:
    """Return per cloaked arm how scores and recognition differ from the control's.

    `pairs` is the frame of `tables.paired_scores`. `shift` is Hodges and Lehmann's, `score_p` of
    Wilcoxon's signed-rank test, `recognition_p` of McNemar's exact test over the probes in which
    the service found a face both times, both adjusted by Holm over this table. `detectable` is the
    smallest mean change of score that so many probes would show in 80 of 100 cases.
    """
    rows = [_row(observations, of_arm(pairs, arm), arm, manifest) for arm in manifest.cloaked_arms]
    table = pd.DataFrame(rows, columns=None if rows else ["arm", "score_p", "recognition_p"])
    tests = ["score_p", "recognition_p"]
    adjusted = paired.holm(table[tests].to_numpy(float).ravel()).reshape(-1, len(tests))
    return table.assign(**dict(zip(tests, adjusted.T, strict=True)))


def _row(
    observations: pd.DataFrame, pairs: pd.DataFrame, arm: ManifestArm, manifest: Manifest
) -> dict[str, Any]:
    changes = pairs["change"].dropna().to_numpy(float)
    shift = paired.hodges_lehmann(changes)
    control = manifest.control_of(arm)
    was, is_now = _recognised(observations, control), _recognised(observations, arm)
    both = pd.concat([was, is_now], axis=1, join="inner", keys=["was", "is_now"])
    lost, gained = (
        int((both["was"] & ~both["is_now"]).sum()),
        int((~both["was"] & both["is_now"]).sum()),
    )
    return {
        "arm": arm.name,
        "pairs": len(changes),
        "shift": shift.value,
        "ci_low": shift.low,
        "ci_high": shift.high,
        "score_p": paired.wilcoxon(changes),
        "detectable": paired.smallest_detectable(changes),
        "asked": len(both),
        "lost": lost,
        "gained": gained,
        "recognition_p": paired.mcnemar(lost, gained),
    }


def _recognised(observations: pd.DataFrame, arm: ManifestArm) -> "pd.Series[bool]":
    rows = of_arm(observations, arm)
    found = rows[rows["outcome"].isin([str(outcome) for outcome in FACE_FOUND])]
    return found.set_index(PROBE)["outcome"] == Outcome.MATCH
