"""What Face++'s errors mean to a run.

Codes: console.faceplusplus.com, documents 4888373 (detect), 4888381 (search), 4888389 (addface).
"""

from collections.abc import Sequence

import requests

from providers.base import Failure, FailureKind, PhotoRefusedError

UNREADABLE = "UNREADABLE_ANSWER"
_TRANSIENT_STATUSES = {408, 500, 502, 503, 504}
_BY_CODE = {
    UNREADABLE: FailureKind.TRANSIENT,
    "CONCURRENCY_LIMIT_EXCEEDED": FailureKind.THROTTLED,
    "AUTHENTICATION_ERROR": FailureKind.REFUSED,
    "AUTHORIZATION_ERROR": FailureKind.REFUSED,
    "INSUFFICIENT_PERMISSION": FailureKind.REFUSED,
    "FACESET_EXIST": FailureKind.CONFLICT,
    "INVALID_FACE_TOKEN": FailureKind.ABSENT,
    "INVALID_FACESET_TOKEN": FailureKind.ABSENT,
    "INVALID_OUTER_ID": FailureKind.ABSENT,
    "IMAGE_ERROR_UNSUPPORTED_FORMAT": FailureKind.PHOTO,
    "IMAGE_FILE_TOO_LARGE": FailureKind.PHOTO,
    "INVALID_IMAGE_SIZE": FailureKind.PHOTO,
    "FACE_QUOTA_EXCEEDED": FailureKind.QUOTA,  # told by one client, in no page of the service's
    "FACESET_QUOTA_EXCEEDED": FailureKind.QUOTA,
    "QUOTA_EXCEEDED": FailureKind.QUOTA,
}
_BY_STATUS = {
    403: FailureKind.REFUSED,
    413: FailureKind.PHOTO,
    429: FailureKind.THROTTLED,
}
_BROKEN_WIRE = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ContentDecodingError,
)
_REMEDY = (
    "To do: check FACEPP_API_KEY and FACEPP_API_SECRET, that they belong to the site of "
    "FACEPP_ENDPOINT (keys of api-us do not work at api-cn), and the account's balance."
)


class FaceppError(Exception):
    """An answer that is an error: its status, the service's code, and what it says beside it.

    `message` is the service's, "<code>: <argument>" with or without the space.
    """

    def __init__(self, status: int, message: str, *, code: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code or message.partition(":")[0].strip()


def classify(error: Exception, *, secrets: Sequence[str]) -> Failure:
    """Return an exception's meaning; `secrets` are cut out of its words."""
    if isinstance(error, PhotoRefusedError):
        return error.failure
    kind, code, message = FailureKind.FATAL, type(error).__name__, str(error)
    if isinstance(error, FaceppError):
        kind, code = _kind(error), error.code
    elif isinstance(error, _BROKEN_WIRE):
        kind = FailureKind.TRANSIENT
    if kind is FailureKind.REFUSED:
        message = f"{message}. {_REMEDY}"
    for secret in secrets:
        message = message.replace(secret, "[key]")
    return Failure(kind, code, message[:500])


def _kind(error: FaceppError) -> FailureKind:
    if error.status in _TRANSIENT_STATUSES:
        return FailureKind.TRANSIENT
    kind = _BY_CODE.get(error.code) or _BY_STATUS.get(error.status)
    return kind or FailureKind.FATAL
