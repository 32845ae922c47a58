"""Every operation's answer against the published OpenAPI description of v1.2.

The facts below are written down by hand from the description's definitions: members, which of them
are required, types, patterns, lengths and ranges. A member that is not described is an error. That
`message` and `userData` may be null is seen in the description's own examples and in use.
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import requests

from providers.emulators.azure import AzureEmulator
from providers.emulators.options import Options
from tests.providers.stub_emulator import CALIBRATION, StubRecogniser, photo

Ask = Callable[..., requests.Response]
Fact = dict[str, Any]

UUID: Fact = {"type": str, "pattern": r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"}
CONTAINER_ID: Fact = {"type": str, "pattern": r"[a-z0-9\-_]{1,64}"}
UTC: Fact = {"type": str, "pattern": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"}
NAME: Fact = {"type": str, "pattern": r"(?s).{1,128}"}
USER_DATA: Fact = {"type": str, "pattern": r"(?s).{0,16384}", "null": True}
FACE_USER_DATA: Fact = {"type": str, "pattern": r"(?s).{0,1024}", "null": True}
UNIT: Fact = {"type": float, "range": (0, 1)}
NUMBER: Fact = {"type": float}
PIXELS: Fact = {"type": int}
FLAG: Fact = {"type": bool}
RECOGNITION_MODEL: Fact = {"type": str, "pattern": "recognition_0[1-4]"}


def one_of(*words: str) -> Fact:
    return {"type": str, "pattern": "|".join(words)}


def array(items: Fact, most: int = 1000) -> Fact:
    return {"type": list, "items": items, "most": most}


def record(optional: Fact | None = None, **required: Fact) -> Fact:
    return {"type": dict, "required": required, "optional": optional or {}}


POINTS = """pupilLeft pupilRight noseTip mouthLeft mouthRight eyebrowLeftOuter eyebrowLeftInner
eyeLeftOuter eyeLeftTop eyeLeftBottom eyeLeftInner eyebrowRightInner eyebrowRightOuter eyeRightInner
eyeRightTop eyeRightBottom eyeRightOuter noseRootLeft noseRootRight noseLeftAlarTop noseRightAlarTop
noseLeftAlarOutTip noseRightAlarOutTip upperLipTop upperLipBottom underLipTop underLipBottom"""
LEVEL = one_of("low", "medium", "high")
ATTRIBUTES = record(
    {
        "headPose": record(pitch=NUMBER, roll=NUMBER, yaw=NUMBER),
        "blur": record(blurLevel=LEVEL, value=UNIT),
        "exposure": record(
            exposureLevel=one_of("underExposure", "goodExposure", "overExposure"), value=UNIT
        ),
        "noise": record(noiseLevel=LEVEL, value=UNIT),
        "mask": record(
            noseAndMouthCovered=FLAG,
            type=one_of("faceMask", "noMask", "otherMaskOrOcclusion", "uncertain"),
        ),
        "glasses": one_of("noGlasses", "readingGlasses", "sunglasses", "swimmingGoggles"),
        "occlusion": record(foreheadOccluded=FLAG, eyeOccluded=FLAG, mouthOccluded=FLAG),
        "accessories": array(record(type=one_of("headwear", "glasses", "mask"), confidence=UNIT)),
        "qualityForRecognition": LEVEL,
    }
)
DETECTED = record(
    {
        "faceId": UUID,
        "recognitionModel": RECOGNITION_MODEL,
        "faceLandmarks": record(**{point: record(x=NUMBER, y=NUMBER) for point in POINTS.split()}),
        "faceAttributes": ATTRIBUTES,
    },
    faceRectangle=record(top=PIXELS, left=PIXELS, width=PIXELS, height=PIXELS),
)
TRAINING = record(
    {"message": {"type": str, "null": True}},
    status=one_of("notStarted", "running", "succeeded", "failed"),
    createdDateTime=UTC,
    lastActionDateTime=UTC,
    lastSuccessfulTrainingDateTime=UTC,
)
ADDED = record(persistedFaceId=UUID)
FACE = record({"userData": FACE_USER_DATA}, persistedFaceId=UUID)
PERSON = record(
    {"userData": USER_DATA, "persistedFaceIds": array(UUID, 248)}, personId=UUID, name=NAME
)
IDENTIFIED = array(
    record(faceId=UUID, candidates=array(record(personId=UUID, confidence=UNIT), 100)), 10
)
VERIFIED = record(isIdentical=FLAG, confidence=UNIT)
SIMILAR = array(record({"faceId": UUID, "persistedFaceId": UUID}, confidence=UNIT))
GROUPED = record(groups=array(array(UUID)), messyGroup=array(UUID))


def container(id_field: str, **more: Fact) -> Fact:
    optional = {"userData": USER_DATA, "recognitionModel": RECOGNITION_MODEL, **more}
    return record(optional, **{id_field: CONTAINER_ID, "name": NAME})


class Step(NamedTuple):
    """A request, and what is described of its answer; None: an empty one."""

    operation: str
    method: str
    path: str
    body: Any
    answer: Fact | None


PHOTO = object()
NEW = {"name": "n", "userData": "u", "recognitionModel": "recognition_04"}
MODELS = "recognitionModel=recognition_04&returnRecognitionModel=true&returnFaceLandmarks=true"
OLD_ATTRIBUTES = "accessories,blur,exposure,glasses,headPose,noise,occlusion,qualityForRecognition"


def containers_of(noun: str, path: str, members: list[Step], *, trains: bool = True) -> list[Step]:
    """Return the life of a container; training comes after its members are there."""
    id_field = f"{noun[0].lower()}{noun[1:]}Id"
    shown = container(id_field)
    whole = shown if trains else container(id_field, persistedFaces=array(FACE))
    training = [
        Step(f"Train{noun}", "POST", f"{path}/train", None, None),
        Step(f"Get{noun}TrainingStatus", "GET", f"{path}/training", None, TRAINING),
    ]
    return [
        Step(f"Create{noun}", "PUT", path, NEW, None),
        *members,
        *(training if trains else []),
        Step(f"Get{noun}", "GET", f"{path}?returnRecognitionModel=true", None, whole),
        Step(f"Get{noun}s", "GET", path.rpartition("/")[0], None, array(shown)),
        Step(f"Update{noun}", "PATCH", path, {"name": "m"}, None),
    ]


def persons_of(noun: str, path: str) -> list[Step]:
    persons = f"{path}/persons"
    person = f"{persons}/{{personId}}"
    face = f"{person}/persistedfaces/{{persistedFaceId}}"
    return [
        Step(f"Create{noun}Person", "POST", persons, NEW, record(personId=UUID)),
        Step(f"Add{noun}PersonFace", "POST", f"{person}/persistedfaces", PHOTO, ADDED),
        Step(f"Get{noun}PersonFace", "GET", face, None, FACE),
        Step(f"Update{noun}PersonFace", "PATCH", face, {"userData": "v"}, None),
        Step(f"Get{noun}Person", "GET", person, None, PERSON),
        Step(f"Get{noun}Persons", "GET", f"{persons}?start=&top=10", None, array(PERSON)),
        Step(f"Update{noun}Person", "PATCH", person, {"name": "m"}, None),
    ]


def faces_of(noun: str, path: str) -> list[Step]:
    faces = f"{path}/persistedfaces"
    face = f"{faces}/{{persistedFaceId}}"
    add = Step(f"Add{noun}Face", "POST", f"{faces}?userData=u", PHOTO, ADDED)
    if noun == "FaceList":
        return [add]
    return [
        add,
        Step(f"Get{noun}Face", "GET", face, None, FACE),
        Step(f"Update{noun}Face", "PATCH", face, {"userData": "v"}, None),
        Step(f"Get{noun}Faces", "GET", faces, None, array(FACE)),
    ]


def group_steps(noun: str, path: str) -> list[Step]:
    scope = {f"{noun[0].lower()}{noun[1:]}Id": "c"}
    face = "{personId}/persistedfaces/{persistedFaceId}"
    verify = {"faceId": "{faceId}", "personId": "{personId}"} | scope
    return [
        *containers_of(noun, path, persons_of(noun, path)),
        Step("Identify", "POST", "/identify", {"faceIds": ["{faceId}"]} | scope, IDENTIFIED),
        Step("Verify", "POST", "/verify", verify, VERIFIED),
        Step(f"Delete{noun}PersonFace", "DELETE", f"{path}/persons/{face}", None, None),
        Step(f"Delete{noun}Person", "DELETE", f"{path}/persons/{{personId}}", None, None),
        Step(f"Delete{noun}", "DELETE", path, None, None),
    ]


def list_steps(noun: str, path: str) -> list[Step]:
    search = {"faceId": "{faceId}", f"{noun[0].lower()}{noun[1:]}Id": "c"}
    face = f"{path}/persistedfaces/{{persistedFaceId}}"
    return [
        *containers_of(noun, path, faces_of(noun, path), trains=noun != "FaceList"),
        Step("FindSimilar", "POST", "/findsimilars", search, SIMILAR),
        Step(f"Delete{noun}Face", "DELETE", face, None, None),
        Step(f"Delete{noun}", "DELETE", path, None, None),
    ]


def detect(more: str) -> Step:
    return Step("Detect", "POST", f"/detect?{MODELS}&{more}", PHOTO, array(DETECTED, 100))


ID_FIELDS = ("faceId", "personId", "persistedFaceId")
PAIR = {"faceIds": ["{faceId}", "{faceId}"]}
STEPS = [
    detect(f"returnFaceAttributes={OLD_ATTRIBUTES}"),
    detect("detectionModel=detection_03&returnFaceAttributes=mask,headPose"),
    Step("Verify", "POST", "/verify", {"faceId1": "{faceId}", "faceId2": "{faceId}"}, VERIFIED),
    Step("FindSimilar", "POST", "/findsimilars", {"faceId": "{faceId}"} | PAIR, SIMILAR),
    Step("Group", "POST", "/group", PAIR, GROUPED),
    *group_steps("LargePersonGroup", "/largepersongroups/c"),
    *group_steps("PersonGroup", "/persongroups/c"),
    *list_steps("LargeFaceList", "/largefacelists/c"),
    *list_steps("FaceList", "/facelists/c"),
]


def deviations(value: Any, fact: Fact, where: str) -> list[str]:
    """Return how a value differs from what is described."""
    if value is None and fact.get("null"):
        return []
    expected = fact["type"]
    number = expected is float and type(value) is int
    if type(value) is not expected and not number:
        return [f"{where}: {value!r} is no {expected.__name__}"]
    if expected is dict:
        members = fact["required"] | fact["optional"]
        found = [f"{where}.{name}: missing" for name in set(fact["required"]) - set(value)]
        found += [f"{where}.{name}: not described" for name in set(value) - set(members)]
        for name in set(value) & set(members):
            found += deviations(value[name], members[name], f"{where}.{name}")
        return found
    if expected is list:
        found = [f"{where}: more than {fact['most']}"] if len(value) > fact["most"] else []
        for place, item in enumerate(value):
            found += deviations(item, fact["items"], f"{where}[{place}]")
        return found
    low, high = fact.get("range", (value, value))
    fits = re.fullmatch(fact.get("pattern", ""), value) if "pattern" in fact else True
    return [] if fits and low <= value <= high else [f"{where}: {value!r}"]


def filled(template: Any, ids: dict[str, str]) -> Any:
    """Put the ids seen so far in their places."""
    if isinstance(template, str):
        return re.sub(r"\{(\w+)\}", lambda name: ids[name[1]], template)
    if isinstance(template, list):
        return [filled(item, ids) for item in template]
    if isinstance(template, dict):
        return {name: filled(item, ids) for name, item in template.items()}
    return template


def test_every_answer_is_as_described(ask: Ask, endpoint: str) -> None:
    ids: dict[str, str] = {}
    found: list[str] = []
    for step in STEPS:
        body = {"data": photo(0)} if step.body is PHOTO else {"json": filled(step.body, ids)}
        answer = ask(step.method, filled(step.path, ids), **body)
        assert answer.status_code == (202 if step.operation.startswith("Train") else 200), step
        if step.answer is None:
            assert answer.content == b"", step
            continue
        document = answer.json()
        assert document, step
        found += deviations(document, step.answer, step.operation)
        first = document[0] if isinstance(document, list) else document
        ids |= {name: first[name] for name in ID_FIELDS if name in first}
    assert found == []
    log = requests.get(f"{endpoint}/__emulator__/log", timeout=10).json()
    assert [row["operation"] for row in log] == [step.operation for step in STEPS]


def test_no_operation_is_left_out() -> None:
    emulator = AzureEmulator(StubRecogniser(), CALIBRATION, Options())
    assert emulator.operations == {step.operation for step in STEPS}
    emulator.close()


def test_errors_are_as_described(ask: Ask) -> None:
    answer = ask("GET", "/facelists/none")
    described = record(error=record(code=NAME, message=NAME))
    assert deviations(answer.json(), described, "error") == []
    assert answer.headers["x-ms-error-code"] == answer.json()["error"]["code"]
