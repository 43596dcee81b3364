"""The JSON Schema of the policy file, for editors: made from `syntax`, so it cannot disagree with it."""

from typing import Any, Final

import msgspec

from gateway.policy.syntax import PolicyFile

SCHEMA_ID: Final = "https://kubetape.dev/policy.schema.json"


def policy_schema() -> bytes:
    """JSON, indented, with a line end. Draft 2020-12."""
    schema: dict[str, Any] = msgspec.json.schema(PolicyFile, schema_hook=_open_value)
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_ID,
        "title": "kubetape policy",
    }
    return msgspec.json.format(msgspec.json.encode({**head, **schema}), indent=2) + b"\n"


def _open_value(kind: type) -> dict[str, Any]:
    """`object` in a body or claim is any value."""
    if kind is object:
        return {"description": "any value"}
    raise NotImplementedError(kind)
