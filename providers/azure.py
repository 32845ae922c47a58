"""Azure Face through Microsoft's SDK: one large person group is a gallery.

The SDK's own retries and redirects are off, so that every verb sends what it says and no more.
REST reference: learn.microsoft.com/rest/api/face, version v1.2.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

from audit.errors import UserError
from audit.types import Candidate
from providers.azure_errors import classify
from providers.base import (
    Capabilities,
    EnrolledFace,
    Failure,
    GalleryPage,
    PhotoRefusedError,
    Provider,
    RemotePerson,
    TrainingState,
)
from providers.capabilities import load
from providers.endpoints import host, is_on_this_machine

RECOGNITION_MODEL = "recognition_04"
DETECTION_MODEL = "detection_03"
_CONNECTIONS_MAX = 128  # kept open; more may be in flight
_TRAINING_STATES = {
    "succeeded": TrainingState.SUCCEEDED,
    "failed": TrainingState.FAILED,
    "notStarted": TrainingState.RUNNING,
    "running": TrainingState.RUNNING,
}


class AzureProvider(Provider):
    """An Azure Face resource: its endpoint and one of its keys."""

    def __init__(
        self,
        endpoint: str,
        key: str,
        *,
        api_version: str = "v1.2",
        face_id_ttl_s: int = 86400,
        connect_timeout_s: float = 10.0,
        read_timeout_s: float = 60.0,
    ) -> None:
        expected = "https://<resource>.cognitiveservices.azure.com"
        place = host(endpoint, "Azure Face", expected, "AZURE_FACE_ENDPOINT")
        if not key:
            raise UserError(
                "The Azure Face key is empty.",
                expected="one of the two keys of the Face resource",
                remedy="set AZURE_FACE_KEY",
            )
        self._key = key
        self._api_version = api_version
        self._face_id_ttl_s = face_id_ttl_s
        digest = hashlib.sha256(key.encode()).hexdigest()[:8]
        self._account = f"azure/{place}/{digest}"
        self._faces, self._groups, self._close = _connect(
            endpoint.rstrip("/"),
            key,
            api_version=api_version,
            retry_total=0,
            retry_connect=0,
            retry_read=0,
            retry_status=0,
            permit_redirects=False,
            transport=_transport(endpoint, connect_timeout_s, read_timeout_s),
        )

    def __repr__(self) -> str:
        return f"AzureProvider({self._account!r})"

    @classmethod
    def describe(cls, gallery: str | None = None) -> Capabilities:
        """Return Azure Face's limits, tiers and abilities; there is one kind of gallery."""
        return load("azure", gallery)

    @property
    def service_model(self) -> str:
        """API version, recognition and detection model."""
        return f"{self._api_version} {RECOGNITION_MODEL} {DETECTION_MODEL}"

    @property
    def account(self) -> str:
        """The endpoint's host and eight hexadecimal digits of the key's SHA-256."""
        return self._account

    def close(self) -> None:
        """Close the connections."""
        self._close()

    def create_gallery(self, gallery: str) -> None:
        """Create an empty large person group."""
        self._groups.create(gallery, name=gallery, recognition_model=RECOGNITION_MODEL)

    def add_person(self, gallery: str, tag: str) -> str:
        """Create a person named `tag`; return the personId."""
        return str(self._groups.create_person(gallery, name=tag).person_id)

    def enrol(self, gallery: str, person_id: str, photo: bytes, tag: str) -> EnrolledFace:
        """Add a photo's one face, with `tag` as its userData; return the persistedFaceId."""
        added = self._groups.add_face(
            gallery, person_id, photo, detection_model=DETECTION_MODEL, user_data=tag
        )
        return EnrolledFace(str(added.persisted_face_id))

    def train(self, gallery: str) -> None:
        """Start training: one POST, without the SDK's poller."""
        self._groups.begin_train(gallery, polling=False)

    def training_state(self, gallery: str) -> TrainingState:
        """Ask how far the training is."""
        return _TRAINING_STATES[str(self._groups.get_training_status(gallery)["status"])]

    def detect(self, photo: bytes) -> str:
        """Return the faceId of the largest face; raises PhotoRefusedError if there is none."""
        faces = self._faces.detect(
            photo,
            detection_model=DETECTION_MODEL,
            recognition_model=RECOGNITION_MODEL,
            return_face_id=True,
            face_id_time_to_live=self._face_id_ttl_s,
        )
        if not faces:
            raise PhotoRefusedError("NoFace", "No face detected in the image.", no_face=True)
        return str(faces[0].face_id)

    def identify(
        self, gallery: str, face_ids: Sequence[str], threshold: float, candidates: int
    ) -> Sequence[Sequence[Candidate]]:
        """Return the people offered for up to 10 face ids, in the order of the face ids."""
        results = self._faces.identify_from_large_person_group(
            face_ids=list(face_ids),
            large_person_group_id=gallery,
            max_num_of_candidates_returned=candidates,
            confidence_threshold=threshold,
        )
        offered = {result.face_id: result.candidates for result in results}
        return [
            [_candidate(found.person_id, found.confidence) for found in offered[face_id]]
            for face_id in face_ids
        ]

    def verify(self, gallery: str, face_id: str, person_id: str) -> Candidate:
        """Return the score of one face against one person; never censored."""
        result = self._faces.verify_from_large_person_group(
            face_id=face_id, large_person_group_id=gallery, person_id=person_id
        )
        return _candidate(person_id, result.confidence)

    def list_galleries(self) -> Sequence[str]:
        """Return the ids of all large person groups of this resource."""
        top = self.capabilities.list_page
        names: list[str] = []
        while True:
            after = {"start": names[-1]} if names else {}
            page = self._groups.get_large_person_groups(top=top, **after)
            names += [group["largePersonGroupId"] for group in page]
            if len(page) < top:
                return names

    def list_gallery(self, gallery: str, start: str = "") -> GalleryPage:
        """Return up to 1000 people of a large person group; a full page may be the last one."""
        top = self.capabilities.list_page
        after = {"start": start} if start else {}
        people = [
            RemotePerson(
                person["personId"], person["name"], tuple(person.get("persistedFaceIds") or ())
            )
            for person in self._groups.get_persons(gallery, top=top, **after)
        ]
        return GalleryPage(tuple(people), people[-1].id if len(people) == top else "")

    def list_faces(self, gallery: str, person_id: str) -> Sequence[str]:
        """Return the ids of a person's persisted faces."""
        return list(self._groups.get_person(gallery, person_id).get("persistedFaceIds") or [])

    def remove_person(self, gallery: str, person_id: str) -> None:
        """Delete a person and the persisted faces."""
        self._groups.delete_person(gallery, person_id)

    def delete_gallery(self, gallery: str) -> None:
        """Delete a large person group and everything in it."""
        self._groups.delete(gallery)

    def classify(self, error: Exception) -> Failure:
        """Say what an exception raised by a verb means; the key is never in its message."""
        return classify(error, secret=self._key)


def _connect(endpoint: str, key: str, **options: Any) -> tuple[Any, Any, Callable[[], None]]:
    """Return the SDK's client, its large-person-group operations, and how to close both."""
    from azure.ai.vision.face import FaceAdministrationClient, FaceClient
    from azure.core.credentials import AzureKeyCredential

    credential = AzureKeyCredential(key)
    faces = FaceClient(endpoint, credential, **options)
    administration = FaceAdministrationClient(endpoint, credential, **options)

    def close() -> None:
        faces.close()
        administration.close()

    return faces, administration.large_person_group, close


def _transport(endpoint: str, connect_timeout_s: float, read_timeout_s: float) -> Any:
    """Return the SDK's transport with more connections, opened before threads share it."""
    from azure.core.pipeline.transport import RequestsTransport
    from requests import Session
    from requests.adapters import HTTPAdapter
    from urllib3.util import Retry

    session = Session()
    # The environment's proxies and .netrc are not for this machine's own emulators.
    session.trust_env = not is_on_this_machine(endpoint)
    unrepeated = Retry(total=False, redirect=False, raise_on_status=False)
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(pool_maxsize=_CONNECTIONS_MAX, max_retries=unrepeated))
    return RequestsTransport(
        session=session, connection_timeout=connect_timeout_s, read_timeout=read_timeout_s
    )


def _candidate(person_id: str, confidence: float) -> Candidate:
    return Candidate(person_id, float(confidence), float(confidence))
