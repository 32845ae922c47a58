"""Detect: faces of a photo with their ids, landmarks and attributes."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from audit.types import RecognisedFace
from providers.emulators.azure_attributes import asked_attributes, attributes
from providers.emulators.azure_detected import DetectedFaces
from providers.emulators.azure_faces import find_faces, image_body
from providers.emulators.azure_landmarks import landmarks
from providers.emulators.azure_wire import (
    DETECTION_MODELS,
    RECOGNITION_MODELS,
    bad_argument,
    flag,
    model,
    whole_number,
)
from providers.emulators.recognition import FaceFinder

_TTL_S = (60, 86400)


@dataclass(frozen=True, slots=True)
class _Wish:
    """What a request wants to know; `ttl_s` None: no faceId."""

    recognition_model: str
    ttl_s: int | None
    with_model: bool
    with_landmarks: bool
    attributes: list[str]


class Detection:
    """The operation /detect."""

    def __init__(
        self, detected: DetectedFaces, finder: FaceFinder, clock: Callable[[], float]
    ) -> None:
        self._detected = detected
        self._finder = finder
        self._clock = clock

    async def detect(self, request: Request) -> Response:
        """POST /detect."""
        wish = _wish(request)
        image = await image_body(request)
        found = await find_faces(self._finder, image)
        rows = [self._row(face, wish) for face in found.faces]
        if wish.attributes:
            told = await asyncio.to_thread(attributes, image, found.faces, wish.attributes)
            for row, values in zip(rows, told, strict=True):
                row["faceAttributes"] = values
        return JSONResponse(rows)

    def _row(self, face: RecognisedFace, wish: _Wish) -> dict[str, Any]:
        row: dict[str, Any] = {}
        if wish.ttl_s is not None:
            now = self._clock()
            row["faceId"] = self._detected.add(
                face.embedding, wish.recognition_model, now=now, expires=now + wish.ttl_s
            )
        if wish.with_model:
            row["recognitionModel"] = wish.recognition_model
        row["faceRectangle"] = {
            "top": face.top,
            "left": face.left,
            "width": face.width,
            "height": face.height,
        }
        if wish.with_landmarks:
            row["faceLandmarks"] = landmarks(face)
        return row


def _wish(request: Request) -> _Wish:
    """Read the query; raises for what the service refuses."""
    query = request.query_params
    recognition = model(query.get("recognitionModel"), RECOGNITION_MODELS, "recognitionModel")
    detection = model(query.get("detectionModel"), DETECTION_MODELS, "detectionModel")
    shortest_s, longest_s = _TTL_S
    ttl_s = whole_number(
        request, "faceIdTimeToLive", default=longest_s, low=shortest_s, high=longest_s
    )
    with_id = flag(request, "returnFaceId", default=True)
    with_landmarks = flag(request, "returnFaceLandmarks", default=False)
    if with_landmarks and detection == "detection_02":
        raise bad_argument("'returnLandmarks' is not supported by detection_02.")
    return _Wish(
        recognition_model=recognition,
        ttl_s=ttl_s if with_id else None,
        with_model=flag(request, "returnRecognitionModel", default=False),
        with_landmarks=with_landmarks,
        attributes=asked_attributes(query.getlist("returnFaceAttributes"), detection, recognition),
    )
