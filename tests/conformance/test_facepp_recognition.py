"""Detect, compare, search and analyse at the Face++ emulator.

Sources: console.faceplusplus.com, documents 4888373 (detect), 4887586 (compare), 4888381 (search).
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from providers.emulators.server import running
from tests.providers.scaled_recogniser import ScaledRecogniser
from tests.providers.stub_emulator import CALIBRATION, photo

Ask = Callable[..., requests.Response]
KEY = {"api_key": "any", "api_secret": "any"}
LARGE = (640, 480)
THRESHOLDS = {"1e-3": 62.327, "1e-4": 69.101, "1e-5": 73.975}


@pytest.fixture(scope="module")
def facepp() -> Iterator[str]:
    with running("facepp", ScaledRecogniser(), CALIBRATION) as url:
        yield url


@pytest.fixture
def ask(facepp: str) -> Iterator[Ask]:
    requests.post(f"{facepp}/__emulator__/clear", timeout=10).raise_for_status()
    with requests.Session() as session:

        def ask(operation: str, files: Any = None, **fields: Any) -> requests.Response:
            url = f"{facepp}/facepp/v3/{operation}"
            return session.post(url, data=KEY | fields, files=files, timeout=10)

        yield ask


@pytest.fixture
def token(ask: Ask) -> Callable[..., str]:
    def token(person: int, variant: int = 0) -> str:
        found = ask("detect", {"image_file": photo(person, variant)}).json()["faces"]
        return str(found[0]["face_token"])

    return token


@pytest.fixture
def enrolled(ask: Ask, token: Callable[..., str]) -> dict[str, str]:
    """Persons 0, 1 and 2 in the FaceSet "g", each with one face and a user_id; names by token."""
    ask("faceset/create", outer_id="g")
    people = {token(person): f"person {person}" for person in range(3)}
    assert ask("faceset/addface", outer_id="g", face_tokens=",".join(people)).ok
    for face, name in people.items():
        ask("face/setuserid", face_token=face, user_id=name, outer_ids="g")
    return people


def error(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error_message"]


def test_detect(ask: Ask) -> None:
    picture = {"image_file": photo(1, faces=2, size=LARGE)}
    first, second = (ask("detect", picture).json() for _ in range(2))
    assert [face["face_rectangle"] for face in first["faces"]] == [
        {"top": 40, "left": 40, "width": 240, "height": 240},
        {"top": 40, "left": 320, "width": 160, "height": 160},
    ]
    assert first["face_num"] == 2
    assert first["image_id"] == second["image_id"]
    tokens = [face["face_token"] for face in first["faces"] + second["faces"]]
    assert len(set(tokens)) == 4
    assert all(re.fullmatch("[0-9a-f]{32}", token) for token in tokens)
    assert set(first["faces"][0]) == {"face_token", "face_rectangle"}


def test_detect_without_a_face(ask: Ask) -> None:
    answer = ask("detect", {"image_file": photo(1, faces=0)}).json()
    assert (answer["faces"], answer["face_num"]) == ([], 0)


def test_detect_leaves_out_faces_that_are_too_small(ask: Ask) -> None:
    assert len(ask("detect", {"image_file": photo(1, faces=2)}).json()["faces"]) == 1
    tall = photo(1, faces=2, size=(320, 4096))
    assert len(ask("detect", {"image_file": tall}).json()["faces"]) == 2


def test_landmarks_and_measured_attributes(ask: Ask) -> None:
    picture = {"image_file": photo(1, size=LARGE, faces=2)}
    asked = "headpose,blur,facequality"
    for kind in ("1", "2"):
        answer = ask("detect", picture, return_landmark=kind, return_attributes=asked)
        face = answer.json()["faces"][0]
        assert face["landmark"]["left_eye_center"] == {"x": 112, "y": 112}
        assert face["landmark"]["right_eye_pupil"] == {"x": 208, "y": 112}
        assert face["landmark"]["nose_tip"] == {"x": 160, "y": 168}
        assert face["landmark"]["mouth_right_corner"] == {"x": 208, "y": 208}
    assert set(face["attributes"]) == {"headpose", "blur", "facequality"}
    assert face["attributes"]["headpose"] == {
        "yaw_angle": 0.0,
        "pitch_angle": pytest.approx(0.0, abs=1e-6),
        "roll_angle": 0.0,
    }
    blurness = face["attributes"]["blur"]["blurness"]
    assert blurness["threshold"] == 50.0
    assert face["attributes"]["facequality"]["value"] == pytest.approx(100 - blurness["value"])


def test_attributes_that_nobody_measures_have_the_documented_shape(ask: Ask) -> None:
    asked = (
        "gender,age,smiling,glass,eyestatus,emotion,ethnicity,beauty,mouthstatus,eyegaze,skinstatus"
    )
    answer = ask("detect", {"image_file": photo(1)}, return_attributes=asked).json()
    attributes = answer["faces"][0]["attributes"]
    assert set(attributes) == set(asked.replace("smiling", "smile").split(","))
    assert set(attributes["smile"]) == {"value", "threshold"}
    for whole in (attributes["emotion"], attributes["mouthstatus"]):
        assert sum(whole.values()) == 100.0
    assert sum(attributes["eyestatus"]["left_eye_status"].values()) == 100.0


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"return_landmark": "3"}, (400, "BAD_ARGUMENTS: return_landmark")),
        ({"return_landmark": "all"}, (400, "BAD_ARGUMENTS: return_landmark")),
        ({"return_attributes": "age,mood"}, (400, "BAD_ARGUMENTS: return_attributes")),
        ({"calculate_all": "1"}, (403, "INSUFFICIENT_PERMISSION:calculate_all")),
        ({"face_rectangle": "1,1,9,9"}, (403, "INSUFFICIENT_PERMISSION:face_rectangle")),
    ],
)
def test_arguments_that_detect_refuses(
    ask: Ask, fields: dict[str, str], expected: tuple[int, str]
) -> None:
    assert error(ask("detect", {"image_file": photo(1)}, **fields)) == expected


@pytest.mark.parametrize(
    ("size", "file_format", "expected"),
    [
        ((47, 300), "PNG", "INVALID_IMAGE_SIZE: image_file"),
        ((4097, 300), "PNG", "INVALID_IMAGE_SIZE: image_file"),
        ((160, 120), "GIF", "IMAGE_ERROR_UNSUPPORTED_FORMAT: image_file"),
        ((160, 120), "BMP", "IMAGE_ERROR_UNSUPPORTED_FORMAT: image_file"),
    ],
)
def test_pictures_that_are_refused(
    ask: Ask, size: tuple[int, int], file_format: str, expected: str
) -> None:
    picture = photo(1, size=size, file_format=file_format)
    assert error(ask("detect", {"image_file": picture})) == (400, expected)


def test_pictures_at_the_limits(ask: Ask) -> None:
    for size in ((48, 48), (4096, 64)):
        assert ask("detect", {"image_file": photo(1, size=size)}).ok
    picture = photo(1)
    full = picture + bytes(2 * 1024 * 1024 - len(picture))
    assert len(ask("detect", {"image_file": full}).json()["faces"]) == 1
    too_large = error(ask("detect", {"image_file": full + b"x"}))
    assert too_large == (400, "IMAGE_FILE_TOO_LARGE: image_file")


def test_pictures_that_cannot_be_read(ask: Ask) -> None:
    unreadable = (400, "IMAGE_ERROR_UNSUPPORTED_FORMAT: image_base64")
    for text in ("a", "AAAA", "ä"):
        assert error(ask("detect", image_base64=text)) == unreadable
    cut = error(ask("detect", {"image_file": photo(1, size=LARGE)[:200]}))
    assert cut == (400, "IMAGE_ERROR_UNSUPPORTED_FORMAT: image_file")


def test_compare_tokens(ask: Ask, token: Callable[..., str]) -> None:
    same = ask("compare", face_token1=token(1), face_token2=token(1)).json()
    other = ask("compare", face_token1=token(1), face_token2=token(2)).json()
    assert same["confidence"] == 99.909  # of a cosine of 1: 100 / (1 + exp(-7))
    assert other["confidence"] == 0.669  # of a cosine of 0: 100 / (1 + exp(5))
    assert set(same) == {"confidence", "thresholds", "request_id", "time_used"}
    again = ask("compare", face_token1=token(1), face_token2=token(1)).json()
    assert same["thresholds"] == again["thresholds"] != other["thresholds"]
    for rate, threshold in THRESHOLDS.items():
        assert other["thresholds"][rate] == pytest.approx(threshold, abs=0.5)


def test_compare_pictures(ask: Ask, token: Callable[..., str]) -> None:
    pictures = {
        "image_file1": photo(1, size=LARGE, faces=2),
        "image_file2": photo(1, 2, size=LARGE),
    }
    answer = ask("compare", pictures).json()
    assert answer["confidence"] > 99.0
    assert [face["face_rectangle"]["width"] for face in answer["faces1"]] == [240, 160]
    assert len(answer["faces2"]) == 1
    assert answer["image_id1"] != answer["image_id2"]
    mixed = ask("compare", {"image_file1": pictures["image_file2"]}, face_token2=token(1)).json()
    assert mixed["confidence"] == answer["confidence"]
    assert "faces2" not in mixed
    found = answer["faces1"][1]["face_token"]
    person_6 = ask("compare", face_token1=found, face_token2=token(6)).json()
    assert person_6["confidence"] == 99.909


def test_compare_with_a_picture_in_which_no_face_is_large_enough(
    ask: Ask, token: Callable[..., str]
) -> None:
    answer = ask("compare", {"image_file1": photo(1)}, face_token2=token(1))
    assert answer.status_code == 200
    assert answer.json()["faces1"] == []
    assert set(answer.json()) == {"faces1", "image_id1", "request_id", "time_used"}


def test_arguments_that_compare_refuses(ask: Ask, token: Callable[..., str]) -> None:
    assert error(ask("compare", face_token1=token(1))) == (
        400,
        "MISSING_ARGUMENTS: image_url2, image_file2, image_base64_2, face_token2",
    )
    unknown = error(ask("compare", face_token1="f" * 32, face_token2="f" * 32))
    assert unknown == (400, f"INVALID_FACE_TOKEN: {'f' * 32}")
    paid = error(ask("compare", face_rectangle2="1,1,9,9"))
    assert paid == (403, "INSUFFICIENT_PERMISSION:face_rectangle2")


def test_search_by_token(ask: Ask, enrolled: dict[str, str], token: Callable[..., str]) -> None:
    probe = token(1, 3)
    top = ask("search", face_token=probe, outer_id="g").json()
    assert [result["user_id"] for result in top["results"]] == ["person 1"]
    assert set(top) == {"results", "thresholds", "request_id", "time_used"}
    five = ask("search", face_token=probe, outer_id="g", return_result_count=5).json()
    assert [result["user_id"] for result in five["results"]] == ["person 1", "person 0", "person 2"]
    assert enrolled[five["results"][0]["face_token"]] == "person 1"
    assert [result["confidence"] for result in five["results"]] == [99.844, 0.669, 0.669]


@pytest.mark.usefixtures("enrolled")
def test_search_ranks_faces_not_people(ask: Ask, token: Callable[..., str]) -> None:
    second = token(1, 4)
    ask("faceset/addface", outer_id="g", face_tokens=second)
    found = ask("search", face_token=token(1), outer_id="g", return_result_count=2).json()
    assert [result["user_id"] for result in found["results"]] == ["person 1", ""]
    assert found["results"][1]["face_token"] == second


@pytest.mark.usefixtures("enrolled")
def test_search_by_picture(ask: Ask) -> None:
    large = {"image_file": photo(2, 1, size=LARGE, faces=2)}
    answer = ask("search", large, outer_id="g").json()
    assert [result["user_id"] for result in answer["results"]] == ["person 2"]
    assert len(answer["faces"]) == 2
    small = ask("search", {"image_file": photo(2)}, outer_id="g")
    assert small.status_code == 200
    assert small.json()["faces"] == []
    assert set(small.json()) == {"faces", "image_id", "request_id", "time_used"}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, "MISSING_ARGUMENTS: faceset_token, outer_id"),
        ({"outer_id": "g", "faceset_token": "0"}, "COEXISTENCE_ARGUMENTS"),
        ({"outer_id": "other"}, "INVALID_OUTER_ID"),
        ({"faceset_token": "0" * 32}, "INVALID_FACESET_TOKEN"),
        ({"outer_id": "empty"}, "EMPTY_FACESET"),
        (
            {"outer_id": "g"},
            "MISSING_ARGUMENTS: image_url, image_file, image_base64, face_token",
        ),
        ({"outer_id": "g", "face_token": "f"}, "INVALID_FACE_TOKEN: f"),
        ({"outer_id": "g", "return_result_count": "0"}, "BAD_ARGUMENTS: return_result_count"),
        ({"outer_id": "g", "return_result_count": "6"}, "BAD_ARGUMENTS: return_result_count"),
    ],
)
@pytest.mark.usefixtures("enrolled")
def test_arguments_that_search_refuses(ask: Ask, fields: dict[str, str], expected: str) -> None:
    ask("faceset/create", outer_id="empty")
    assert error(ask("search", **fields)) == (400, expected)


def test_analyze(ask: Ask, token: Callable[..., str], enrolled: dict[str, str]) -> None:
    both = [token(1), next(iter(enrolled))]
    asked = {"face_tokens": ",".join(both), "return_landmark": "1", "return_attributes": "blur"}
    faces = ask("face/analyze", **asked).json()["faces"]
    assert [face["face_token"] for face in faces] == both
    assert set(faces[0]) == {"face_token", "face_rectangle", "landmark", "attributes"}
    void = error(ask("face/analyze", face_tokens=both[0], return_attributes="none"))
    assert void == (400, "VOID_REQUEST")
    six = ",".join(f"{n}" for n in range(6))
    too_many = error(ask("face/analyze", face_tokens=six, return_landmark="1"))
    assert too_many == (400, "INVALID_FACE_TOKENS_SIZE")
    unknown = error(ask("face/analyze", face_tokens="f", return_landmark="1"))
    assert unknown == (400, "INVALID_FACE_TOKEN: f")
