"""What is measured of a face, and which faces the quality filters let pass."""

import io
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from PIL import Image

from audit.types import RecognisedFace

Start = Callable[..., Any]


class Posed:
    """Finds one face of a size, pose and confidence of its own in every photo."""

    name = "posed"

    def __init__(self) -> None:
        self.face = self.pose()

    def pose(
        self, *, side: int = 100, nose: float = 50.0, confidence: float = 1.0
    ) -> RecognisedFace:
        points = [(30.0, 40.0), (70.0, 40.0), (nose, 63.0), (35.0, 80.0), (65.0, 80.0)]
        self.face = RecognisedFace(0, 0, side, side, confidence, [1.0, 0.0], points)
        return self.face

    def __call__(self, _: bytes) -> Sequence[RecognisedFace]:
        return [self.face]


@pytest.fixture(scope="module")
def posed() -> Posed:
    return Posed()


@pytest.fixture(scope="module")
def filtering(start: Start, posed: Posed) -> Any:
    client = start(posed)
    client.create_collection(CollectionId="c")
    return client


def picture(level: int, contrast: int, note: str = "") -> dict[str, bytes]:
    """Draw two grey areas; a note makes it another file, which is looked at anew."""
    checks = Image.new("L", (200, 200), level - contrast)
    checks.paste(level + contrast, (20, 0, 200, 200))
    buffer = io.BytesIO()
    checks.save(buffer, "PNG")
    return {"Bytes": buffer.getvalue() + note.encode()}


@pytest.mark.parametrize(
    ("quality_filter", "pose", "level", "contrast", "reasons"),
    [
        ("HIGH", {}, 128, 100, []),
        ("LOW", {}, 16, 14, []),
        ("AUTO", {}, 16, 14, ["LOW_BRIGHTNESS"]),
        ("NONE", {}, 128, 0, []),
        ("LOW", {}, 128, 0, ["LOW_SHARPNESS"]),
        ("MEDIUM", {"confidence": 0.9}, 128, 100, []),
        ("HIGH", {"confidence": 0.9}, 128, 100, ["LOW_CONFIDENCE"]),
        ("LOW", {"side": 42}, 128, 100, []),
        ("AUTO", {"side": 42}, 128, 100, ["SMALL_BOUNDING_BOX"]),
        ("AUTO", {"nose": 73.0}, 128, 100, []),
        ("HIGH", {"nose": 73.0}, 128, 100, ["EXTREME_POSE"]),
        ("AUTO", {"side": 42}, 9, 0, ["LOW_BRIGHTNESS", "LOW_SHARPNESS", "SMALL_BOUNDING_BOX"]),
    ],
)
def test_quality_filters(
    filtering: Any,
    posed: Posed,
    quality_filter: str,
    pose: dict[str, Any],
    level: int,
    contrast: int,
    reasons: list[str],
) -> None:
    posed.pose(**pose)
    photo = picture(level, contrast, quality_filter + str(pose))
    asked = {"CollectionId": "c", "Image": photo, "QualityFilter": quality_filter}
    indexed = filtering.index_faces(**asked)
    assert [face["Reasons"] for face in indexed["UnindexedFaces"]] == ([reasons] if reasons else [])
    assert len(indexed["FaceRecords"]) == (not reasons)
    if reasons:
        with pytest.raises(filtering.exceptions.InvalidParameterException):
            filtering.search_faces_by_image(**asked)
        unsearched = filtering.search_users_by_image(**asked)["UnsearchedFaces"]
        assert [face["Reasons"] for face in unsearched] == [reasons]


def test_what_is_measured_of_a_face(start: Start) -> None:
    client = start(Posed())
    [detail] = client.detect_faces(Image=picture(128, 100))["FaceDetails"]
    landmarks = {point["Type"]: (point["X"], point["Y"]) for point in detail["Landmarks"]}
    assert landmarks == {
        "eyeLeft": (0.15, 0.2),
        "eyeRight": (0.35, 0.2),
        "nose": (0.25, 0.315),
        "mouthLeft": (0.175, 0.4),
        "mouthRight": (0.325, 0.4),
    }
    assert detail["Pose"]["Yaw"] == detail["Pose"]["Roll"] == 0
    assert detail["Quality"]["Brightness"] == pytest.approx(73.7, abs=0.1)
    [detail] = client.detect_faces(Image=picture(128, 9), Attributes=["DEFAULT", "SMILE"])[
        "FaceDetails"
    ]
    assert detail["Smile"] == {"Value": False, "Confidence": 50.0}
    assert "AgeRange" not in detail


def test_ratios_are_of_the_turned_picture(start: Start) -> None:
    client = start(Posed())
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("L", (200, 400)).save(buffer, "JPEG", exif=exif)
    [detail] = client.detect_faces(Image={"Bytes": buffer.getvalue()})["FaceDetails"]
    assert detail["BoundingBox"] == {"Left": 0, "Top": 0, "Width": 0.25, "Height": 0.5}
