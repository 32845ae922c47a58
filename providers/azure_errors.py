"""What the exceptions of Azure's SDK mean to a run.

Codes and texts: learn.microsoft.com, "Azure AI Face API error codes" (2025-08-21).
"""

import json
from typing import Any

from providers.base import Failure, FailureKind, PhotoRefusedError

_TRANSIENT_STATUSES = {408, 500, 502, 503, 504}
_BY_CODE = {
    "LargePersonGroupExists": FailureKind.CONFLICT,
    "LargePersonGroupTrainingNotFinished": FailureKind.BUSY,
    "ConcurrentOperationConflict": FailureKind.BUSY,
    "InvalidImage": FailureKind.PHOTO,
    "InvalidImageSize": FailureKind.PHOTO,
    "FaceNotFound": FailureKind.ABSENT,
    "LargePersonGroupNotFound": FailureKind.ABSENT,
    "PersonNotFound": FailureKind.ABSENT,
    "PersistedFaceNotFound": FailureKind.ABSENT,
    "QuotaExceeded": FailureKind.QUOTA,
    "RateLimitExceeded": FailureKind.THROTTLED,
}
_BY_STATUS = {
    401: FailureKind.REFUSED,
    403: FailureKind.REFUSED,
    404: FailureKind.ABSENT,
    409: FailureKind.BUSY,
    413: FailureKind.PHOTO,
    429: FailureKind.THROTTLED,
}
_APPROVAL = "missing approval"
_USED_UP = "call volume quota"
_KEY_REMEDY = (
    "To do: check AZURE_FACE_KEY and that AZURE_FACE_ENDPOINT belongs to the same resource."
)
_APPROVAL_REMEDY = (
    "To do: ask Microsoft for access to face identification and verification "
    "(https://aka.ms/facerecognition), or rehearse with --emulate."
)


def classify(error: Exception, *, secret: str) -> Failure:
    """Return an exception's meaning; `secret` is cut out of the service's own words."""
    from azure.core.exceptions import (
        DecodeError,
        HttpResponseError,
        ServiceRequestError,
        ServiceResponseError,
    )

    name = type(error).__name__
    if isinstance(error, PhotoRefusedError):
        return error.failure
    if isinstance(error, DecodeError | json.JSONDecodeError):
        # A gateway's HTML page, or an answer that was cut off.
        return Failure(FailureKind.TRANSIENT, name, "The answer is no complete JSON.")
    if isinstance(error, ServiceRequestError | ServiceResponseError):
        return Failure(FailureKind.TRANSIENT, name, _clean(str(error), secret))
    if isinstance(error, HttpResponseError):
        return _of_response(error, secret)
    return Failure(FailureKind.FATAL, name, _clean(str(error), secret))


def _of_response(error: Any, secret: str) -> Failure:
    """Classify an answer with an error status; `error` is the SDK's HttpResponseError."""
    status = int(error.status_code or 0)
    code = str(error.error.code) if error.error else str(status)
    message = str(error.error.message) if error.error else f"HTTP status {status}"
    kind, remedy = _kind(status, code, _body(error).lower())
    if remedy:
        message = f"{message} {remedy}"
    return Failure(
        kind,
        code,
        _clean(message, secret),
        retry_after_s=_retry_after_s(error),
        no_face="no face" in message.lower() and kind is FailureKind.PHOTO,
    )


def _kind(status: int, code: str, body: str) -> tuple[FailureKind, str]:
    """Return what an error status means and what to do about a refusal.

    At status 403 the code says little, and the telling words may be nested in `innererror`.
    """
    if status in _TRANSIENT_STATUSES:
        return FailureKind.TRANSIENT, ""
    if status == 403 and _APPROVAL in body:
        return FailureKind.REFUSED, _APPROVAL_REMEDY
    if status == 403 and _USED_UP in body:
        return FailureKind.QUOTA, ""
    kind = _BY_CODE.get(code) or _BY_STATUS.get(status) or FailureKind.FATAL
    return kind, _KEY_REMEDY if kind is FailureKind.REFUSED else ""


def _body(error: Any) -> str:
    return str(error.response.text()) if error.response is not None else ""


def _retry_after_s(error: Any) -> float | None:
    headers = error.response.headers if error.response is not None else {}
    try:
        return max(float(headers.get("Retry-After", "")), 0.0)
    except ValueError:
        return None


def _clean(text: str, secret: str) -> str:
    return text.replace(secret, "[key]")[:500]
