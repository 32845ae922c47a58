"""Photos that a client names by their address, as the services fetch them."""

import asyncio

import requests

_CHUNK_BYTES = 65536
_TIMEOUT_S = 10


async def download(url: str, *, bytes_max: int) -> bytes:
    """Return what is at an http(s) address, of at most `bytes_max` + 1 bytes.

    Raises ValueError if it cannot be had.
    """
    return await asyncio.to_thread(_get, url, bytes_max)


def _get(url: str, bytes_max: int) -> bytes:
    try:
        with requests.get(url, timeout=_TIMEOUT_S, stream=True) as answer:
            answer.raise_for_status()
            data = bytearray()
            for chunk in answer.iter_content(_CHUNK_BYTES):
                data += chunk
                if len(data) > bytes_max:
                    break
    except (requests.RequestException, UnicodeError) as error:
        raise ValueError(f"{type(error).__name__} at the photo's address") from error
    return bytes(data[: bytes_max + 1])
