"""Collections: create, describe, list, delete."""

from collections.abc import Callable
from typing import Any

from providers.emulators.rekognition_paging import page
from providers.emulators.rekognition_store import Collection, RekognitionStore
from providers.emulators.rekognition_users_store import UserStore
from providers.emulators.rekognition_wire import ACCOUNT, Call, ServiceError

FACE_MODEL_VERSION = "7.0"
_PAGE_MAX = 4096


def find_collection(store: RekognitionStore, call: Call) -> Collection:
    """Return the collection that a request names."""
    name = call.parameters["CollectionId"]
    collection = store.collection(call.region, name)
    if collection is None:
        message = f"The collection id: {name} does not exist"
        raise ServiceError("ResourceNotFoundException", message)
    return collection


class Collections:
    """The operations on collections themselves."""

    def __init__(
        self, store: RekognitionStore, users: UserStore, clock: Callable[[], float]
    ) -> None:
        self._store = store
        self._users = users
        self._clock = clock

    async def create(self, call: Call) -> dict[str, Any]:
        """CreateCollection. Tags are checked and forgotten."""
        name = call.parameters["CollectionId"]
        if self._store.collection(call.region, name):
            message = f"The collection id: {name} already exists"
            raise ServiceError("ResourceAlreadyExistsException", message)
        self._store.add_collection(call.region, name, self._clock())
        return {
            "StatusCode": 200,
            "CollectionArn": _resource(call.region, name),
            "FaceModelVersion": FACE_MODEL_VERSION,
        }

    async def describe(self, call: Call) -> dict[str, Any]:
        """DescribeCollection."""
        collection = find_collection(self._store, call)
        return {
            "FaceCount": self._store.face_count(collection.number),
            "UserCount": self._users.count(collection.number),
            "FaceModelVersion": FACE_MODEL_VERSION,
            "CollectionARN": f"arn:{_resource(collection.region, collection.id)}",
            "CreationTimestamp": round(collection.created, 3),
        }

    async def list_all(self, call: Call) -> dict[str, Any]:
        """ListCollections."""
        found, more = page(
            call.parameters,
            ["ListCollections", call.region],
            _PAGE_MAX,
            lambda after, top: self._store.collections(call.region, after, top),
        )
        return {
            "CollectionIds": [collection.id for collection in found],
            "FaceModelVersions": [FACE_MODEL_VERSION] * len(found),
            **more,
        }

    async def delete(self, call: Call) -> dict[str, Any]:
        """DeleteCollection."""
        self._store.delete_collection(find_collection(self._store, call).number)
        return {"StatusCode": 200}


def _resource(region: str, collection: str) -> str:
    """Return an ARN without its "arn:", as CreateCollection shows it."""
    return f"aws:rekognition:{region}:{ACCOUNT}:collection/{collection}"
