"""Rekognition on the wire: signed requests in, JSON 1.1 answers and errors out.

Texts: Rekognition developer guide, "Error handling"; AWS General Reference, "Common errors".
"""

import json
import math
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

ACCOUNT = "123456789012"
_SERVICE = "rekognition"
_SIGNATURE = re.compile(
    r"AWS4-HMAC-SHA256\s+Credential=(?P<key>[^/,\s]+)/\d{8}/(?P<region>[a-z0-9-]+)"
    r"/(?P<service>[a-z0-9-]+)/aws4_request,\s*SignedHeaders=[^,\s]+,\s*Signature=[0-9a-f]{64}\s*"
)
_TARGET = re.compile(r"RekognitionService\.(\w+)")


class ServiceError(Exception):
    """An answer with an error status."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status

    def response(self, retry_after_s: float | None = None) -> Response:
        """Return the error as the service words it."""
        body = {"__type": self.code, "Code": self.code, "Message": self.message}
        response = answer(body, self.status)
        if retry_after_s is not None:
            response.headers["x-amz-retry-after"] = str(math.ceil(1000 * retry_after_s))
        return response


@dataclass(frozen=True, slots=True)
class Call:
    """One request for an operation: its checked parameters and the region that it was signed for.

    A region knows nothing of another region's collections.
    """

    region: str
    parameters: Mapping[str, Any]


def answer(body: Mapping[str, Any], status: int = 200) -> Response:
    """Return a JSON answer with a request id."""
    text = json.dumps(body, separators=(",", ":"))
    headers = {"x-amzn-RequestId": str(uuid.uuid4())}
    return Response(text, status, headers, media_type="application/x-amz-json-1.1")


def invalid_parameters() -> ServiceError:
    """Return the error that says no more than that something is wrong."""
    return ServiceError("InvalidParameterException", "Request has invalid parameters")


def target(request: Request) -> str | None:
    """Return the operation that a request names."""
    named = _TARGET.fullmatch(request.headers.get("x-amz-target", ""))
    return named[1] if named and request.method == "POST" and request.url.path == "/" else None


def signer(request: Request) -> tuple[str, str]:
    """Return the access key id and the region of a signature (Signature Version 4).

    Raises ServiceError for a signature that is missing or malformed. It is not verified: nobody
    here knows the secret.
    """
    header = request.headers.get("authorization")
    if header is None:
        code = "MissingAuthenticationTokenException"
        raise ServiceError(code, "Missing Authentication Token")
    signature = _SIGNATURE.fullmatch(header.strip())
    if signature is None:
        message = "Authorization header requires 'Credential', 'SignedHeaders' and 'Signature'."
        raise ServiceError("IncompleteSignatureException", message)
    if not {"x-amz-date", "date"} & set(request.headers.keys()):
        message = (
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header."
        )
        raise ServiceError("IncompleteSignatureException", message)
    if signature["service"] != _SERVICE:
        message = f"Credential should be scoped to correct service: '{_SERVICE}'."
        raise ServiceError("InvalidSignatureException", message)
    return signature["key"], signature["region"]


async def json_body(request: Request) -> Any:
    """Return what a request's JSON says; nothing at all counts as no parameters."""
    try:
        return json.loads(await request.body() or b"{}", parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise serialization_error("Could not parse the request body into JSON") from error


def serialization_error(message: str) -> ServiceError:
    """Return the error for what is no JSON or has a value of a wrong type."""
    return ServiceError("SerializationException", message)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
