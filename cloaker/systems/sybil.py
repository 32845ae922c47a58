"""Sybil photos (Shan et al. 2020, section 7): another identity's, made to look like the user's.

For a user of whom some clean photos have leaked. The photos to change are those of an account that
the user also has; each is cloaked as in the paper's section 4, towards one photo of the user. The
candidates are the user's photos whose cloaked versions are shared, but clean: the tracker's model
then finds a second name where the user's clean photos are. Several networks count together, by the
sum of their distances (the joint optimisation of section 7.3).

The paper has one Sybil photo for each of the user's photos, or two. Here the user's photos, in a
drawn order, are dealt out to as many as there are, so that each gets its share of them.
"""

import random

from cloaker import targets
from cloaker.attack import Goal, Person
from cloaker.levels import Parameters
from cloaker.systems.fawkes_paper import FawkesPaper


class Sybil(FawkesPaper):
    """Towards one goal a face, G = 1: each network's raw embedding of a photo of the user."""

    @classmethod
    def goals(cls, person: Person, parameters: Parameters) -> list[Goal]:
        """Return a photo of the user for each face; of several users one is drawn."""
        del parameters
        user = targets.drawn(person.candidates, person.seed)
        photos = person.candidates[user]
        count = len(photos[0])
        order = random.Random(person.seed).sample(range(count), count)
        return [
            Goal(user, tuple(faces[order[i % count], None] for faces in photos))
            for i in range(len(person.seeds))
        ]
