"""FaceSets: create, fill, empty, list, update, delete."""

from collections.abc import Callable
from typing import Any

from providers.emulators.facepp_store import FaceppStore, FaceSet
from providers.emulators.facepp_wire import (
    Answer,
    Fields,
    ServiceError,
    display_name,
    face_tokens,
    label,
    missing,
    tags,
    user_data,
    whole_number,
)

_ADDED_MAX = 5
_REMOVED_MAX = 1000
_REMOVE_ALL = "RemoveAllFaceTokens"
_FACESETS_MAX = 1000
_PAGE = 100
_START_MAX = 10_000


def find_faceset(store: FaceppStore, fields: Fields) -> FaceSet:
    """Return the FaceSet that a request names by its token or its outer_id, one of the two."""
    token, outer_id = fields.text("faceset_token"), fields.text("outer_id")
    if token is None and outer_id is None:
        raise missing("faceset_token", "outer_id")
    if token is not None and outer_id is not None:
        raise ServiceError(400, "COEXISTENCE_ARGUMENTS")
    faceset = store.faceset(token=token, outer_id=outer_id)
    if faceset is None:
        raise ServiceError(400, "INVALID_OUTER_ID" if token is None else "INVALID_FACESET_TOKEN")
    return faceset


def named(faceset: FaceSet) -> Answer:
    """Return the two names of a FaceSet, as most answers have them."""
    return {"faceset_token": faceset.token, "outer_id": faceset.outer_id or ""}


def listed(faceset: FaceSet) -> Answer:
    """Return a FaceSet as listings show it."""
    return named(faceset) | {"display_name": faceset.display_name, "tags": faceset.tags}


def tokens_to_add(fields: Fields) -> list[str]:
    """Return the face tokens of a request to add faces."""
    return face_tokens(fields, most=_ADDED_MAX)


def tokens_to_remove(fields: Fields) -> list[str]:
    """Return the face tokens of a request to remove faces, or the one word that means all."""
    return face_tokens(fields, most=_REMOVED_MAX)


def add_faces(store: FaceppStore, faceset: FaceSet, tokens: list[str], now: float) -> Answer:
    """Add faces to a FaceSet; those that it has already do not count as added."""
    before = store.count(faceset.token)
    refused = store.add_members(faceset.token, tokens, now)
    count = store.count(faceset.token)
    changed = {"face_added": count - before, "face_count": count}
    return named(faceset) | changed | {"failure_detail": _failures(refused)}


def remove_faces(store: FaceppStore, faceset: FaceSet, tokens: list[str], now: float) -> Answer:
    """Take faces out of a FaceSet; those that are in no other one begin to expire again."""
    if tokens == [_REMOVE_ALL]:
        tokens = store.members(faceset.token)
    refused = store.remove_members(faceset.token, tokens, now)
    changed = {
        "face_removed": len(tokens) - len(refused),
        "face_count": store.count(faceset.token),
    }
    return named(faceset) | changed | {"failure_detail": _failures(refused)}


class FaceSets:
    """The operations on FaceSets that are done at once."""

    def __init__(self, store: FaceppStore, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock

    async def create(self, fields: Fields) -> Answer:
        """POST faceset/create."""
        outer_id, name = label(fields, "outer_id"), display_name(fields) or ""
        labels, data = tags(fields) or "", user_data(fields) or ""
        merge = whole_number(fields, "force_merge", default=0, low=0, high=1)
        tokens = tokens_to_add(fields) if fields.text("face_tokens") else []
        faceset = self._store.faceset(outer_id=outer_id)
        if faceset is not None and not merge:
            raise ServiceError(400, "FACESET_EXIST")
        if faceset is None:
            if len(self._store.facesets()) >= _FACESETS_MAX:
                raise ServiceError(400, "FACESET_QUOTA_EXCEEDED")
            faceset = self._store.add_faceset(outer_id, name, labels, data)
        return add_faces(self._store, faceset, tokens, self._clock())

    async def add_face(self, fields: Fields) -> Answer:
        """POST faceset/addface."""
        tokens = tokens_to_add(fields)
        return add_faces(self._store, find_faceset(self._store, fields), tokens, self._clock())

    async def remove_face(self, fields: Fields) -> Answer:
        """POST faceset/removeface."""
        tokens = tokens_to_remove(fields)
        return remove_faces(self._store, find_faceset(self._store, fields), tokens, self._clock())

    async def get_detail(self, fields: Fields) -> Answer:
        """POST faceset/getdetail."""
        start = whole_number(fields, "start", default=1, low=1, high=_START_MAX)
        faceset = find_faceset(self._store, fields)
        tokens = self._store.members(faceset.token)
        answer = listed(faceset) | {"user_data": faceset.user_data, "face_count": len(tokens)}
        return answer | _page("face_tokens", tokens, start)

    async def get_facesets(self, fields: Fields) -> Answer:
        """POST faceset/getfacesets: those that have any of the tags asked for."""
        start = whole_number(fields, "start", default=1, low=1, high=_START_MAX)
        asked = set((tags(fields) or "").split(",")) - {""}
        rows = [
            listed(faceset)
            for faceset in self._store.facesets()
            if not asked or asked & set(faceset.tags.split(","))
        ]
        return _page("facesets", rows, start)

    async def update(self, fields: Fields) -> Answer:
        """POST faceset/update."""
        given = {
            "outer_id": label(fields, "new_outer_id"),
            "display_name": display_name(fields),
            "tags": tags(fields),
            "user_data": user_data(fields),
        }
        changes = {name: text for name, text in given.items() if text is not None}
        if not changes:
            raise missing("new_outer_id", "display_name", "user_data", "tags")
        faceset = find_faceset(self._store, fields)
        if self._store.faceset(outer_id=given["outer_id"]):
            raise ServiceError(400, "NEW_OUTER_ID_EXIST")
        changed = faceset._replace(**changes)
        self._store.replace_faceset(changed)
        return named(changed)

    async def delete(self, fields: Fields) -> Answer:
        """POST faceset/delete."""
        check_empty = whole_number(fields, "check_empty", default=1, low=0, high=1)
        faceset = find_faceset(self._store, fields)
        if check_empty and self._store.count(faceset.token):
            raise ServiceError(400, "FACESET_NOT_EMPTY")
        self._store.delete_faceset(faceset.token, self._clock())
        return named(faceset)


def _failures(refused: dict[str, str]) -> list[dict[str, str]]:
    return [{"reason": reason, "face_token": token} for token, reason in refused.items()]


def _page(name: str, rows: list[Any], start: int) -> Answer:
    """Return a page of a listing that counts from 1, and where the next one starts."""
    end = start - 1 + _PAGE
    answer: Answer = {name: rows[start - 1 : end]}
    return answer | ({"next": str(end + 1)} if end < len(rows) else {})
