"""CompareFaces and DetectFaces, which need no collection."""

from typing import Any

import numpy as np

from providers.emulators.calibration import Calibration
from providers.emulators.recognition import FaceFinder
from providers.emulators.rekognition_details import SeenFace, look
from providers.emulators.rekognition_images import find_faces
from providers.emulators.rekognition_vectors import similarity
from providers.emulators.rekognition_wire import Call, invalid_parameters

_THRESHOLD = 80.0


class Comparison:
    """The operations on photos alone."""

    def __init__(self, finder: FaceFinder, calibration: Calibration) -> None:
        self._finder = finder
        self._calibration = calibration

    async def detect(self, call: Call) -> dict[str, Any]:
        """DetectFaces."""
        photo = await find_faces(self._finder, call.parameters["Image"])
        attributes = call.parameters.get("Attributes", [])
        return {"FaceDetails": [face.detail(attributes) for face in await look(photo)]}

    async def compare(self, call: Call) -> dict[str, Any]:
        """CompareFaces: the source's largest face with each of the target."""
        source = (await self._usable(call, "SourceImage"))[0]
        threshold = call.parameters.get("SimilarityThreshold", _THRESHOLD)
        probe = np.asarray(source.face.embedding, np.float32)
        matches, others = [], []
        for seen in await self._usable(call, "TargetImage"):
            alike = float(np.asarray(seen.face.embedding, np.float32) @ probe)
            score = similarity(self._calibration, alike)
            if score >= threshold:
                matches.append({"Similarity": score, "Face": seen.detail()})
            else:
                others.append(seen.detail())
        box, confidence = source.photo.box(source.face), 100 * source.face.confidence
        return {
            "SourceImageFace": {"BoundingBox": box, "Confidence": confidence},
            "FaceMatches": sorted(matches, key=lambda match: -match["Similarity"]),
            "UnmatchedFaces": others,
        }

    async def _usable(self, call: Call, image: str) -> list[SeenFace]:
        """Return the faces that the quality filter lets through; raises if there is none."""
        photo = await find_faces(self._finder, call.parameters[image])
        quality_filter = call.parameters.get("QualityFilter", "NONE")
        faces = [seen for seen in await look(photo) if not seen.flaws(quality_filter)]
        if not faces:
            raise invalid_parameters()
        return faces
