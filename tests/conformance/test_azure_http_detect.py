"""Detect on the wire: landmarks, attributes, and which models tell them.

Names, levels and ranges: REST reference v1.2; rules: "Specify a face detection model" and "Azure AI
Face API error codes".
"""

import io
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import requests
from PIL import Image

from audit.types import RecognisedFace
from providers.emulators.options import Options
from providers.emulators.server import running
from tests.providers.stub_emulator import CALIBRATION, photo

Ask = Callable[..., requests.Response]
Error = Callable[[requests.Response], tuple[int, str, str]]
POINTS = ((130.0, 140.0), (190.0, 140.0), (160.0, 180.0), (136.0, 210.0), (184.0, 210.0))


class TwoFaces:
    """Finds a large upright face with landmarks and the same one smaller, turned by 90 degrees."""

    name = "two"

    def __call__(self, image: bytes) -> Sequence[RecognisedFace]:
        assert image
        turned = tuple((300 - y, 20 + x) for x, y in POINTS)
        return [
            RecognisedFace(60, 60, 200, 200, 0.99, [1.0, 0.0], POINTS),
            RecognisedFace(40, 80, 190, 190, 0.99, [0.0, 1.0], turned),
        ]


def picture(light: int, grain: int) -> bytes:
    """Draw a grey picture of 400 x 400 pixels with noise."""
    noise = np.random.default_rng(0).integers(-grain, grain + 1, (400, 400))
    buffer = io.BytesIO()
    Image.fromarray((light + noise).clip(0, 255).astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def detect_url() -> Iterator[str]:
    with running("azure", TwoFaces(), CALIBRATION, options=Options()) as url:
        yield f"{url}/face/v1.2/detect"


@pytest.fixture
def look(detect_url: str) -> Callable[..., list[dict[str, Any]]]:
    """Detect without an id; return a row a face."""

    def look(query: str, image: bytes) -> list[dict[str, Any]]:
        headers = {"Ocp-Apim-Subscription-Key": "k", "Content-Type": "application/octet-stream"}
        url = f"{detect_url}?returnFaceId=false&{query}"
        answer = requests.post(url, image, headers=headers, timeout=10)
        rows: list[dict[str, Any]] = answer.json()
        return rows

    return look


def test_measured_landmarks_are_told_as_they_are(look: Callable[..., Any]) -> None:
    row = look("returnFaceLandmarks=true", picture(128, 40))[0]
    points = row["faceLandmarks"]
    assert len(points) == 27
    named = ("pupilLeft", "pupilRight", "noseTip", "mouthLeft", "mouthRight")
    assert [(points[name]["x"], points[name]["y"]) for name in named] == list(POINTS)


def test_derived_landmarks_lie_where_a_face_has_them(look: Callable[..., Any]) -> None:
    points = look("returnFaceLandmarks=true", picture(128, 40))[0]["faceLandmarks"]
    x, y = ({name: point[axis] for name, point in points.items()} for axis in "xy")
    across = "eyebrowLeftOuter eyeLeftOuter pupilLeft eyeLeftInner noseRootLeft noseTip"
    across += " noseRootRight eyeRightInner pupilRight eyeRightOuter eyebrowRightOuter"
    assert [x[name] for name in across.split()] == sorted(x[name] for name in across.split())
    down = "eyebrowLeftInner eyeLeftTop eyeLeftBottom noseRootLeft noseLeftAlarTop"
    down += " noseLeftAlarOutTip upperLipTop upperLipBottom underLipTop underLipBottom"
    assert [y[name] for name in down.split()] == sorted(y[name] for name in down.split())
    for name in points:
        if "Left" in name:  # the face is symmetric about x = 160
            mirrored = name.replace("Left", "Right")
            assert x[name] + x[mirrored] == pytest.approx(320, abs=0.2)
            assert y[name] == y[mirrored]


def test_derived_landmarks_turn_with_the_face(look: Callable[..., Any]) -> None:
    upright, turned = look("returnFaceLandmarks=true", picture(128, 40))
    for name, point in upright["faceLandmarks"].items():
        there = turned["faceLandmarks"][name]
        assert there["x"] == pytest.approx(300 - point["y"], abs=0.2)
        assert there["y"] == pytest.approx(20 + point["x"], abs=0.2)


def test_landmarks_without_a_measured_one_lie_in_the_box(ask: Ask) -> None:
    [row] = ask("POST", "/detect?returnFaceLandmarks=true", data=photo(0)).json()
    assert len(row["faceLandmarks"]) == 27
    assert all(10 <= point[axis] <= 70 for point in row["faceLandmarks"].values() for axis in "xy")


def test_head_pose_is_measured(look: Callable[..., Any]) -> None:
    upright, turned = look("returnFaceAttributes=headPose", picture(128, 40))
    assert upright["faceAttributes"]["headPose"] == {"pitch": 0.7, "roll": 0.0, "yaw": 0.0}
    assert turned["faceAttributes"]["headPose"]["roll"] == 90.0


@pytest.mark.parametrize(
    ("light", "grain", "exposure", "blur", "quality"),
    [
        (128, 60, "goodExposure", "low", "high"),
        (128, 3, "goodExposure", "high", "low"),
        (128, 6, "goodExposure", "medium", "medium"),
        (20, 3, "underExposure", "high", "low"),
        (235, 3, "overExposure", "high", "low"),
    ],
)
def test_light_and_sharpness_are_measured(
    look: Callable[..., Any], light: int, grain: int, exposure: str, blur: str, quality: str
) -> None:
    names = "blur,exposure,qualityForRecognition"
    query = f"recognitionModel=recognition_04&returnFaceAttributes={names}"
    told = look(query, picture(light, grain))[0]["faceAttributes"]
    assert told["exposure"]["exposureLevel"] == exposure
    assert told["exposure"]["value"] == pytest.approx(light / 255, abs=0.02)
    assert told["blur"]["blurLevel"] == blur
    assert told["qualityForRecognition"] == quality


def test_what_is_not_measured_is_told_as_of_a_bare_face(look: Callable[..., Any]) -> None:
    bare = {
        "noise": {"noiseLevel": "low", "value": 0.0},
        "glasses": "noGlasses",
        "occlusion": {"foreheadOccluded": False, "eyeOccluded": False, "mouthOccluded": False},
        "accessories": [],
    }
    rows = look(f"returnFaceAttributes={','.join(bare)}", picture(128, 40))
    assert [row["faceAttributes"] for row in rows] == [bare, bare]
    [first, _] = look("detectionModel=detection_03&returnFaceAttributes=mask", picture(128, 40))
    mask = {"type": "noMask", "noseAndMouthCovered": False}
    assert first["faceAttributes"] == {"mask": mask}


@pytest.mark.parametrize("query", ["", "&returnFaceAttributes=", "&returnFaceLandmarks=false"])
def test_nothing_is_told_unasked(look: Callable[..., Any], query: str) -> None:
    assert set(look(query, picture(128, 40))[0]) == {"faceRectangle"}


def test_attributes_may_be_asked_one_by_one(look: Callable[..., Any]) -> None:
    query = "returnFaceAttributes=Blur&returnFaceAttributes=headpose,%20blur"
    assert set(look(query, picture(128, 40))[0]["faceAttributes"]) == {"blur", "headPose"}


NOT_BY_02 = "'returnFaceAttributes' is not supported by detection_02."


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("returnFaceAttributes=headPose,shoeSize", "Invalid argument returnFaceAttributes."),
        ("detectionModel=detection_02&returnFaceAttributes=blur", NOT_BY_02),
        (
            "detectionModel=detection_02&returnFaceLandmarks=true",
            "'returnLandmarks' is not supported by detection_02.",
        ),
        ("returnFaceAttributes=mask", NOT_BY_02.replace("02", "01")),
        (
            "detectionModel=detection_03&returnFaceAttributes=noise",
            NOT_BY_02.replace("02", "03"),
        ),
        (
            "recognitionModel=recognition_02&returnFaceAttributes=qualityForRecognition",
            "'returnFaceAttributes' is not supported by recognition_02.",
        ),
    ],
)
def test_what_models_do_not_tell(ask: Ask, error: Error, query: str, message: str) -> None:
    answer = ask("POST", f"/detect?{query}", data=photo(0))
    assert error(answer) == (400, "BadArgument", message)


@pytest.mark.parametrize(
    "name", ["age", "emotion", "facialHair", "gender", "hair", "makeup", "smile"]
)
def test_what_is_told_no_more(ask: Ask, error: Error, name: str) -> None:
    answer = ask("POST", f"/detect?returnFaceAttributes=blur,{name}", data=photo(0))
    status, code, message = error(answer)
    assert (status, code) == (403, "UnsupportedFeature")
    assert message.endswith("have been deprecated and are no longer supported.")
