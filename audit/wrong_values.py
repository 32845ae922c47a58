"""What pydantic refuses, in words of ours: which key has which value, and what it may have."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

_WORDS: Mapping[str, str] = {
    "greater_than": "more than {gt}",
    "greater_than_equal": "{ge} or more",
    "less_than": "less than {lt}",
    "less_than_equal": "{le} or less",
    "finite_number": "a finite number",
    "enum": "{expected}",
    "literal_error": "{expected}",
    "too_short": "{min_length} or more of them",
    "model_type": "a table",
}
"""By the type of the error, with what pydantic tells of it."""

_KINDS: Mapping[str, str] = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "string": "a text",
    "tuple": "a list",
    "dict": "a table",
    "path": "a path",
    "date": "a date, YYYY-MM-DD",
}
"""By the kind of value that the type of the error begins with."""


def told(error: ValidationError) -> tuple[str, str]:
    """Return what was seen, and what was expected of it ("" where what was seen says it)."""
    found = [_told(dict(item)) for item in error.errors()]
    return _listed(seen for seen, _ in found), _listed(expected for _, expected in found)


def _listed(texts: Iterable[str]) -> str:
    return "; ".join(sorted({*texts} - {""}))


def _told(item: Mapping[str, Any]) -> tuple[str, str]:
    said = str(item["msg"]).removeprefix("Value error, ")
    if not item["loc"]:
        return said, ""
    key, where = _place(item["loc"])
    if item["type"] == "extra_forbidden":
        return f"unknown key {key!r}{where}", ""
    if item["type"] == "missing":
        return f"{key} is missing{where}", ""
    seen = f"{key} = {item['input']!r}{where}"
    if item["type"] == "value_error":
        return f"{seen}: {said}", ""
    return seen, f"{key}: {_words(item)}"


def _place(location: Sequence[str | int]) -> tuple[str, str]:
    """Return the key, and in which table it stands, "" in the file itself."""
    keys = [number for number, part in enumerate(location) if isinstance(part, str)]
    key, around = str(location[keys[-1]]), location[: keys[-1]]
    if len(around) == 2 and isinstance(around[1], int):
        return key, f" in [[{around[0]}]] {around[1] + 1}"
    names = [f".{part}" if isinstance(part, str) else f" {part + 1}" for part in around]
    return key, f" in {''.join(names)[1:]}" if names else ""


def _words(item: Mapping[str, Any]) -> str:
    if item["type"] in _WORDS:
        return _WORDS[item["type"]].format(**item.get("ctx", {}))
    return _KINDS.get(item["type"].split("_")[0], str(item["msg"]))
