"""Every adapter against its emulator: adding a provider is adding a row."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import requests

from audit.types import Candidate
from providers import registry
from providers.base import Capabilities, Failure, Provider, RemotePerson, TrainingState


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of gallery of one provider.

    `keys` are the arguments that nobody may be told, the first of them the one that an emulator
    knows its accounts by; a row without any has no emulator. `sizes_pages`: the adapter says how
    much it wants at once.
    """

    name: str
    keys: tuple[str, ...] = ()
    gallery: str | None = None
    sizes_pages: bool = False

    @property
    def capabilities(self) -> Capabilities:
        return registry.capabilities(self.name, self.gallery)

    def offers(self, need: str) -> bool:
        """Tell whether it has an emulator, lists people rather than faces, or has a verb."""
        if need == "pages of people":
            return self.capabilities.lists_people
        return bool(self.keys) if need == "emulator" else self.capabilities.has(need)


_AWS = ("access_key_id", "secret_access_key")
ROWS = [
    Row("azure", ("key",), sizes_pages=True),
    Row("facepp", ("api_key", "api_secret")),
    Row("rekognition", _AWS, "faces", sizes_pages=True),
    Row("rekognition", _AWS, "users", sizes_pages=True),
    Row("local"),
]


@dataclass(slots=True)
class Enrolled:
    """A person in a gallery: the service's id of the person and of each face."""

    id: str
    faces: list[str]


class Account:
    """An account at a service, real but for who recognises: what a run does, in few words."""

    key = "pl4nted-k3y"

    def __init__(self, row: Row, provider: Provider, url: str, photo: Callable[..., bytes]) -> None:
        self.row = row
        self.provider = provider
        self.capabilities = provider.capabilities
        self.url = url
        self.photo = photo

    def has(self, verb: str) -> bool:
        return self.capabilities.has(verb)

    def person(self, gallery: str, tag: str) -> str:
        return self.provider.add_person(gallery, tag) if self.has("add_person") else tag

    def send(self, gallery: str, person_id: str, photo: bytes) -> str:
        """Take the first step of enrolling a photo; return the id of its face."""
        tag = hashlib.sha256(photo).hexdigest()
        return self.provider.enrol(gallery, person_id, photo, tag).id

    def enrol(self, gallery: str, person_id: str, photos: Iterable[bytes]) -> Enrolled:
        """Enrol photos, down to the last step that the service needs."""
        faces = [self.send(gallery, person_id, photo) for photo in photos]
        size = self.capabilities.attach_batch
        owner = person_id if self.capabilities.attaches_by_person else ""
        for start in range(0, len(faces) if self.has("attach") else 0, size):
            assert self.provider.attach(gallery, owner, faces[start : start + size]) == {}
        for face in faces if self.has("label") else []:
            self.provider.label(gallery, face, person_id)
        return Enrolled(person_id, faces)

    def train(self, gallery: str) -> None:
        if self.has("train"):
            self.provider.train(gallery)
            assert self.provider.training_state(gallery) is TrainingState.SUCCEEDED

    def fill(self, gallery: str = "g", people: int = 3) -> list[Enrolled]:
        """Create a gallery of people with two photos each."""
        self.provider.create_gallery(gallery)
        filled = [
            self.enrol(
                gallery,
                self.person(gallery, f"person-{person}"),
                (self.photo(person, variant) for variant in (0, 3)),
            )
            for person in range(people)
        ]
        self.train(gallery)
        return filled

    def remove(self, gallery: str, person: Enrolled) -> None:
        """Remove a person with the faces, which are free only when the person is gone."""
        if self.has("remove_person"):
            self.provider.remove_person(gallery, person.id)
        if self.has("remove_faces"):
            self.provider.remove_faces(gallery, person.faces)

    def pages(self, gallery: str = "g") -> Iterator[Sequence[RemotePerson]]:
        """Yield what a gallery holds, one page after the other."""
        page = self.provider.list_gallery(gallery)
        yield page.people
        while page.next:
            page = self.provider.list_gallery(gallery, page.next)
            yield page.people

    def held(self, gallery: str = "g") -> list[str]:
        """Return the ids of all faces in a gallery."""
        return [face for page in self.pages(gallery) for person in page for face in person.face_ids]

    def ask(
        self, photo: bytes, threshold: float = 0.0, candidates: int = 5, gallery: str = "g"
    ) -> list[Candidate]:
        """Return the people offered for a photo."""
        if self.has("identify_photo"):
            return list(self.provider.identify_photo(gallery, photo, threshold, candidates))
        face = self.provider.detect(photo)
        [offered] = self.provider.identify(gallery, [face], threshold, candidates)
        return list(offered)

    def failure(self, call: Callable[[], Any]) -> Failure:
        """Return what the failure of a call means; no key may be in anything that it says."""
        with pytest.raises(Exception) as caught:
            call()
        failure = self.provider.classify(caught.value)
        said = [caught.value, failure, self.provider, self.provider.account]
        assert not [one for one in said if self.key in f"{one!s} {one!r}"]
        return failure

    def disturb(self, operation: str, kind: str, **more: Any) -> None:
        """Put one fault in force."""
        self.control("faults", {"rules": [{"operation": operation, "kind": kind, **more}]})

    def control(self, what: str, document: Any = None) -> None:
        answer = requests.post(f"{self.url}/__emulator__/{what}", json=document, timeout=10)
        assert answer.status_code == 200, answer.text

    def sent(self, verb: str) -> int:
        """Return how often a verb's operation was on the wire."""
        operation = self.capabilities.operations[verb]
        return [entry["operation"] for entry in self.log()].count(operation)

    def log(self) -> list[dict[str, Any]]:
        """Return all requests that were on the wire; on this machine there is none."""
        if not self.url:
            return []
        answer = requests.get(f"{self.url}/__emulator__/log", timeout=10)
        assert self.key not in answer.text
        entries: list[dict[str, Any]] = answer.json()
        return entries


Connect = Callable[..., Account]
