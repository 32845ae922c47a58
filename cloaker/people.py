"""Whose faces are cloaked, and towards whom: from photos to tasks."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from audit.types import Cloak, Photo, Targets, content_hash
from cloaker.attack import Person
from cloaker.embeddings import EmbeddingCache
from cloaker.known_faces import KnownFaces
from cloaker.levels import row_of
from cloaker.networks.base import EmbeddingNetwork
from cloaker.recipe import Task
from cloaker.survey import Located, Read, Surveyor

Seen = tuple[Located, ...]
"""One face, as each network sees it."""


class People:
    """Sees photos through the networks of a cloak and sets each face its goal."""

    def __init__(
        self,
        cloak: Cloak,
        networks: Sequence[EmbeddingNetwork],
        faces: KnownFaces,
        read: Read,
        cache: EmbeddingCache,
    ) -> None:
        self._cloak = cloak
        self._which = str(cloak.parameters["faces"])
        every = self._which != "largest"
        self._surveyors = [
            Surveyor(network, faces, read, cache, every_face=every) for network in networks
        ]
        self.device = self._surveyors[0].device

    @property
    def settings(self) -> list[Mapping[str, object]]:
        """Return what, beside a photo's bytes, decides where its faces are and how they are seen."""
        return [surveyor.settings for surveyor in self._surveyors]

    def tasks(
        self,
        photos: Sequence[Photo],
        own: Sequence[Photo],
        candidates: Mapping[str, Sequence[Photo]],
    ) -> tuple[list[Task], dict[str, str]]:
        """Return the faces to cloak in some of a person's `own` photos, in order.

        And, by photo hash, why there is none in the others.
        """
        seen = self._seen(own)
        reference = _reference([faces for faces in seen.values() if not isinstance(faces, str)])
        chosen = {
            photo.sha256: faces
            if isinstance(faces, str)
            else _chosen(faces, self._which, reference)
            for photo, faces in zip(own, seen.values(), strict=True)
        }
        faces = [
            (photo, face)
            for photo in own
            if not isinstance(found := chosen[photo.sha256], str)
            for face in found
        ]
        wanted = {photo.sha256 for photo in photos}
        faceless = {sha: why for sha, why in chosen.items() if isinstance(why, str)}
        tasks = self._tasks(faces, candidates) if faces else []
        return (
            [task for task in tasks if task.photo.sha256 in wanted],
            {sha: why for sha, why in faceless.items() if sha in wanted},
        )

    def _tasks(
        self, faces: Sequence[tuple[Photo, Seen]], candidates: Mapping[str, Sequence[Photo]]
    ) -> list[Task]:
        system = row_of(self._cloak.system).load()
        seeds = [self._seed(photo, face) for photo, face in faces]
        person = Person(
            own=_stacked([face for _, face in faces]),
            candidates=self._embedded(candidates) if system.needs_candidates else {},
            together=self._cloak.targets is Targets.SAME,
            seed=self._cloak.seed,
            seeds=tuple(seeds),
        )
        goals = system.goals(person, self._cloak.parameters)
        return [
            Task(photo, face[0].landmarks, tuple(one.embedding for one in face), seed, goal)
            for (photo, face), seed, goal in zip(faces, seeds, goals, strict=True)
        ]

    def _seed(self, photo: Photo, face: Seen) -> int:
        """Return a face's seed, in which no other photo of the person has a part."""
        return int(content_hash([self._cloak.seed, photo.sha256, face[0].landmarks])[:12], 16)

    def _embedded(self, candidates: Mapping[str, Sequence[Photo]]) -> dict[str, tuple[Tensor, ...]]:
        """Return the embeddings of each candidate's largest faces, for each network."""
        embedded = {}
        for name, photos in candidates.items():
            seen = self._seen(photos).values()
            largest = [faces[0] for faces in seen if not isinstance(faces, str)]
            if largest:
                embedded[name] = _stacked(largest)
        return embedded

    def _seen(self, photos: Sequence[Photo]) -> dict[str, list[Seen] | str]:
        """Return each photo's faces, or why it has none."""
        surveys = [surveyor.survey(photos) for surveyor in self._surveyors]
        seen: dict[str, list[Seen] | str] = {}
        for photo in photos:
            views = [survey[photo.sha256] for survey in surveys]
            why = next((view for view in views if isinstance(view, str)), None)
            found = [view for view in views if not isinstance(view, str)]
            seen[photo.sha256] = why or list(zip(*found, strict=True))
        return seen


def _stacked(faces: Sequence[Seen]) -> tuple[Tensor, ...]:
    """Return the embeddings of some faces, n x D for each network."""
    return tuple(
        torch.stack([one.embedding for one in views]) for views in zip(*faces, strict=True)
    )


def _reference(photos: Sequence[Sequence[Seen]]) -> Tensor:
    """Return the person's mean embedding: of photos with one face, or else of the largest faces."""
    alone = [faces[0] for faces in photos if len(faces) == 1]
    faces = alone or [faces[0] for faces in photos]
    return _unit(_stacked(faces)[0]).mean(dim=0) if faces else torch.empty(0)


def _chosen(faces: Sequence[Seen], which: str, reference: Tensor) -> list[Seen]:
    if which == "all":
        return list(faces)
    if which == "largest":
        return [faces[0]]
    likeness = _unit(torch.stack([face[0].embedding for face in faces])) @ reference
    return [faces[int(likeness.argmax())]]


def _unit(embeddings: Tensor) -> Tensor:
    unit: Tensor = torch.nn.functional.normalize(embeddings, dim=-1)
    return unit
