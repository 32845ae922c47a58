"""Amazon Rekognition through boto3: one collection is a gallery.

Of the two kinds of gallery, `faces` compares a probe with every enrolled face, and `users` with
one vector for each person. The SDK's own retries are off, so that every verb sends what it says
and no more. API reference: docs.aws.amazon.com/rekognition, version 2016-06-27.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from operator import itemgetter
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from audit.errors import UserError
from audit.types import Candidate
from providers.base import (
    EXPIRED,
    Capabilities,
    EnrolledFace,
    Failure,
    FailureKind,
    GalleryPage,
    PhotoRefusedError,
    Provider,
    RemotePerson,
)
from providers.capabilities import load
from providers.rekognition_client import REMEDY, connect, credentials, session
from providers.rekognition_errors import classify

if TYPE_CHECKING:
    from botocore.credentials import ReadOnlyCredentials
    from mypy_boto3_rekognition.literals import QualityFilterType
    from mypy_boto3_rekognition.type_defs import (
        UnindexedFaceTypeDef,
        UnsuccessfulFaceAssociationTypeDef,
    )

_QUALITY_FILTERS = ("NONE", "AUTO", "LOW", "MEDIUM", "HIGH")
_FACES_MAX = 4096


class FacesInUseError(Exception):
    """Faces that were not deleted because they still belong to a user."""

    @property
    def failure(self) -> Failure:
        """Return what it means: they come free when their user has been deleted."""
        return Failure(FailureKind.BUSY, "ASSOCIATED_TO_AN_EXISTING_USER", str(self))


class RekognitionProvider(Provider):
    """Rekognition in one region, of the AWS account that the credentials belong to.

    What is None is looked for where boto3 always does, but for `gallery`: None = `faces`.
    """

    def __init__(  # noqa: PLR0913 - one argument for each setting
        self,
        *,
        endpoint: str | None = None,
        region: str | None = None,
        profile: str | None = None,
        access_key_id: str | None = None,
        secret_access_key: str | None = None,
        session_token: str | None = None,
        gallery: str | None = None,
        quality_filter: "QualityFilterType" = "NONE",
        connect_timeout_s: float = 10.0,
        read_timeout_s: float = 60.0,
    ) -> None:
        _check_choice("kind of gallery", gallery, (None, *self.describe().galleries))
        _check_choice("quality filter", quality_filter, _QUALITY_FILTERS)
        opened = session(
            region_name=region,
            profile_name=profile,
            aws_access_key_id=access_key_id,
            aws_secret_access_key=secret_access_key,
            aws_session_token=session_token,
        )
        self._gallery = gallery
        self._quality_filter: QualityFilterType = quality_filter
        self._secrets = [key for key in (access_key_id, secret_access_key, session_token) if key]
        self._credentials = credentials(opened)
        self._client = connect(opened, endpoint, connect_timeout_s, read_timeout_s)
        self._place = urlsplit(endpoint).netloc if endpoint else self._client.meta.region_name
        self._face_model = ""

    def __repr__(self) -> str:
        return f"RekognitionProvider({self._place!r}, gallery={self._gallery!r})"

    @classmethod
    def describe(cls, gallery: str | None = None) -> Capabilities:
        """Return Rekognition's limits, tiers and abilities for `faces` (None) or `users`."""
        return load("rekognition", gallery)

    @property
    def capabilities(self) -> Capabilities:
        """The capabilities of this account's kind of gallery."""
        return self.describe(self._gallery)

    @property
    def service_model(self) -> str:
        """The face model's version; empty until an answer has told it."""
        return f"FaceModelVersion {self._face_model}" if self._face_model else ""

    @property
    def account(self) -> str:
        """The region, or the endpoint's host, and 8 hex digits of the access key id's SHA-256.

        Raises UserError for credentials that boto3 found and can't fetch.
        """
        digest = hashlib.sha256(str(self._identity.access_key).encode()).hexdigest()[:8]
        return f"rekognition/{self._place}/{digest}"

    @cached_property
    def _identity(self) -> "ReadOnlyCredentials":
        """The credentials, fetched when they are first needed: a role's may take a call."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return self._credentials.get_frozen_credentials()
        except (BotoCoreError, ClientError) as error:
            raise UserError(f"AWS gives no credentials: {error}.", remedy=REMEDY) from error

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def create_gallery(self, gallery: str) -> None:
        """Create an empty collection."""
        self._learn(self._client.create_collection(CollectionId=gallery)["FaceModelVersion"])

    def add_person(self, gallery: str, tag: str) -> str:
        """Create a user whose id is `tag`; return the id."""
        self._client.create_user(
            CollectionId=gallery, UserId=tag, ClientRequestToken=_token("CreateUser", gallery, tag)
        )
        return tag

    def enrol(
        self,
        gallery: str,
        person_id: str,
        photo: bytes,
        tag: str,  # a face has one name here, and that is its person's
    ) -> EnrolledFace:
        """Index a photo's largest face under its person; return the FaceId."""
        answer = self._client.index_faces(
            CollectionId=gallery,
            Image={"Bytes": photo},
            ExternalImageId=person_id,
            MaxFaces=1,
            QualityFilter=self._quality_filter,
        )
        self._learn(answer["FaceModelVersion"])
        unindexed = answer.get("UnindexedFaces") or []
        if not answer["FaceRecords"]:
            raise _refusal(unindexed)
        return EnrolledFace(str(answer["FaceRecords"][0]["Face"]["FaceId"]), _note(unindexed))

    def attach(self, gallery: str, person_id: str, face_ids: Sequence[str]) -> Mapping[str, str]:
        """Associate up to 100 faces with a user, however unlike each other they are."""
        answer = self._client.associate_faces(
            CollectionId=gallery,
            UserId=person_id,
            FaceIds=list(face_ids),
            UserMatchThreshold=0,
            ClientRequestToken=_token("AssociateFaces", gallery, person_id, *face_ids),
        )
        return {
            face["FaceId"]: _association_refusal(face)
            for face in answer.get("UnsuccessfulFaceAssociations") or []
            if not _is_associated(face, person_id)
        }

    def identify_photo(
        self, gallery: str, photo: bytes, threshold: float, candidates: int
    ) -> Sequence[Candidate]:
        """Return the people offered for a photo's largest face, best first.

        In a gallery of faces, a person's score is that of the most similar face.
        """
        search = self._search_users if self._gallery == "users" else self._search_faces
        matches = search(gallery, photo, 100 * threshold, candidates)
        best: dict[str, Candidate] = {}
        for person, similarity in sorted(matches, key=itemgetter(1), reverse=True):
            best.setdefault(person, Candidate(person, similarity / 100, similarity))
        return list(best.values())[:candidates]

    def _search_faces(
        self, gallery: str, photo: bytes, threshold: float, _: int
    ) -> Iterator[tuple[str, float]]:
        answer = self._client.search_faces_by_image(
            CollectionId=gallery,
            Image={"Bytes": photo},
            FaceMatchThreshold=threshold,
            MaxFaces=_FACES_MAX,
            QualityFilter="NONE",
        )
        self._learn(answer["FaceModelVersion"])
        for match in answer["FaceMatches"]:
            if person := match["Face"].get("ExternalImageId"):
                yield person, match["Similarity"]

    def _search_users(
        self, gallery: str, photo: bytes, threshold: float, candidates: int
    ) -> Iterator[tuple[str, float]]:
        answer = self._client.search_users_by_image(
            CollectionId=gallery,
            Image={"Bytes": photo},
            UserMatchThreshold=threshold,
            MaxUsers=min(candidates, self.capabilities.candidates_max),
            QualityFilter="NONE",
        )
        self._learn(answer["FaceModelVersion"])
        if not answer.get("SearchedFace"):
            raise PhotoRefusedError("NoFace", "No face was found in the photo.", no_face=True)
        for match in answer.get("UserMatches") or []:
            yield match["User"]["UserId"], match["Similarity"]

    def list_galleries(self) -> Sequence[str]:
        """Return the ids of all collections of this account in this region."""
        pages = self._client.get_paginator("list_collections").paginate(
            PaginationConfig={"PageSize": self.capabilities.list_page}
        )
        return [gallery for page in pages for gallery in page["CollectionIds"]]

    def list_gallery(self, gallery: str, start: str = "") -> GalleryPage:
        """Return up to 4096 faces of a collection by the users, or else the names, they belong to.

        The faces of nobody are under "".
        """
        key: Literal["UserId", "ExternalImageId"]
        key = "UserId" if self._gallery == "users" else "ExternalImageId"
        after = {"NextToken": start} if start else {}
        answer = self._client.list_faces(
            CollectionId=gallery, MaxResults=self.capabilities.list_page, **after
        )
        faces: dict[str, list[str]] = {}
        for face in answer["Faces"]:
            faces.setdefault(face.get(key, ""), []).append(face["FaceId"])
        people = [RemotePerson(name, name, tuple(ids)) for name, ids in faces.items()]
        return GalleryPage(tuple(people), answer.get("NextToken", ""))

    def remove_person(self, gallery: str, person_id: str) -> None:
        """Delete a user; the faces stay, as nobody's."""
        self._client.delete_user(
            CollectionId=gallery,
            UserId=person_id,
            ClientRequestToken=_token("DeleteUser", gallery, person_id),
        )

    def remove_faces(self, gallery: str, face_ids: Sequence[str]) -> None:
        """Delete up to 4096 faces; raises FacesInUseError if some are a user's."""
        answer = self._client.delete_faces(CollectionId=gallery, FaceIds=list(face_ids))
        kept = [
            face["FaceId"]
            for face in answer.get("UnsuccessfulFaceDeletions") or []
            if face.get("Reasons") != ["FACE_NOT_FOUND"]
        ]
        if kept:
            raise FacesInUseError(f"{len(kept)} faces are still a user's, as {kept[0]}.")

    def delete_gallery(self, gallery: str) -> None:
        """Delete a collection and everything in it."""
        self._client.delete_collection(CollectionId=gallery)

    def classify(self, error: Exception) -> Failure:
        """Say what an exception raised by a verb means; no key is ever in its message."""
        if isinstance(error, FacesInUseError):
            return error.failure
        return classify(error, secrets=self._secrets)

    def _learn(self, face_model: str) -> None:
        self._face_model = face_model


def _check_choice(name: str, chosen: str | None, choices: Iterable[str | None]) -> None:
    if chosen not in choices:
        raise UserError(
            f"Rekognition has no {name} {chosen!r}.",
            expected=f"one of: {', '.join(choice for choice in choices if choice)}",
        )


def _token(*parts: str) -> str:
    """Return the same idempotency token for the same request, also in another process."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _refusal(unindexed: Sequence["UnindexedFaceTypeDef"]) -> PhotoRefusedError:
    """Return why nothing was indexed: the filter left all faces out, or there are none."""
    if not unindexed:
        return PhotoRefusedError("NoFace", "No face was found in the photo.", no_face=True)
    return PhotoRefusedError(_reasons(unindexed), f"No face was indexed: {_reasons(unindexed)}.")


def _note(unindexed: Sequence["UnindexedFaceTypeDef"]) -> str:
    return f"{len(unindexed)} not indexed: {_reasons(unindexed)}" if unindexed else ""


def _reasons(unindexed: Sequence["UnindexedFaceTypeDef"]) -> str:
    return ",".join(sorted({reason for face in unindexed for reason in face.get("Reasons", [])}))


def _is_associated(face: "UnsuccessfulFaceAssociationTypeDef", person_id: str) -> bool:
    """Tell whether a face was refused only because it belongs to this very user already."""
    taken = face.get("Reasons") == ["ASSOCIATED_TO_A_DIFFERENT_USER"]
    return taken and face.get("UserId") == person_id


def _association_refusal(face: "UnsuccessfulFaceAssociationTypeDef") -> str:
    """Return the service's reasons, of which it may give none."""
    reasons = ",".join(face.get("Reasons", [])) or "NO_REASON_GIVEN"
    return EXPIRED if reasons == "FACE_NOT_FOUND" else reasons
