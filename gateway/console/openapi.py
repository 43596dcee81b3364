"""The table of routes -> /openapi.json (OpenAPI 3.1). Pure; made once, at the start.

Every schema is that of the struct which decodes the body or makes the answer, so the document cannot drift from the
code. What a struct leaves out when it is empty is not required in its schema.
"""

import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from gateway.console.routes import ROUTES, Route

VERSION: Final = "1"
_REF: Final = "#/components/schemas/{name}"
_ERRORS: Final = {
    "400": "The request is not understood.",
    "401": "No good credential.",
    "403": "Not yours to do, or your access is revoked.",
    "404": "There is none that you may see.",
    "409": "Too late: it is decided, or you said so before.",
    "422": "The body is not acceptable; the message says what would be.",
    "503": "What is in force is not known, or cannot be recorded: nothing was done.",
}


class StatusDocument(msgspec.Struct, frozen=True, omit_defaults=True):
    """An error, in the form of Kubernetes' Status. message: one line for a person; reason: a word for a program."""

    kind: str
    status: str
    code: int
    message: str = ""
    reason: str = ""


def make_openapi(routes: Sequence[Route] = ROUTES) -> bytes:
    """The whole document, as JSON."""
    kinds: list[type] = [StatusDocument]
    for route in routes:
        kinds += [kind for kind in (route.reply, route.body, route.lines) if kind is not None]
    _, components = msgspec.json.schema_components(kinds, ref_template=_REF)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    document = {
        "openapi": "3.1.0",
        "info": {
            "title": "kubetape management API",
            "version": VERSION,
            "description": "Approvals, grants and revocations. JSON over HTTPS; bearer token or client certificate.",
        },
        "security": [{"bearer": []}, {"certificate": []}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "certificate": {"type": "mutualTLS"},
            },
        },
    }
    return msgspec.json.encode(document)


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": _operation_id(route),
        "summary": route.summary,
        "responses": {str(route.status): _answer(route)}
        | {code: _error(text) for code, text in _ERRORS.items()},
    }
    parameters = [_parameter(name, values) for name, values in route.query.items()]
    if "{id}" in route.path:
        parameters.append(
            {
                "name": "id",
                "in": "path",
                "required": True,
                "description": "The id, or at least the first 4 characters of its random part.",
                "schema": {"type": "string", "pattern": "^[0-9A-Za-z]{1,26}$"},
            }
        )
    if parameters:
        operation["parameters"] = parameters
    if route.body is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": _ref(route.body)}},
        }
    return operation


def _operation_id(route: Route) -> str:
    words = re.findall(r"[a-z]+", route.path.removeprefix("/api/v1").replace("{id}", ""))
    return "_".join([route.method.lower(), *words, *(["one"] if route.path.endswith("{id}") else [])])


def _answer(route: Route) -> dict[str, Any]:
    content = {"application/json": {"schema": _ref(route.reply)}}
    if route.lines is not None:
        content["application/x-ndjson"] = {"schema": _ref(route.lines)}
    return {"description": route.reply.__doc__ or "Done.", "content": content}


def _error(text: str) -> dict[str, Any]:
    return {"description": text, "content": {"application/json": {"schema": _ref(StatusDocument)}}}


def _parameter(name: str, values: tuple[str, ...]) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": {"type": "string", "enum": list(values)}}


def _ref(kind: type) -> dict[str, str]:
    return {"$ref": _REF.format(name=kind.__name__)}
