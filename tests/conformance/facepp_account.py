"""A Face++ account at an emulator, spoken to without an adapter."""

import contextlib
from collections.abc import Iterator
from typing import Any

import requests

from providers.emulators.options import Options
from providers.emulators.server import running
from tests.providers.stub_emulator import CALIBRATION, StubRecogniser, photo

KEY = {"api_key": "any", "api_secret": "any"}


class FaceppAccount:
    """An account with a clock that the test moves."""

    def __init__(self) -> None:
        self.url = ""
        self.now = 1_700_000_000.0

    @contextlib.contextmanager
    def opened(self, **more: Any) -> Iterator["FaceppAccount"]:
        """Run an emulator of its own meanwhile."""
        options = Options(clock=lambda: self.now, **more)
        with running("facepp", StubRecogniser(), CALIBRATION, options=options) as self.url:
            yield self

    def ask(self, operation: str, files: Any = None, **fields: Any) -> requests.Response:
        url = f"{self.url}/facepp/v3/{operation}"
        return requests.post(url, data=KEY | fields, files=files, timeout=10)

    def done(self, operation: str, **fields: Any) -> dict[str, Any]:
        answer = self.ask(operation, **fields)
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    def error(self, operation: str, **fields: Any) -> str:
        answer = self.ask(operation, **fields)
        assert answer.status_code == 400, answer.text
        return str(answer.json()["error_message"])

    def tokens(self, count: int, person: int = 1) -> list[str]:
        picture = {"image_file": photo(person)}
        answers = [self.ask("detect", picture).json() for _ in range(count)]
        return [str(answer["faces"][0]["face_token"]) for answer in answers]

    def add(self, outer_id: str, tokens: list[str]) -> list[dict[str, Any]]:
        batches = [tokens[n : n + 5] for n in range(0, len(tokens), 5)]
        return [
            self.done("faceset/addface", outer_id=outer_id, face_tokens=",".join(batch))
            for batch in batches
        ]
