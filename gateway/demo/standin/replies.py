"""What a handler of the stand-in answers: a Reply, or a Failure that becomes a Status.

Values only; `server` turns them into bytes. The trap: a Status without `kind` and `apiVersion` is
not read by client-go. Source: apimachinery api/errors, apiserver endpoints/handlers/responsewriters.
"""

import json
from collections.abc import AsyncGenerator
from typing import Any, TypeAlias

import msgspec

JsonObject: TypeAlias = dict[str, Any]
"""A Kubernetes object as JSON. Its schema is the client's business, hence Any."""

Headers: TypeAlias = tuple[tuple[bytes, bytes], ...]


class Reply(msgspec.Struct, frozen=True):
    """One answer. body: the whole body, or chunks that are sent as they come, each at once."""

    status: int
    body: bytes | AsyncGenerator[bytes, None]
    headers: Headers = ((b"content-type", b"application/json"),)


class Failure(Exception):
    """An answer that is a Status. Raised anywhere in a handler; `server` sends it."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        kind: str = "",
        name: str = "",
        group: str = "",
        causes: tuple[JsonObject, ...] = (),
    ) -> None:
        super().__init__(message)
        self.code, self.reason, self.message = code, reason, message
        details = {"name": name, "group": group, "kind": kind, "causes": list(causes)}
        self.details = {key: value for key, value in details.items() if value}


def failure_status(failure: Failure) -> JsonObject:
    """The Status object of a failure, empty fields left out."""
    status: JsonObject = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": failure.message,
        "reason": failure.reason,
    }
    if failure.details:
        status["details"] = failure.details
    return status | {"code": failure.code}


def json_reply(value: object, status: int = 200, content_type: bytes = b"application/json") -> Reply:
    """A JSON body in one piece, with the newline kube-apiserver ends it with."""
    return Reply(status, encode_json(value), ((b"content-type", content_type),))


def failure_reply(failure: Failure) -> Reply:
    return json_reply(failure_status(failure), failure.code)


def encode_json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def not_found(resource: str, name: str, group: str = "") -> Failure:
    qualified = f"{resource}.{group}" if group else resource
    return Failure(404, "NotFound", f'{qualified} "{name}" not found', kind=resource, name=name, group=group)


def no_such_path() -> Failure:
    """What the API server says for a path nobody serves."""
    return Failure(404, "NotFound", "the server could not find the requested resource")


def bad_request(message: str) -> Failure:
    return Failure(400, "BadRequest", message)


def invalid(kind: str, name: str, group: str, field: str, message: str) -> Failure:
    """422 with one cause, as validation words it."""
    cause = {"reason": "FieldValueInvalid", "message": message, "field": field}
    text = f'{kind}{"." + group if group else ""} "{name}" is invalid: {field}: {message}'
    return Failure(422, "Invalid", text, kind=kind, name=name, group=group, causes=(cause,))
