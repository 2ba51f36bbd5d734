"""What the OpenAPI document says of programs: an operation for each, with the schemas of its own fields."""

from __future__ import annotations

import re
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from agent_service.api.programs.examples import example_of
from agent_service.api.programs.schemas import (
    ProgramAnswer,
    ProgramRequest,
    ServedProgram,
    ServedProgramList,
)
from agent_service.api.schemas import QueryResponse
from agent_service.core.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pydantic import BaseModel

    from agent_service.core.errors import ServiceError
    from agent_service.programs.base import ProgramSpec

Document = dict[str, Any]

MODELS: tuple[type[BaseModel], ...] = (ServedProgram, ServedProgramList)
TAG = {"name": "programs", "description": "Ask a program by its name, typed by its signature."}

_REF = "#/components/schemas/"
_WITHIN = "#/$defs/"
_TEXTS = frozenset({"const", "default", "description", "pattern", "title"})
_QUERY, _STREAM = "/api/v1/query", "/api/v1/query/stream"
_NOT_A_NAME = re.compile(r"[^A-Za-z0-9._-]")
NAME_PARAMETER = {
    "name": "name",
    "in": "path",
    "required": True,
    "description": "A name that /api/v1/programs lists.",
    "schema": {"type": "string"},
    "example": "default",
}


def with_programs(
    document: Document,
    programs: Sequence[ProgramSpec],
    *,
    refusals: Callable[[Sequence[ServiceError]], Document],
) -> Document:
    """``document`` with the endpoints of ``programs``, without those that the default cannot be asked at.

    ``refusals`` gives the responses that are problems, by status.
    """
    paths, schemas = dict(document["paths"]), dict(document["components"]["schemas"])
    paths |= _listing(refusals)
    for spec in programs:
        schemas |= _schemas(spec)
        for path, stream in ((_QUERY, ""), (_STREAM, "/stream")):
            operation = _operation(deepcopy(document["paths"][path]["post"]), spec)
            paths[f"/api/v1/programs/{spec.name}/query{stream}"] = {"post": operation}
    if programs and not programs[0].is_plain:
        paths = {path: methods for path, methods in paths.items() if path not in {_QUERY, _STREAM}}
    return {
        **document,
        "tags": [*document["tags"], TAG],
        "paths": paths,
        "components": {**document["components"], "schemas": schemas},
    }


def _listing(refusals: Callable[[Sequence[ServiceError]], Document]) -> Document:
    missing = NotFoundError("No such program is served; there is default.")
    listing = _reading(ServedProgramList, "listPrograms", "List the programs", refusals(()))
    reading = _reading(ServedProgram, "readProgram", "Read one program", refusals((missing,)))
    reading["parameters"].append(NAME_PARAMETER)
    return {"/api/v1/programs": {"get": listing}, "/api/v1/programs/{name}": {"get": reading}}


def _reading(model: type[BaseModel], name: str, summary: str, refusals: Document) -> Document:
    told: Any = model.model_config["json_schema_extra"]
    content = {"schema": {"$ref": _REF + model.__name__}, "example": told["examples"][0]}
    answer = {
        "description": model.__doc__,
        "headers": {"X-Request-ID": {"$ref": "#/components/headers/X-Request-ID"}},
        "content": {"application/json": content},
    }
    return {
        "operationId": name,
        "tags": [TAG["name"]],
        "summary": summary,
        "description": "With the JSON Schema of inputs and outputs.",
        "parameters": [{"$ref": "#/components/parameters/X-Request-ID"}],
        "responses": {"200": answer, **refusals},
    }


def _operation(operation: Document, spec: ProgramSpec) -> Document:
    """The plain query's operation, with the program's fields instead of question and answer."""
    name = _component(spec.name)
    asked = {
        "schema": {"$ref": f"{_REF}{name}.Request"},
        "example": {"user_id": "ada", "inputs": example_of(dict(spec.interface.input_schema))},
    }
    answered = {"schema": {"$ref": f"{_REF}{name}.Answer"}, "example": _answer_example(spec)}
    operation |= {
        "operationId": f"{operation['operationId']}.{name}",
        "tags": [TAG["name"]],
        "summary": operation["summary"].replace("the agent", spec.name),
        "requestBody": {"required": True, "content": {"application/json": asked}},
    }
    content = operation["responses"]["200"]["content"]
    if "application/json" in content:
        content["application/json"] = answered
    return operation


def _answer_example(spec: ProgramSpec) -> Document:
    told: Any = QueryResponse.model_config["json_schema_extra"]
    metadata = {
        name: value for name, value in told["examples"][0].items() if name not in {"answer", "question"}
    }
    outputs = example_of(dict(spec.interface.output_schema))
    return {"program": spec.name, "outputs": outputs, **metadata}


def _schemas(spec: ProgramSpec) -> Document:
    """What is sent to and got of one program, and its fields' types, under names of its own."""
    interface, name = spec.interface, _component(spec.name)
    sides = (
        ("Request", ProgramRequest, "inputs", interface.input_schema),
        ("Answer", ProgramAnswer, "outputs", interface.output_schema),
    )
    found: Document = {}
    for side, envelope, field, schema in sides:
        prefix, own = f"{name}.{field}.", dict(schema)
        definitions = own.pop("$defs", {})
        found |= {prefix + _component(key): _referring(value, prefix) for key, value in definitions.items()}
        around = envelope.model_json_schema(ref_template=_REF + "{model}")
        around.pop("$defs", None)
        around["properties"][field] = _referring(own, prefix) | {"title": field}
        found[f"{name}.{side}"] = around
    return found


def _referring(schema: Any, prefix: str) -> Any:
    """``schema`` with its references, which were within it, to components of the document."""
    if isinstance(schema, list):
        return [_referring(member, prefix) for member in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: _moved(value, prefix) if _is_reference(name, value) else _referring(value, prefix)
        for name, value in schema.items()
    }


def _is_reference(name: str, value: Any) -> bool:
    """Also within the ``mapping`` of a discriminator, where the name is any value."""
    return isinstance(value, str) and value.startswith(_WITHIN) and name not in _TEXTS


def _moved(reference: str, prefix: str) -> str:
    return _REF + prefix + _component(reference.removeprefix(_WITHIN))


def _component(name: str) -> str:
    return _NOT_A_NAME.sub("_", name)
