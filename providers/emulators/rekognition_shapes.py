"""The parameters of every operation, after the service model of 2016-06-27."""

from collections.abc import Mapping

from providers.emulators.rekognition_validation import (
    Blob,
    Number,
    Shape,
    Structure,
    Text,
    TextMap,
    Texts,
)

_UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_TAG_KEY = Text(r"^(?!aws:)[\p{L}\p{Z}\p{N}_.:/=+\-@]*$", 1, 128)
_TAG_VALUE = Text(r"^([\p{L}\p{Z}\p{N}_.:/=+\-@]*)$", 0, 256)
_COLLECTION_ID = Text(r"[a-zA-Z0-9_.\-]+", 1, 255)
_EXTERNAL_IMAGE_ID = Text(r"[a-zA-Z0-9_.\-:]+", 1, 255)
_FACE_ID = Text(_UUID)
_FACE_IDS = Texts(_FACE_ID, 1, 4096)
_USER_ID = Text(r"[a-zA-Z0-9_.\-:]+", 1, 128)
_USER_FACE_IDS = Texts(_FACE_ID, 1, 100)
_CLIENT_REQUEST_TOKEN = Text("^[a-zA-Z0-9-_]+$", 1, 64)
_PAGINATION_TOKEN = Text(longest=255)
_PAGE_SIZE = Number(0, 4096)
_MAX_FACES = Number(1, 4096)
_MAX_USERS = Number(1, 500)
_PERCENT = Number(0, 100, whole=False)
_QUALITY_FILTER = Text(choices=("NONE", "AUTO", "LOW", "MEDIUM", "HIGH"))
_TAGS = TextMap(_TAG_KEY, _TAG_VALUE, 200)
ATTRIBUTES = (
    "DEFAULT",
    "ALL",
    "AGE_RANGE",
    "BEARD",
    "EMOTIONS",
    "EYE_DIRECTION",
    "EYEGLASSES",
    "EYES_OPEN",
    "GENDER",
    "MOUTH_OPEN",
    "MUSTACHE",
    "FACE_OCCLUDED",
    "SMILE",
    "SUNGLASSES",
)
_ATTRIBUTES = Texts(Text(choices=ATTRIBUTES))
_S3_OBJECT = Structure(
    {
        "Bucket": Text(r"[0-9A-Za-z\.\-_]*", 3, 255),
        "Name": Text("", 1, 1024),
        "Version": Text("", 1, 1024),
    }
)
_IMAGE = Structure({"Bytes": Blob(), "S3Object": _S3_OBJECT})
_COLLECTION: dict[str, Shape] = {"CollectionId": _COLLECTION_ID}
_PAGE: dict[str, Shape] = {"NextToken": _PAGINATION_TOKEN, "MaxResults": _PAGE_SIZE}
_USER: dict[str, Shape] = _COLLECTION | {
    "UserId": _USER_ID,
    "ClientRequestToken": _CLIENT_REQUEST_TOKEN,
}
_USER_SEARCH: dict[str, Shape] = _COLLECTION | {
    "UserMatchThreshold": _PERCENT,
    "MaxUsers": _MAX_USERS,
}
_FACE_SEARCH: dict[str, Shape] = _COLLECTION | {
    "MaxFaces": _MAX_FACES,
    "FaceMatchThreshold": _PERCENT,
}

REQUESTS: Mapping[str, Structure] = {
    "CreateCollection": Structure(_COLLECTION | {"Tags": _TAGS}, ["CollectionId"]),
    "DescribeCollection": Structure(_COLLECTION, ["CollectionId"]),
    "ListCollections": Structure(_PAGE),
    "DeleteCollection": Structure(_COLLECTION, ["CollectionId"]),
    "IndexFaces": Structure(
        _COLLECTION
        | {
            "Image": _IMAGE,
            "ExternalImageId": _EXTERNAL_IMAGE_ID,
            "DetectionAttributes": _ATTRIBUTES,
            "MaxFaces": Number(1),
            "QualityFilter": _QUALITY_FILTER,
        },
        ["CollectionId", "Image"],
    ),
    "SearchFacesByImage": Structure(
        _FACE_SEARCH | {"Image": _IMAGE, "QualityFilter": _QUALITY_FILTER},
        ["CollectionId", "Image"],
    ),
    "SearchFaces": Structure(_FACE_SEARCH | {"FaceId": _FACE_ID}, ["CollectionId", "FaceId"]),
    "ListFaces": Structure(
        _COLLECTION | _PAGE | {"UserId": _USER_ID, "FaceIds": _FACE_IDS}, ["CollectionId"]
    ),
    "DeleteFaces": Structure(_COLLECTION | {"FaceIds": _FACE_IDS}, ["CollectionId", "FaceIds"]),
    "CreateUser": Structure(_USER, ["CollectionId", "UserId"]),
    "DeleteUser": Structure(_USER, ["CollectionId", "UserId"]),
    "ListUsers": Structure(
        _COLLECTION | {"MaxResults": _MAX_USERS, "NextToken": _PAGINATION_TOKEN}, ["CollectionId"]
    ),
    "AssociateFaces": Structure(
        _USER | {"FaceIds": _USER_FACE_IDS, "UserMatchThreshold": _PERCENT},
        ["CollectionId", "UserId", "FaceIds"],
    ),
    "DisassociateFaces": Structure(
        _USER | {"FaceIds": _USER_FACE_IDS}, ["CollectionId", "UserId", "FaceIds"]
    ),
    "SearchUsers": Structure(
        _USER_SEARCH | {"UserId": _USER_ID, "FaceId": _FACE_ID}, ["CollectionId"]
    ),
    "SearchUsersByImage": Structure(
        _USER_SEARCH | {"Image": _IMAGE, "QualityFilter": _QUALITY_FILTER},
        ["CollectionId", "Image"],
    ),
    "CompareFaces": Structure(
        {
            "SourceImage": _IMAGE,
            "TargetImage": _IMAGE,
            "SimilarityThreshold": _PERCENT,
            "QualityFilter": _QUALITY_FILTER,
        },
        ["SourceImage", "TargetImage"],
    ),
    "DetectFaces": Structure({"Image": _IMAGE, "Attributes": _ATTRIBUTES}, ["Image"]),
}
