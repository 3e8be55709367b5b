"""JSON Schema (draft 2020-12) of the outputs, generated from `systrace.reporters.shapes.shape`."""

from __future__ import annotations

import types
from typing import Annotated, Any, Literal, NotRequired, Union, get_args, get_origin, get_type_hints, is_typeddict

from systrace.reporters.shapes.shape import CallShape, ComparisonShape, ReportShape, TransactionShape, WayShape

SCHEMAS = {
    "report": ReportShape,
    "events": CallShape,
    "requests": TransactionShape,
    "diff": ComparisonShape,
    "aws": WayShape,
}  # file NAME.schema.json beside this module -> shape
_SIMPLE = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}


def schema(name: str) -> dict[str, Any]:
    """The JSON Schema of one output, as plain data."""
    definitions: dict[str, Any] = {}
    top = _object(SCHEMAS[name], definitions)
    whole = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": f"systrace {name}"} | top
    return whole | {"$defs": dict(sorted(definitions.items()))} if definitions else whole


def _object(shape: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    hints = get_type_hints(shape, include_extras=True)
    return {
        "description": shape.__doc__,
        "type": "object",
        "properties": {name: _of(hint, definitions) for name, hint in hints.items()},
        "required": [name for name, hint in hints.items() if get_origin(hint) is not NotRequired],
    }


def _of(hint: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    origin, inner = get_origin(hint), get_args(hint)
    if origin is NotRequired:
        return _of(inner[0], definitions)
    if origin is Annotated:
        return _of(inner[0], definitions) | {"description": inner[1]}
    if origin is Literal:
        return {"enum": list(inner)}
    if origin is list:
        return {"type": "array", "items": _of(inner[0], definitions)}
    if origin in (Union, types.UnionType):
        kinds = [_of(each, definitions) for each in inner]
        if all(set(kind) == {"type"} for kind in kinds):
            return {"type": [kind["type"] for kind in kinds]}
        return {"anyOf": kinds}
    if is_typeddict(hint):
        name = hint.__name__.removesuffix("Shape")
        if name not in definitions:
            definitions[name] = {}  # entered first: shapes may refer to each other
            definitions[name] = _object(hint, definitions)
        return {"$ref": f"#/$defs/{name}"}
    return {} if hint is Any else {"type": _SIMPLE[hint]}
