"""Megvii Face++ (API v3) over plain HTTP: one FaceSet, named by its outer_id, is a gallery.

Nothing is sent twice and no redirect is followed. API reference: console.faceplusplus.com,
documents 4888373 (detect), 4887586 (compare), 4888381 (search) and 4888389 (addface).
"""

import hashlib
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from audit.errors import UserError
from audit.types import Candidate
from providers.base import (
    EXPIRED,
    Capabilities,
    EnrolledFace,
    Failure,
    GalleryPage,
    PhotoRefusedError,
    Provider,
    RemotePerson,
)
from providers.capabilities import load
from providers.endpoints import host, is_on_this_machine
from providers.facepp_errors import UNREADABLE, FaceppError, classify

ENDPOINT = "https://api-us.faceplusplus.com"
_RESULTS_MAX = 5
_CONNECTIONS_MAX = 128  # kept open; more may be in flight

Answer = Mapping[str, Any]
Fields = Mapping[str, str | int]


class FaceppProvider(Provider):
    """A Face++ account: a key, its secret, and the site that they belong to (None = api-us)."""

    def __init__(
        self,
        *,
        api_key: str,
        api_secret: str,
        endpoint: str | None = None,
        connect_timeout_s: float = 10.0,
        read_timeout_s: float = 60.0,
    ) -> None:
        endpoint = endpoint or ENDPOINT
        sites = f"{ENDPOINT} or another site of the service"
        place = host(endpoint, "Face++", sites, "FACEPP_ENDPOINT, or leave it out")
        if not api_key or not api_secret:
            raise UserError(
                "The Face++ key or its secret is empty.",
                expected="the API key and the API secret of one application",
                remedy="set FACEPP_API_KEY and FACEPP_API_SECRET, or rehearse with --emulate",
            )
        self._keys = {"api_key": api_key, "api_secret": api_secret}
        digest = hashlib.sha256(api_key.encode()).hexdigest()[:8]
        self._account = f"facepp/{place}/{digest}"
        self._url = f"{endpoint.rstrip('/')}/facepp/v3/"
        self._timeouts_s = (connect_timeout_s, read_timeout_s)
        self._session = requests.Session()
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(pool_maxsize=_CONNECTIONS_MAX))
        # The environment's proxies and .netrc are not for this machine's own emulators.
        self._session.trust_env = not is_on_this_machine(endpoint)

    def __repr__(self) -> str:
        return f"FaceppProvider({self._account!r})"

    @classmethod
    def describe(cls, gallery: str | None = None) -> Capabilities:
        """Return Face++'s limits, tiers and abilities; there is one kind of gallery."""
        return load("facepp", gallery)

    @property
    def service_model(self) -> str:
        """The API's version: the service tells of no model."""
        return "v3"

    @property
    def account(self) -> str:
        """The endpoint's host and eight hexadecimal digits of the API key's SHA-256."""
        return self._account

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def create_gallery(self, gallery: str) -> None:
        """Create an empty FaceSet."""
        self._call("faceset/create", {"outer_id": gallery})

    def enrol(
        self,
        gallery: str,  # a face is in no FaceSet before it is attached
        person_id: str,  # and nobody's before it is labelled
        photo: bytes,
        tag: str,
    ) -> EnrolledFace:
        """Detect a photo's largest face; return its face_token, valid for 72 h until attached."""
        faces = self._detect(photo)
        note = f"{len(faces)} faces; the largest was taken" if len(faces) > 1 else ""
        return EnrolledFace(_largest(faces), note)

    def attach(self, gallery: str, person_id: str, face_ids: Sequence[str]) -> Mapping[str, str]:
        """Add up to 5 face_tokens to a FaceSet; raises FaceppError if it is full."""
        fields = {"outer_id": gallery, "face_tokens": ",".join(face_ids)}
        answer = self._call("faceset/addface", fields)
        reasons = {
            detail["face_token"]: detail["reason"] for detail in answer.get("failure_detail", ())
        }
        if "QUOTA_EXCEEDED" in reasons.values():
            raise FaceppError(200, "QUOTA_EXCEEDED")
        return {
            token: EXPIRED if reason == "INVALID_FACE_TOKEN" else reason
            for token, reason in reasons.items()
        }

    def label(self, gallery: str, face_id: str, person_id: str) -> None:
        """Set a face_token's user_id, which search gives back."""
        self._call("face/setuserid", {"face_token": face_id, "user_id": person_id})

    def detect(self, photo: bytes) -> str:
        """Return the face_token of the largest face; PhotoRefusedError if there is none."""
        return _largest(self._detect(photo))

    def identify(
        self, gallery: str, face_ids: Sequence[str], threshold: float, candidates: int
    ) -> Sequence[Sequence[Candidate]]:
        """Return the people offered for one face_token, by their most similar faces.

        The service answers with the five most similar faces, so with five people at most, and
        takes no threshold: what is below it is left out here.
        """
        [face_id] = face_ids
        asked = {"face_token": face_id, "outer_id": gallery}
        try:
            answer = self._call("search", {**asked, "return_result_count": _RESULTS_MAX})
        except FaceppError as error:
            if error.code == "EMPTY_FACESET":
                return [[]]
            raise
        results = sorted(answer.get("results", ()), key=itemgetter("confidence"), reverse=True)
        best: dict[str, Candidate] = {}
        for found in results:
            candidate = _candidate(found.get("user_id", ""), found["confidence"], answer)
            if candidate.person_id and candidate.score >= threshold:
                best.setdefault(candidate.person_id, candidate)
        return [list(best.values())[:candidates]]

    def verify(self, gallery: str, face_id: str, enrolled_id: str) -> Candidate:
        """Return the score of a probe's face against one enrolled face; never censored."""
        answer = self._call("compare", {"face_token1": face_id, "face_token2": enrolled_id})
        return _candidate(enrolled_id, answer["confidence"], answer)

    def list_galleries(self) -> Sequence[str]:
        """Return the outer_ids of all FaceSets of this key, the faceset_token of those without."""
        names: list[str] = []
        start: Fields = {}
        while True:
            page = self._call("faceset/getfacesets", start)
            names += [one.get("outer_id") or one["faceset_token"] for one in page["facesets"]]
            if not page.get("next"):
                return names
            start = {"start": page["next"]}

    def list_gallery(self, gallery: str, start: str = "") -> GalleryPage:
        """Return up to 100 face_tokens of a FaceSet: the service does not tell whose they are."""
        after = {"start": start} if start else {}
        answer = self._call("faceset/getdetail", {"outer_id": gallery, **after})
        faces = RemotePerson("", "", tuple(answer["face_tokens"]))
        return GalleryPage((faces,) if faces.face_ids else (), str(answer.get("next") or ""))

    def remove_faces(self, gallery: str, face_ids: Sequence[str]) -> None:
        """Take up to 1000 face_tokens out of a FaceSet; nobody can then be found by them."""
        fields = {"outer_id": gallery, "face_tokens": ",".join(face_ids)}
        answer = self._call("faceset/removeface", fields)
        for detail in answer.get("failure_detail", ()):
            if detail["reason"] != "INVALID_FACE_TOKEN":
                raise FaceppError(200, detail["reason"])

    def delete_gallery(self, gallery: str) -> None:
        """Delete a FaceSet, empty or not."""
        self._call("faceset/delete", {"outer_id": gallery, "check_empty": 0})

    def classify(self, error: Exception) -> Failure:
        """Say what an exception raised by a verb means; key and secret are not in its message."""
        return classify(error, secrets=tuple(self._keys.values()))

    def _detect(self, photo: bytes) -> Sequence[Answer]:
        faces: Sequence[Answer] = self._call("detect", {}, photo)["faces"]
        if not faces:
            raise PhotoRefusedError("NoFace", "No face was found in the photo.", no_face=True)
        return faces

    def _call(self, path: str, fields: Fields, photo: bytes | None = None) -> Answer:
        """Make one request; raises FaceppError for an answer that is an error or no JSON."""
        response = self._session.post(
            self._url + path,
            data={**self._keys, **fields},
            files={"image_file": ("photo", photo)} if photo is not None else None,
            timeout=self._timeouts_s,
            allow_redirects=False,
        )
        return _checked(response)


def _checked(response: requests.Response) -> Answer:
    """Return a response's JSON object; raises FaceppError for any other one."""
    if response.status_code == 413:  # in plain text
        raise FaceppError(413, "The photo's file is too large.", code="413")
    try:
        answer = response.json()
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        message = f"HTTP status {response.status_code}: the answer is no JSON object."
        raise FaceppError(response.status_code, message, code=UNREADABLE)
    if response.status_code != 200 or "error_message" in answer:
        message = str(answer.get("error_message", f"HTTP status {response.status_code}"))
        raise FaceppError(response.status_code, message)
    return answer


def _largest(faces: Sequence[Answer]) -> str:
    boxes = [face["face_rectangle"] for face in faces]
    areas = [box["width"] * box["height"] for box in boxes]
    return str(faces[areas.index(max(areas))]["face_token"])


def _candidate(person_id: str, confidence: float, answer: Answer) -> Candidate:
    return Candidate(person_id, confidence / 100, confidence, answer.get("thresholds", {}))
