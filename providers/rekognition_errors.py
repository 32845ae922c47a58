"""What the exceptions of boto3 mean to a run.

Codes: Rekognition developer guide, "Error handling"; AWS General Reference, "Common errors".
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from providers.base import Failure, FailureKind, PhotoRefusedError

_TRANSIENT_STATUSES = {408, 500, 502, 503, 504}
_BY_CODE = {
    "ProvisionedThroughputExceededException": FailureKind.THROTTLED,
    "ThrottlingException": FailureKind.THROTTLED,
    "LimitExceededException": FailureKind.THROTTLED,
    "InternalServerError": FailureKind.TRANSIENT,
    "InvalidImageFormatException": FailureKind.PHOTO,
    "ImageTooLargeException": FailureKind.PHOTO,
    "ResourceAlreadyExistsException": FailureKind.CONFLICT,
    "ResourceNotFoundException": FailureKind.ABSENT,
    "ServiceQuotaExceededException": FailureKind.QUOTA,
    "AccessDenied": FailureKind.REFUSED,
    "AccessDeniedException": FailureKind.REFUSED,
    "ExpiredToken": FailureKind.REFUSED,
    "ExpiredTokenException": FailureKind.REFUSED,
    "IncompleteSignatureException": FailureKind.REFUSED,
    "InvalidClientTokenId": FailureKind.REFUSED,
    "InvalidSignatureException": FailureKind.REFUSED,
    "MissingAuthenticationTokenException": FailureKind.REFUSED,
    "OptInRequired": FailureKind.REFUSED,
    "SignatureDoesNotMatch": FailureKind.REFUSED,
    "SubscriptionRequiredException": FailureKind.REFUSED,
    "UnrecognizedClientException": FailureKind.REFUSED,
}
_BY_STATUS = {
    401: FailureKind.REFUSED,
    403: FailureKind.REFUSED,
    413: FailureKind.PHOTO,
    429: FailureKind.THROTTLED,
}
_PHOTO_OPERATIONS = {"IndexFaces", "SearchFacesByImage", "SearchUsersByImage"}
_PARAMETER_CODES = {"InvalidParameterException", "ValidationException"}
# The service says of a photo that is too small no more than that parameters are invalid.
_ABOUT_PHOTO = re.compile(r"\bimage\b|^request has invalid parameters\W*$", re.IGNORECASE)
_REMEDY = (
    "To do: check the AWS keys, that they may use Rekognition in this region, and this machine's "
    "clock."
)


class UnreadableAnswerError(Exception):
    """An answer that was cut off, or one with success that is no JSON: a gateway's page."""


def refuse_unreadable(response_dict: Mapping[str, Any], **_: Any) -> None:
    """Raise UnreadableAnswerError where botocore would silently read less than was sent."""
    body: bytes = response_dict["body"]
    if response_dict["headers"].get("content-length", str(len(body))) != str(len(body)):
        raise UnreadableAnswerError("The answer was cut off.")
    if response_dict["status_code"] >= 300:
        return
    try:
        json.loads(body or b"{}")
    except ValueError as error:
        raise UnreadableAnswerError("The answer is no complete JSON.") from error


def classify(error: Exception, *, secrets: Sequence[str]) -> Failure:
    """Return an exception's meaning; `secrets` are cut out of its words."""
    failure = _classify(error)
    message = failure.message
    for secret in secrets:
        message = message.replace(secret, "[key]")
    return replace(failure, message=message[:500])


def _classify(error: Exception) -> Failure:
    from botocore import exceptions as sdk
    from botocore.parsers import ResponseParserError

    name = type(error).__name__
    match error:
        case PhotoRefusedError():
            return error.failure
        case sdk.ClientError():
            return _of_response(error.operation_name, error.response)
        case sdk.ParamValidationError():
            # Its text quotes the values, which may be photos.
            parameters = ", ".join(re.findall(r"parameter (\S+),", str(error)))
            return Failure(FailureKind.FATAL, name, f"The SDK refuses to send {parameters}.")
        case (
            UnreadableAnswerError()
            | ResponseParserError()
            | sdk.HTTPClientError()
            | sdk.ConnectionError()
            | sdk.IncompleteReadError()
        ):
            return Failure(FailureKind.TRANSIENT, name, str(error))
        case (
            sdk.NoCredentialsError()
            | sdk.PartialCredentialsError()
            | sdk.CredentialRetrievalError()
            | sdk.TokenRetrievalError()
            | sdk.SSOError()
        ):
            return Failure(FailureKind.REFUSED, name, f"{error}. {_REMEDY}")
    return Failure(FailureKind.FATAL, name, str(error))


def _of_response(operation: str, response: Mapping[str, Any]) -> Failure:
    """Classify an answer with an error status, as the SDK has parsed it."""
    metadata = response["ResponseMetadata"]
    status, code = int(metadata["HTTPStatusCode"]), str(response["Error"]["Code"])
    message = _first_line(str(response["Error"]["Message"])) or f"HTTP status {status}"
    kind = _kind(operation, status, code, message)
    return Failure(
        kind,
        code,
        f"{message} {_REMEDY}" if kind is FailureKind.REFUSED else message,
        retry_after_s=_retry_after_s(metadata.get("HTTPHeaders", {})),
        no_face=kind is FailureKind.PHOTO and "no faces" in message.lower(),
    )


def _kind(operation: str, status: int, code: str, message: str) -> FailureKind:
    if code == "ConflictException":
        # A user that exists already, or one that another request changes just now.
        return FailureKind.CONFLICT if operation == "CreateUser" else FailureKind.BUSY
    if code in _PARAMETER_CODES and operation in _PHOTO_OPERATIONS and _ABOUT_PHOTO.search(message):
        return FailureKind.PHOTO
    if code in _BY_CODE:
        return _BY_CODE[code]
    if status in _TRANSIENT_STATUSES:
        return FailureKind.TRANSIENT
    return _BY_STATUS.get(status, FailureKind.FATAL)


def _first_line(text: str) -> str:
    """Return what the service says; below, it may repeat a signed request, tokens included.

    Empty for a gateway's page.
    """
    return "" if text.lstrip().startswith("<") else text.strip().partition("\n")[0]


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    try:
        return max(float(headers.get("x-amz-retry-after", "")) / 1000, 0.0)
    except ValueError:
        return None
