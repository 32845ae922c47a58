"""How Rekognition checks parameters: a model of shapes, and the texts when they are violated."""

import base64
import binascii
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from providers.emulators.rekognition_wire import ServiceError, serialization_error

_NUMBER_MAX = 2**31 - 1
_PATTERN = "Member must satisfy regular expression pattern: {}"
_SHORTEST = "Member must have length greater than or equal to {}"
_LONGEST = "Member must have length less than or equal to {}"
_LOWEST = "Member must have value greater than or equal to {}"
_HIGHEST = "Member must have value less than or equal to {}"
_CHOICES = "Member must satisfy enum value set: [{}]"


@dataclass(frozen=True, slots=True)
class Text:
    """A string. `pattern` is shown in errors as it stands; no `choices` = any."""

    pattern: str = ""
    shortest: int = 0
    longest: int | None = None
    choices: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Number:
    """A number within bounds, a whole one unless told otherwise."""

    low: float
    high: float | None = None
    whole: bool = True


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes, in base64 on the wire. Their greatest length is checked with the picture itself."""


@dataclass(frozen=True, slots=True)
class Texts:
    """A list of strings."""

    item: Text
    fewest: int = 0
    most: int | None = None


@dataclass(frozen=True, slots=True)
class TextMap:
    """A map of strings by strings."""

    key: Text
    value: Text
    most: int


@dataclass(frozen=True, slots=True)
class Structure:
    """Members by name; others are ignored."""

    members: Mapping[str, "Shape"]
    required: Sequence[str] = ()


Shape: TypeAlias = Text | Number | Blob | Texts | TextMap | Structure
Violate: TypeAlias = Callable[[str, str], None]


def checked(shape: Structure, document: Any) -> Mapping[str, Any]:
    """Return a request's parameters: known members only, bytes decoded, no nulls.

    Raises ServiceError: a SerializationException for a wrong type, a ValidationException that
    lists every violated constraint.
    """
    violations: list[str] = []

    def violate(value: str, constraint: str) -> None:
        violations.append(f"Value {value} failed to satisfy constraint: {constraint}")

    parameters: Mapping[str, Any] = _structure(shape, document, "", violate)
    if violations:
        plural = "s" if len(violations) > 1 else ""
        message = f"{len(violations)} validation error{plural} detected: {'; '.join(violations)}"
        raise ServiceError("ValidationException", message)
    return parameters


def _structure(shape: Structure, value: Any, path: str, violate: Violate) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise serialization_error("Start of structure or map found where not expected.")
    present = {name: value[name] for name in shape.members if value.get(name) is not None}
    prefix = f"{path}." if path else ""
    paths = {name: prefix + name[0].lower() + name[1:] for name in shape.members}
    for name in shape.required:
        if name not in present:
            violate(f"null at '{paths[name]}'", "Member must not be null")
    return {
        name: _value(shape.members[name], member, paths[name], violate)
        for name, member in present.items()
    }


def _value(shape: Shape, value: Any, path: str, violate: Violate) -> Any:
    match shape:
        case Text():
            _refuse_type(value, str, "a String")
            _report(_text_violations(shape, value), f"'{value}' at '{path}'", violate)
        case Number():
            return _number(shape, value, path, violate)
        case Blob():
            return _blob(value, path, violate)
        case Texts():
            _refuse_type(value, list, "a List")
            _texts(shape, value, path, violate)
        case TextMap():
            _refuse_type(value, dict, "a Map")
            _text_map(shape, value, path, violate)
        case Structure():
            return _structure(shape, value, path, violate)
    return value


def _text_violations(shape: Text, value: str) -> list[str]:
    found = _length_violations(len(value), shape.shortest, shape.longest)
    # Python's expressions know no \\p{L}: letters, digits and spaces of all scripts.
    pattern = shape.pattern.replace(r"\p{L}\p{Z}\p{N}", r"\w\s")
    if pattern and not re.fullmatch(pattern, value):
        found.append(_PATTERN.format(shape.pattern))
    if shape.choices and value not in shape.choices:
        found.append(_CHOICES.format(", ".join(shape.choices)))
    return found


def _length_violations(length: int, shortest: int, longest: int | None) -> list[str]:
    found = [_SHORTEST.format(shortest)] if length < shortest else []
    return found + ([_LONGEST.format(longest)] if longest is not None and length > longest else [])


def _number(shape: Number, value: Any, path: str, violate: Violate) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or abs(value) > _NUMBER_MAX:
        kind = "an Integer" if shape.whole else "a Float"
        raise serialization_error(f"{_kind(value)} can not be converted to {kind}")
    if value < shape.low:
        violate(f"'{value}' at '{path}'", _LOWEST.format(shape.low))
    if shape.high is not None and value > shape.high:
        violate(f"'{value}' at '{path}'", _HIGHEST.format(shape.high))
    return int(value) if shape.whole else float(value)


def _blob(value: Any, path: str, violate: Violate) -> bytes:
    _refuse_type(value, str, "a Blob")
    try:
        data = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise serialization_error("Value is not valid base64") from error
    shown = f"'java.nio.HeapByteBuffer[pos=0 lim={len(data)} cap={len(data)}]' at '{path}'"
    _report(_length_violations(len(data), 1, None), shown, violate)
    return data


def _texts(shape: Texts, value: list[Any], path: str, violate: Violate) -> None:
    for item in value:
        _refuse_type(item, str, "a String")
    shown = f"'[{', '.join(value)}]' at '{path}'"
    _report(_length_violations(len(value), shape.fewest, shape.most), shown, violate)
    for found in dict.fromkeys(
        text for item in value for text in _text_violations(shape.item, item)
    ):
        violate(shown, f"Member must satisfy constraint: [{found}]")


def _text_map(shape: TextMap, value: dict[str, Any], path: str, violate: Violate) -> None:
    for item in value.values():
        _refuse_type(item, str, "a String")
    shown = f"'{{{', '.join(f'{key}={item}' for key, item in value.items())}}}' at '{path}'"
    _report(_length_violations(len(value), 0, shape.most), shown, violate)
    sides = (("keys", shape.key, value), ("value", shape.value, value.values()))
    for name, side, texts in sides:
        for found in dict.fromkeys(line for text in texts for line in _text_violations(side, text)):
            violate(shown, f"Map {name} must satisfy constraint: [{found}]")


def _report(constraints: Sequence[str], shown: str, violate: Violate) -> None:
    for constraint in constraints:
        violate(shown, constraint)


def _refuse_type(value: Any, wanted: type, name: str) -> None:
    if not isinstance(value, wanted):
        raise serialization_error(f"{_kind(value)} can not be converted to {name}")


def _kind(value: Any) -> str:
    if value is None:
        return "NULL_VALUE"
    if isinstance(value, bool):
        return "TRUE_VALUE" if value else "FALSE_VALUE"
    kinds = {str: "STRING_VALUE", int: "NUMBER_VALUE", float: "DECIMAL_VALUE"}
    return kinds.get(type(value), "START_OF_STRUCTURE")
