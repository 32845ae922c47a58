"""The tables of a report as plain frames: one row per thing counted, missing = not applicable."""

from collections import defaultdict
from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd

from audit.types import Outcome, Targets
from reports.manifest import Manifest, ManifestArm
from reports.statistics import Interval, median_interval, share_interval, wilson

FACE_FOUND = (Outcome.MATCH, Outcome.OTHER_PERSON, Outcome.NO_MATCH)
UNANSWERED = (Outcome.NO_FACE, Outcome.REFUSED, Outcome.ERROR)
CLOAK_KEYS = ("system", "level", "folder", "targets")
PROBE = ["probe_sha256", "true_person"]


def summarise(observations: pd.DataFrame, arms: Sequence[ManifestArm]) -> pd.DataFrame:
    """Return the contract's summary.csv: one row per arm, in order.

    The protection success rate is over the probes in which the service found a face, its 95 %
    interval Wilson's, or where several people are protected by people; all else is counted beside.
    """
    named = pd.Index([arm.name for arm in arms], name="arm")
    return _summaries(observations, arms, named)


def of_arm(observations: pd.DataFrame, arm: ManifestArm) -> pd.DataFrame:
    """Return one arm's rows."""
    return observations[observations["arm"] == arm.name]


def _summaries(
    observations: pd.DataFrame, arms: Sequence[ManifestArm], index: pd.Index
) -> pd.DataFrame:
    """Return one row per entry of `index`, whose levels are columns: the arm, or more."""
    outcomes = [str(outcome) for outcome in Outcome]
    flags = {outcome: observations["outcome"] == outcome for outcome in outcomes}
    groups = observations.assign(**flags).groupby(list(index.names), sort=False)
    count = groups[[*outcomes, "censored"]].sum().reindex(index, fill_value=0)
    faces = count[list(FACE_FOUND)].sum(axis=1)
    protected = faces - count[Outcome.MATCH]
    intervals = _intervals(observations, index)
    scores = groups["true_score"].agg(["mean", "median", "min", "max"]).reindex(index)
    arm_of = {arm.name: arm for arm in arms}
    told = [arm_of[name] for name in index.get_level_values("arm")]
    table = pd.DataFrame(
        {
            "system": [arm.system for arm in told],
            "level": [arm.level for arm in told],
            "targets": [arm.targets or None for arm in told],
            "cloaked_fraction": [arm.cloaked_fraction for arm in told],
            "probes": count[outcomes].sum(axis=1),
            "identified": count[Outcome.MATCH],
            "protection_success_rate": protected / faces,
            "ci_low": [interval.low if interval else None for interval in intervals],
            "ci_high": [interval.high if interval else None for interval in intervals],
            **{f"{name}_score": scores[name] for name in scores},
            "censored": count["censored"],
            "no_face": count[Outcome.NO_FACE],
            "refused": count[Outcome.REFUSED],
            "errors": count[Outcome.ERROR],
            "enrolled": [arm.enrolled for arm in told],
            "enrol_rejected": [arm.enrol_rejected for arm in told],
        },
        index=index,
    )
    return table.reset_index()


def _intervals(observations: pd.DataFrame, index: pd.Index) -> list[Interval | None]:
    """Return the interval of the protection success rate for each entry of `index`."""
    outcomes = observations["outcome"]
    asked = outcomes.isin([str(outcome) for outcome in FACE_FOUND])
    flags = observations.assign(asked=asked, missed=asked & (outcomes != Outcome.MATCH))
    people = [*dict.fromkeys([*index.names, "true_person"])]
    counts = flags.groupby(people, sort=False)[["missed", "asked"]].sum().reset_index()
    rows = defaultdict[tuple[str, ...], list[tuple[float, float]]](list)
    keys = zip(*(counts[name] for name in index.names), strict=True)
    for key, missed, faces in zip(keys, counts["missed"], counts["asked"], strict=True):
        rows[key].append((missed, faces))
    found = {key: share_interval(*np.array(cells, float).T) for key, cells in rows.items()}
    return [found.get(key if isinstance(key, tuple) else (key,)) for key in index]


def faces_found(summary: pd.DataFrame) -> pd.Series:
    """Return per arm the probes in which the service found a face."""
    return summary["probes"] - summary[["no_face", "refused", "errors"]].sum(axis=1)


def by_level(summary: pd.DataFrame, manifest: Manifest) -> pd.DataFrame:
    """Return what the study at the University of Amsterdam tabulates, level by level.

    Per arm: how many of the probes with a face were identified, the average and the lowest score
    of the true person; the control stands beside each level (tables 1 to 5 of that study).
    """
    measures = summary.assign(faces=faces_found(summary)).set_index("arm")
    rows = [
        {
            "level": group.title,
            "arm": arm.name,
            "label": label,
            "identified": measures["identified"][arm.name],
            "probes_with_face": measures["faces"][arm.name],
            "average_score": measures["mean_score"][arm.name],
            "lowest_score": measures["min_score"][arm.name],
            "hidden_scores": measures["censored"][arm.name],
        }
        for group in manifest.groups
        for arm, label in zip(group.arms, group.labels, strict=True)
    ]
    return pd.DataFrame(rows)


def paired_scores(observations: pd.DataFrame, manifest: Manifest) -> pd.DataFrame:
    """Return one row per probe and arm: the true person's score less that of the arm's control.

    `change` is missing unless the service showed both scores.
    """
    scores = observations[["arm", *PROBE, "true_score"]]
    controls = {arm.name: manifest.control_of(arm).name for arm in manifest.cloaked_arms}
    others = scores[scores["arm"].isin(list(controls))]
    others = others.assign(control=others["arm"].map(controls))
    control = scores.rename(columns={"arm": "control"})
    pairs = others.merge(control, on=["control", *PROBE], suffixes=("", "_control"))
    pairs = pairs.drop(columns="control")
    return pairs.assign(change=pairs["true_score"] - pairs["true_score_control"])


def changes(pairs: pd.DataFrame, manifest: Manifest) -> pd.DataFrame:
    """Return per cloaked arm the median paired change with its interval (`median_interval`)."""
    pairs = pairs[["arm", "true_person", "change"]]
    rows = []
    for arm in manifest.cloaked_arms:
        rows_of_arm = of_arm(pairs, arm)
        change = rows_of_arm["change"]
        shown = change.dropna()
        interval = median_interval(change, rows_of_arm["true_person"])
        rows.append(
            {
                "arm": arm.name,
                "pairs": len(shown),
                "pairs_without_both_scores": len(change) - len(shown),
                "median_change": shown.median(),
                "ci_low": interval.low if interval else None,
                "ci_high": interval.high if interval else None,
            }
        )
    return pd.DataFrame(rows, columns=None if rows else ["arm", "pairs"])


def by_person(
    observations: pd.DataFrame, manifest: Manifest, enrolment: pd.DataFrame
) -> pd.DataFrame:
    """Return one summary row per arm and protected person; `enrolled` is of her own photos.

    In runs of before enrolment was written down that is missing, as is `enrol_rejected`.
    """
    people = sorted(observations["true_person"].unique())
    arms = [arm.name for arm in manifest.arms]
    pairs = pd.MultiIndex.from_product([arms, people], names=["arm", "true_person"])
    table = _summaries(observations, manifest.arms, pairs).rename(columns={"true_person": "person"})
    answered = enrolment[enrolment["outcome"] != "open"]
    is_in = answered["outcome"].eq("enrolled")
    for name, flags in (("enrolled", is_in), ("enrol_rejected", ~is_in)):
        counts = flags.groupby([answered["arm"], answered["person"]]).sum()
        table[name] = counts.reindex(pairs).to_numpy(float, na_value=np.nan)
    return table[["person", *table.columns.drop("person")]]


def with_cloak_keys(cloaks: pd.DataFrame) -> pd.DataFrame:
    """Add what tells one cloak's rows from another's: the folder, and who is the target."""
    folder = [file.rpartition("/")[0] or "." for file in cloaks["file"]]
    rows = cloaks.assign(folder=folder)
    cloak = rows.groupby(["system", "level", "folder"])
    separate = cloak["target"].transform("nunique") > cloak["person"].transform("nunique")
    targets = separate.map({True: Targets.SEPARATE.value, False: Targets.SAME.value})
    return rows.assign(targets=targets.where(rows["target"] != "", ""))


def cloak_titles(keys: Sequence[Sequence[str]]) -> list[str]:
    """Name cloaks, given as rows of CLOAK_KEYS, in plain words; those alike by their folder too."""
    words = {Targets.SAME.value: ", same target", Targets.SEPARATE.value: ", separate targets"}
    titles = [
        f"Level {level}, {system}{words.get(targets, '')}" for system, level, _, targets in keys
    ]
    return [
        title if titles.count(title) == 1 else f"{title} ({folder})"
        for title, (_, _, folder, _) in zip(titles, keys, strict=True)
    ]


def cloaking(cloaks: pd.DataFrame) -> pd.DataFrame:
    """Return one row per cloak. `over_budget` counts photos whose DSSIM exceeds their budget."""
    rows = with_cloak_keys(cloaks)
    rows = rows.assign(over_budget=rows["dssim"] > rows["budget"])
    table = rows.groupby(list(CLOAK_KEYS), sort=False).agg(
        photos=("source_sha256", "size"),
        budget=("budget", "max"),
        dssim_mean=("dssim", "mean"),
        dssim_max=("dssim", "max"),
        over_budget=("over_budget", "sum"),
        l2_mean=("l2", "mean"),
        linf_max=("linf", "max"),
        embedding_shift_mean=("embedding_shift", "mean"),
        steps_mean=("steps", "mean"),
        seconds_mean=("seconds", "mean"),
        seconds_total=("seconds", "sum"),
    )
    return table.reset_index()


def rejected(photos: pd.DataFrame) -> pd.DataFrame:
    """Return every rejected file with its reason, ordered by reason and place."""
    chosen = photos[photos["rejected"].astype(bool)]
    columns = ["reason", "path", "person", "detail"]
    return chosen[columns].sort_values(columns[:3], kind="stable").reset_index(drop=True)


def rejected_by_reason(photos: pd.DataFrame) -> pd.DataFrame:
    """Return how many files each reason rejected, most first."""
    counts = rejected(photos).groupby("reason").size().reset_index(name="files")
    return counts.sort_values(["files", "reason"], ascending=[False, True]).reset_index(drop=True)


def rejected_by_person(photos: pd.DataFrame, protected: Collection[str]) -> pd.DataFrame:
    """Return whose files were rejected, protected people first, then those who lost most.

    `rejected` of a person's `files`, as a `share` with Wilson's interval, and for what `reasons`.
    """
    lost = photos[photos["rejected"].astype(bool)]
    found = photos.groupby("person").size()
    rows = [
        (person, person in protected, found[person], len(files), len(files) / found[person],
         *(wilson(len(files), int(found[person])) or (np.nan, np.nan)), _counted(files["reason"]))
        for person, files in lost.groupby("person")
    ]  # fmt: skip
    columns = ["person", "protected", "files", "rejected", "share", "ci_low", "ci_high", "reasons"]
    table = pd.DataFrame(rows, columns=columns)
    order = ["protected", "rejected", "person"]
    return table.sort_values(order, ascending=[False, False, True]).reset_index(drop=True)


def _counted(reasons: "pd.Series[str]") -> str:
    counts = reasons.value_counts().sort_index().sort_values(ascending=False, kind="stable")
    return ", ".join(f"{str(reason).replace('_', ' ')} {count}" for reason, count in counts.items())


def unanswered(observations: pd.DataFrame, photos: pd.DataFrame) -> pd.DataFrame:
    """Return every probe that got no answer about a person, with the file it came from."""
    rows = observations[observations["outcome"].isin([str(outcome) for outcome in UNANSWERED])]
    files = photos.drop_duplicates("sha256").set_index("sha256")["path"]
    rows = rows.assign(path=rows["probe_sha256"].map(files))
    columns = ["arm", "outcome", "path", "probe_sha256", "attempts"]
    return in_arm_order(rows[columns].sort_values(columns[1:4], kind="stable"), observations)


def score_sources(observations: pd.DataFrame, manifest: Manifest) -> pd.DataFrame:
    """Return per arm how many true scores came from which question, and how many are hidden."""
    observations = observations[["arm", "true_score_source", "censored"]]
    rows = [
        {
            "arm": arm.name,
            "identify": int((chosen["true_score_source"] == "identify").sum()),
            "verify": int((chosen["true_score_source"] == "verify").sum()),
            "hidden": int(chosen["censored"].sum()),
        }
        for arm in manifest.arms
        for chosen in [of_arm(observations, arm)]
    ]
    return pd.DataFrame(rows)


def in_arm_order(table: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Bring a table into the order in which the arms come in `rows`, else as it is."""
    order = {arm: place for place, arm in enumerate(rows["arm"].unique())}
    places = table["arm"].map(order).astype(int).to_numpy()
    return table.iloc[places.argsort(kind="stable")].reset_index(drop=True)
