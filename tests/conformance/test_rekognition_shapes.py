"""The emulator's table of parameters, held against botocore's own service model."""

from typing import Any

from botocore import loaders, model

from providers.emulators import rekognition_shapes
from providers.emulators.rekognition_validation import (
    Blob,
    Number,
    Shape,
    Structure,
    Text,
    TextMap,
    Texts,
)


def facts(shape: Shape) -> Any:
    """Return what the emulator's table says of a parameter, as the service model would put it."""
    match shape:
        case Structure():
            members = {name: facts(member) for name, member in shape.members.items()}
            return {"members": members, "required": sorted(shape.required)}
        case Text():
            return ["string", shape.pattern, shape.shortest, shape.longest, list(shape.choices)]
        case Number():
            return ["number", shape.whole, shape.low, shape.high]
        case Texts():
            return ["list", facts(shape.item), shape.fewest, shape.most]
        case TextMap():
            return ["map", facts(shape.key), facts(shape.value), shape.most]
        case Blob():
            return ["blob"]


def modelled(shape: Any) -> Any:
    limits = shape.metadata
    low, high = limits.get("min", 0), limits.get("max")
    match shape.type_name:
        case "structure":
            members = {name: modelled(member) for name, member in shape.members.items()}
            return {"members": members, "required": sorted(limits.get("required", ()))}
        case "string":
            return ["string", limits.get("pattern", ""), low, high, list(shape.enum)]
        case "integer" | "float":
            return ["number", shape.type_name == "integer", low, high]
        case "list":
            return ["list", modelled(shape.member), low, high]
        case "map":
            return ["map", modelled(shape.key), modelled(shape.value), high]
        case _:
            return [shape.type_name]


def test_the_table_is_the_service_model() -> None:
    service = model.ServiceModel(loaders.Loader().load_service_model("rekognition", "service-2"))
    for operation, shape in rekognition_shapes.REQUESTS.items():
        expected = modelled(service.operation_model(operation).input_shape)
        assert facts(shape) == expected, operation
