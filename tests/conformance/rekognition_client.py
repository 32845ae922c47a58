"""Amazon's own client at the emulator: one attempt a call, photos in its form."""

from typing import Any

import boto3
from botocore.config import Config

from tests.providers.stub_emulator import photo

NOWHERE = "00000000-0000-0000-0000-000000000000"
"""The id of no face."""

ONCE = {"total_max_attempts": 1, "mode": "standard"}


def connect(url: str, *, key: str = "AKIDEXAMPLE", region: str = "eu-west-1", **config: Any) -> Any:
    return boto3.client(
        "rekognition",
        endpoint_url=url,
        region_name=region,
        aws_access_key_id=key,
        aws_secret_access_key="no secret",
        config=Config(**{"retries": ONCE, **config}),
    )


def image(*who: int, **what: Any) -> dict[str, bytes]:
    return {"Bytes": photo(*who, **what)}


def index(client: Any, *who: int, collection: str = "c", faces: int = 1, **more: Any) -> list[str]:
    """Index a photo whatever its quality; return the ids of its faces."""
    indexed = client.index_faces(
        CollectionId=collection, Image=image(*who, faces=faces), QualityFilter="NONE", **more
    )
    return [record["Face"]["FaceId"] for record in indexed["FaceRecords"]]
