"""Downloading one file over HTTP so that an interruption costs nothing."""

from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import requests

from audit.errors import Stopped

Progress = Callable[[int, int | None], None]
"""Called with bytes done and the file's total (None = the server doesn't tell)."""

_CONNECT_TIMEOUT_S = 10
_READ_TIMEOUT_S = 60
_CHUNK_BYTES = 1 << 14  # what a broken connection loses at most


def download(url: str, part: Path, on_progress: Progress | None = None, *, remedy: str) -> None:
    """Download into `part`, going on where it ends, as long as each try brings more bytes.

    Raises Stopped when the server can't be reached, answers with an error status or breaks off
    without progress; what has come stays in `part` for the next call. `remedy` is another way.
    """
    while True:
        before = _size(part)
        try:
            _request(url, part, on_progress)
        except requests.RequestException as error:
            if isinstance(error, requests.HTTPError) or _size(part) <= before:
                # Not chained: the text of requests' errors may hold a mirror's credentials.
                raise _stopped(url, error, remedy) from None
        else:
            return


def _request(url: str, part: Path, on_progress: Progress | None) -> None:
    done = _size(part)
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={done}-"} if done else {})
    timeout = (_CONNECT_TIMEOUT_S, _READ_TIMEOUT_S)
    with requests.get(url, headers=headers, stream=True, timeout=timeout) as response:
        if done and response.status_code == requests.codes.requested_range_not_satisfiable:
            part.unlink()
            _request(url, part, on_progress)
            return
        response.raise_for_status()
        resumed = response.headers.get("Content-Range", "").startswith(f"bytes {done}-")
        _save(response, part, done if resumed else 0, on_progress)


def _save(response: requests.Response, part: Path, done: int, on_progress: Progress | None) -> None:
    length = response.headers.get("Content-Length")
    total = done + int(length) if length else None
    with part.open("ab" if done else "wb") as file:
        for chunk in response.iter_content(_CHUNK_BYTES):
            file.write(chunk)
            done += len(chunk)
            if on_progress is not None:
                on_progress(done, total)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _stopped(url: str, error: requests.RequestException, remedy: str) -> Stopped:
    parts = urlsplit(url)
    status = error.response.status_code if error.response is not None else None
    reason = f"the server answers {status}" if status else type(error).__name__
    return Stopped(
        f"{parts.path.rpartition('/')[2]} can't be downloaded: {reason}",
        expected=f"{parts.scheme}://{parts.hostname}{parts.path} to be reachable",
        remedy=f"call again to go on where it stopped, or {remedy}",
    )
