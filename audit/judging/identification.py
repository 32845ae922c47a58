"""transfer.csv: whether protected people are recognised, when one at a time is cloaked."""

from collections.abc import Iterator

import numpy as np

from audit.judging.judge import Embeddings, Gallery, Judge, Places, Row, Shown
from audit.types import Game
from evaluation import identification
from providers.emulators.matching import Faces
from providers.emulators.options import Matching

TOPS = (1, 3, 5, 10)


def rows(judge: Judge, shown: Shown) -> Iterator[Row]:
    """Yield how the protected people fare in both games, by nearest face and by centroid."""
    for game in Game:
        for matching in Matching:
            found, no_face = _places(judge, shown, game, matching)
            within = identification.within(found, TOPS)
            yield {
                **judge.told(shown),
                "game": str(game),
                "matching": str(matching),
                "people": len(shown.photos),
                "probes": len(found),
                "protected": len(found) - within[1],
                **{f"within_{top}": count for top, count in within.items()},
                "no_face": no_face,
            }


def _places(judge: Judge, shown: Shown, game: Game, matching: Matching) -> tuple[Places, int]:
    """Return the true person's place for every probe, and how many probes show no face.

    One person at a time is cloaked, everybody else is enrolled clean (FaceCure).
    """
    held_out, found, no_face = judge.people.held_out, [], 0
    for person, photos in shown.photos.items():
        if game is Game.POISON:
            own, asked, clean = photos, held_out[person], judge.people.train
        else:
            own, asked, clean = held_out[person], photos, held_out
        probes = judge.faces(asked)
        no_face += len(asked) - len(probes)
        gallery = {**judge.people.decoys, **clean, person: own}
        found.append(_ranks(judge, gallery, person, probes, matching))
    return np.concatenate(found), no_face


def _ranks(
    judge: Judge, gallery: Gallery, person: str, probes: Embeddings, matching: Matching
) -> Places:
    """Return the person's place for each probe; the last one if no face of hers is enrolled."""
    names, (enrolled, owners) = list(gallery), judge.labelled(gallery)
    faces = Faces([names[owner] for owner in owners.tolist()], enrolled)
    if person not in faces.names or not len(probes):
        return np.full(len(probes), len(faces.names) + 1)
    scores = np.stack([faces.cosines(probe, matching) for probe in probes])
    return identification.ranks(scores, np.full(len(probes), faces.names.index(person)))
