"""A network that has seen every photo, the people of an evaluation, and an arm of it.

Photos are named by the SHA-256 of their bytes; a photo in which no face was found has no embedding.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audit.types import Split
from evaluation import rates

Row = dict[str, Any]
Embeddings = NDArray[np.float32]
Places = NDArray[np.intp]
Scores = NDArray[np.floating]
Gallery = Mapping[str, Sequence[str]]
"""By person: photos."""

_CURVE_POINTS = 200


@dataclass(frozen=True, slots=True)
class People:
    """Everybody's clean photos: the protected people's to cloak and held out, and the decoys'."""

    train: Gallery
    held_out: Gallery
    decoys: Gallery

    @classmethod
    def of(cls, split: Split) -> "People":
        """Return the people of a split."""
        groups = (split.train, split.probe, split.decoy)
        return cls(*({who: [p.sha256 for p in some] for who, some in g.items()} for g in groups))

    @property
    def enrolled(self) -> Gallery:
        """Return everybody as a gallery of game poison without cloaks."""
        return {**self.decoys, **self.train}


@dataclass(frozen=True, slots=True)
class Shown:
    """An arm: the protected people's training photos as the world sees them, cloaked or not.

    `told` are the columns that name it in every table, `originals` the clean photo of each.
    """

    photos: Gallery
    told: Mapping[str, Any]
    originals: Mapping[str, str]


@dataclass(frozen=True)
class Judge:
    """A network that has seen every photo: unit embeddings (D) by photo.

    `curves` gathers the rows of roc.csv.
    """

    network: str
    seen: Mapping[str, Embeddings]
    people: People
    seed: int
    curves: list[Row] = field(default_factory=list)

    def faces(self, photos: Sequence[str]) -> Embeddings:
        """Return the embeddings of those photos in which a face was found, n x D."""
        found = [self.seen[photo] for photo in photos if photo in self.seen]
        return np.stack(found) if found else np.zeros((0, self._dimension), np.float32)

    def labelled(self, photos: Gallery) -> tuple[Embeddings, Places]:
        """Return the faces of people, and for each the place of its person."""
        found = [self.faces(some) for some in photos.values()]
        return np.concatenate(found), np.repeat(np.arange(len(found)), list(map(len, found)))

    def told(self, shown: Shown) -> Row:
        """Return the columns that name an arm as this network judges it."""
        return {**shown.told, "judged_by": self.network}

    def keep_curve(self, shown: Shown, what: str, positives: Scores, negatives: Scores) -> float:
        """Keep a curve for roc.csv, thinned to points spread over its length; return its area."""
        curve = rates.roc(positives, negatives)
        count = len(curve.thresholds)
        kept = np.unique(np.linspace(0, count - 1, min(count, _CURVE_POINTS)).astype(int))
        points = np.stack([curve.false_rates, curve.hit_rates, curve.thresholds])[:, kept].T
        self.curves.extend(
            {
                **self.told(shown),
                "what": what,
                "false_rate": false_rate,
                "hit_rate": hit_rate,
                "threshold": threshold,
            }
            for false_rate, hit_rate, threshold in points.tolist()
        )
        return curve.area

    @cached_property
    def clean(self) -> tuple[Embeddings, Places]:
        """Return the faces of all clean photos, and for each the place of its person."""
        held_out = self.people.held_out
        own = {who: [*photos, *held_out[who]] for who, photos in self.people.train.items()}
        return self.labelled({**self.people.decoys, **own})

    @cached_property
    def _dimension(self) -> int:
        return len(next(iter(self.seen.values())))
