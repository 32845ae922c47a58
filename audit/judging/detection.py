"""detection.csv: whether a tracker notices that photos are cloaked."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from audit.judging.judge import Gallery, Judge, Row, Scores, Shown
from evaluation import detection, rates

_CLASS_MIN = 4
"""Faces of a person that are split into two clusters, at least."""
_NOBODY = np.zeros(0)

Clean = Mapping[str, Scores]
"""By method: how cloaked people look who are not."""


def clean_people(judge: Judge) -> Clean:
    """Return the scores of everybody's clean photos by the methods that judge whole people."""
    people = judge.people
    own = {who: [*photos, *people.held_out[who]] for who, photos in people.train.items()}
    nearness = _nearness(judge, people.enrolled)
    return {
        "two means": _gaps(judge, [*own.values(), *people.decoys.values()]),
        "near the target": np.array(list(nearness.values())),
    }


def rows(judge: Judge, shown: Shown, clean: Clean) -> Iterator[Row]:
    """Yield, by method, how many are found at 1 % false alarms, and how far they stand out."""
    held_out = judge.people.held_out
    mixed = [[*photos, *held_out[who]] for who, photos in shown.photos.items()]
    methods = {
        "two means": (_gaps(judge, mixed), clean["two means"]),
        "near the target": (_alone_cloaked(judge, shown.photos), clean["near the target"]),
        "supervised": _supervised(judge, shown.photos),
    }
    for method, (cloaked, others) in methods.items():
        if not len(cloaked) or not len(others):
            continue
        area = judge.keep_curve(shown, method, cloaked, others)
        threshold = rates.threshold_at(others, detection.FALSE_ALARMS)
        found = rates.rate_at(cloaked, others, threshold)
        yield {
            **judge.told(shown),
            "method": method,
            "of": "photos" if method == "supervised" else "people",
            "detected": found.hits,
            "cloaked": found.positives,
            "detection_rate": found.hit_rate,
            "false_alarms": found.false_alarms,
            "clean": found.negatives,
            "deviations": float(np.mean(detection.deviations(cloaked, others))),
            "area": area,
        }


def _gaps(judge: Judge, classes: Sequence[Sequence[str]]) -> Scores:
    """Return the gap between the two clusters of each class that has enough faces."""
    faces = [judge.faces(photos) for photos in classes]
    enough = [some for some in faces if len(some) >= _CLASS_MIN]
    return np.array([detection.two_means_gap(some, judge.seed) for some in enough])


def _alone_cloaked(judge: Judge, photos: Gallery) -> Scores:
    """Return how near each protected person, alone cloaked, is to the nearest other person."""
    found = [
        _nearness(judge, {**judge.people.enrolled, person: some}).get(person)
        for person, some in photos.items()
    ]
    return np.array([value for value in found if value is not None])


def _nearness(judge: Judge, gallery: Gallery) -> dict[str, float]:
    faces = {who: judge.faces(photos) for who, photos in gallery.items()}
    shown = {who: some for who, some in faces.items() if len(some)}
    values = detection.closeness(list(shown.values())).tolist()
    return dict(zip(shown, values, strict=True))


def _supervised(judge: Judge, photos: Gallery) -> tuple[Scores, Scores]:
    """Return how cloaked the arm's photos look to a detector, and how clean held-out ones do."""
    protected = len(photos)
    parts = [
        judge.labelled(group) for group in (photos, judge.people.held_out, judge.people.decoys)
    ]
    faces = np.concatenate([found for found, _ in parts])
    owners = np.concatenate([parts[0][1], parts[1][1], parts[2][1] + protected])
    cloaked = np.arange(len(faces)) < len(parts[0][0])
    if len(np.unique(owners[cloaked])) <= 1:
        return _NOBODY, _NOBODY
    scores = detection.supervised(faces, cloaked, owners, judge.seed)
    return scores[cloaked], scores[~cloaked]
