"""Users of collections: create, list, delete, associate and disassociate faces."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from audit.types import content_hash
from providers.emulators.calibration import Calibration
from providers.emulators.matching import cosine
from providers.emulators.options import Options
from providers.emulators.rekognition_collections import find_collection
from providers.emulators.rekognition_paging import page
from providers.emulators.rekognition_store import Collection, Face, RekognitionStore
from providers.emulators.rekognition_users_store import DoneRequest, User, UserStore
from providers.emulators.rekognition_vectors import similarity
from providers.emulators.rekognition_wire import Call, ServiceError

_PAGE_MAX = 500
_FACES_MAX = 100
_THRESHOLD = 75.0
_NO_ROOM: Mapping[str, Any] = {"Reasons": []}
"""For faces beyond the hundredth: the service model has no Reason for them."""


def find_user(users: UserStore, collection: Collection, name: str) -> User:
    """Return a user of a collection."""
    user = users.user(collection.number, name)
    if user is None:
        message = f"The user id: {name} does not exist in the collection"
        raise ServiceError("ResourceNotFoundException", message)
    return user


def status(user: User, now: float) -> str:
    """Return a user's UserStatus."""
    if now < user.settles:
        return "UPDATING"
    return "ACTIVE" if user.face_count else "CREATED"


class Users:
    """The operations on users and their faces.

    A change takes effect at once; for `options.training_s` the user is shown as UPDATING.
    """

    def __init__(
        self, store: RekognitionStore, users: UserStore, calibration: Calibration, options: Options
    ) -> None:
        self._store = store
        self._users = users
        self._calibration = calibration
        self._options = options

    async def create(self, call: Call) -> dict[str, Any]:
        """CreateUser."""
        return self._once("CreateUser", call, self._create)

    async def delete(self, call: Call) -> dict[str, Any]:
        """DeleteUser."""
        return self._once("DeleteUser", call, self._delete)

    async def associate(self, call: Call) -> dict[str, Any]:
        """AssociateFaces."""
        return self._once("AssociateFaces", call, self._associate)

    async def disassociate(self, call: Call) -> dict[str, Any]:
        """DisassociateFaces."""
        return self._once("DisassociateFaces", call, self._disassociate)

    async def list_all(self, call: Call) -> dict[str, Any]:
        """ListUsers."""
        collection = find_collection(self._store, call)
        found, more = page(
            call.parameters,
            ["ListUsers", collection.number],
            _PAGE_MAX,
            lambda after, top: self._users.users(collection.number, after, top),
        )
        now = self._options.clock()
        users = [{"UserId": user.id, "UserStatus": status(user, now)} for user in found]
        return {"Users": users, **more}

    def _once(
        self, operation: str, call: Call, do: Callable[[Call], dict[str, Any]]
    ) -> dict[str, Any]:
        """Do what a ClientRequestToken has not done yet, or return the answer that it had."""
        token = call.parameters.get("ClientRequestToken")
        if token is None:
            return do(call)
        digest = content_hash([call.region, call.parameters])
        done = self._users.remembered(operation, token)
        if done is None:
            done = DoneRequest(operation, token, digest, do(call))
            collection = find_collection(self._store, call)
            self._users.remember(collection.number, done, self._options.clock())
        if done.digest != digest:
            message = f"The ClientRequestToken: {token} you have supplied is already in use."
            raise ServiceError("IdempotentParameterMismatchException", message)
        return done.answer

    def _create(self, call: Call) -> dict[str, Any]:
        collection, name = find_collection(self._store, call), call.parameters["UserId"]
        if self._users.user(collection.number, name):
            message = f"The user id: {name} already exists in the collection"
            raise ServiceError("ConflictException", message)
        self._users.add(collection.number, name)
        return {}

    def _delete(self, call: Call) -> dict[str, Any]:
        collection, user = self._named(call)
        self._users.delete(collection.number, user)
        return {}

    def _associate(self, call: Call) -> dict[str, Any]:
        """Associate the faces that may be; one that is this user's already is passed over."""
        collection, user = self._named(call)
        if user.face_count >= _FACES_MAX:
            message = f"The user already has the maximum of {_FACES_MAX} faces."
            raise ServiceError("ServiceQuotaExceededException", message)
        threshold = call.parameters.get("UserMatchThreshold", _THRESHOLD)
        room = _FACES_MAX - user.face_count
        own = [face.id for face in self._store.faces(collection.number, user=user.id)]
        accepted: list[Face] = []
        refused: list[dict[str, Any]] = []
        for name, face in self._asked_faces(call, collection):
            if face is None or face.user not in {None, user.id}:
                refused.append(_unavailable(name, face))
            elif face.user is None:
                refusal = self._mismatch(collection, own, face, threshold)
                if refusal is None and len(accepted) < room:
                    accepted.append(face)
                else:
                    refused.append({"FaceId": name, "UserId": user.id, **(refusal or _NO_ROOM)})
        self._users.give(collection.number, _numbers(accepted), user, self._settles())
        return {
            "AssociatedFaces": [{"FaceId": face.id} for face in accepted],
            "UnsuccessfulFaceAssociations": refused,
            "UserStatus": self._status(call),
        }

    def _disassociate(self, call: Call) -> dict[str, Any]:
        """Make a user's faces nobody's; a face that is nobody's already is passed over."""
        collection, user = self._named(call)
        faces = self._asked_faces(call, collection)
        freed = [face for _, face in faces if face is not None and face.user == user.id]
        self._users.take(collection.number, _numbers(freed), user, self._settles())
        return {
            "DisassociatedFaces": [{"FaceId": face.id} for face in freed],
            "UnsuccessfulFaceDisassociations": [
                _unavailable(name, face)
                for name, face in faces
                if face is None or face.user not in {None, user.id}
            ],
            "UserStatus": self._status(call),
        }

    def _mismatch(
        self, collection: Collection, own: Sequence[str], face: Face, threshold: float
    ) -> dict[str, Any] | None:
        """Return why a face is too unlike a user's faces, if it is; the first ones can't be."""
        if not own:
            return None
        vectors = self._store.vectors(collection.number)
        [probe] = vectors.of([face.id])
        alike = cosine(vectors.of(own), probe, self._options.matching)
        confidence = similarity(self._calibration, alike)
        if confidence >= threshold:
            return None
        return {"Confidence": confidence, "Reasons": ["LOW_MATCH_CONFIDENCE"]}

    def _named(self, call: Call) -> tuple[Collection, User]:
        collection = find_collection(self._store, call)
        return collection, find_user(self._users, collection, call.parameters["UserId"])

    def _asked_faces(self, call: Call, collection: Collection) -> list[tuple[str, Face | None]]:
        names = list(dict.fromkeys(call.parameters["FaceIds"]))
        faces = {face.id: face for face in self._store.faces(collection.number, ids=names)}
        return [(name, faces.get(name)) for name in names]

    def _settles(self) -> float:
        return self._options.clock() + self._options.training_s

    def _status(self, call: Call) -> str:
        return status(self._named(call)[1], self._options.clock())


def _numbers(faces: Sequence[Face]) -> list[int]:
    return [face.number for face in faces]


def _unavailable(name: str, face: Face | None) -> dict[str, Any]:
    if face is None:
        return {"FaceId": name, "Reasons": ["FACE_NOT_FOUND"]}
    return {"FaceId": name, "UserId": face.user, "Reasons": ["ASSOCIATED_TO_A_DIFFERENT_USER"]}
