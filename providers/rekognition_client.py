"""Opening boto3's client of Rekognition; what can't be used is told as a UserError."""

from typing import TYPE_CHECKING

from audit.errors import UserError
from providers.endpoints import is_on_this_machine
from providers.rekognition_errors import refuse_unreadable

if TYPE_CHECKING:
    import boto3
    from botocore.credentials import Credentials
    from mypy_boto3_rekognition import RekognitionClient

_CONNECTIONS_MAX = 128  # kept open; more may be in flight
REMEDY = "set the AWS_* variables or AWS_PROFILE, or rehearse with --emulate"


def session(**settings: str | None) -> "boto3.Session":
    """Return boto3's session; half a pair of keys is refused, which boto3 would sign with."""
    import boto3
    from botocore.exceptions import BotoCoreError

    if bool(settings["aws_access_key_id"]) != bool(settings["aws_secret_access_key"]):
        raise UserError(
            "One of the two AWS keys is missing.",
            expected="AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY together",
            remedy=REMEDY,
        )
    try:
        return boto3.Session(**settings)  # type: ignore[arg-type] # the stubs want no None
    except BotoCoreError as error:
        raise UserError(f"The AWS settings can't be used: {error}.", remedy=REMEDY) from error


def credentials(session: "boto3.Session") -> "Credentials":
    """Return where the keys come from; those of a role are fetched when first needed."""
    from botocore.exceptions import BotoCoreError

    try:
        found = session.get_credentials()
    except BotoCoreError as error:
        raise UserError(f"The AWS credentials can't be read: {error}.", remedy=REMEDY) from error
    if found is None:
        raise UserError("There are no AWS credentials.", remedy=REMEDY)
    return found


def connect(
    session: "boto3.Session", endpoint: str | None, connect_timeout_s: float, read_timeout_s: float
) -> "RekognitionClient":
    """Return the SDK's client; it makes no call yet."""
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    # The environment's proxies are not for this machine's own emulators.
    is_local = endpoint is not None and is_on_this_machine(endpoint)
    config = Config(
        connect_timeout=connect_timeout_s,
        read_timeout=read_timeout_s,
        max_pool_connections=_CONNECTIONS_MAX,
        # Said here, the environment's AWS_MAX_ATTEMPTS and AWS_RETRY_MODE do not count.
        retries={"total_max_attempts": 1, "mode": "standard"},
        proxies={} if is_local else None,
    )
    try:
        client = session.client("rekognition", endpoint_url=endpoint, config=config)
    except (BotoCoreError, ValueError) as error:
        raise UserError(
            f"Rekognition can't be addressed: {error}.",
            expected="a region, as us-east-1, and no endpoint or an http(s) address",
            remedy="set AWS_REGION, or rehearse with --emulate",
        ) from error
    client.meta.events.register("before-parse.rekognition", refuse_unreadable)
    return client
