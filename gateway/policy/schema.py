"""The JSON Schema of the policy file, for editors: made from `syntax`, so it cannot disagree with it.

The trap: its descriptions are docstrings, whose indentation Python 3.13 removes and earlier versions keep.
"""

from inspect import cleandoc
from typing import Any, Final

import msgspec

from gateway.policy.syntax import PolicyFile

SCHEMA_ID: Final = "https://kubetape.dev/policy.schema.json"


def policy_schema() -> bytes:
    """JSON, indented, with a line end. Draft 2020-12."""
    schema: dict[str, Any] = _dedented(msgspec.json.schema(PolicyFile, schema_hook=_open_value))
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_ID,
        "title": "kubetape policy",
    }
    return msgspec.json.format(msgspec.json.encode({**head, **schema}), indent=2) + b"\n"


def _dedented(part: Any) -> Any:
    """The same with descriptions as every version of Python would have them."""
    if isinstance(part, list):
        return [_dedented(item) for item in part]
    if not isinstance(part, dict):
        return part
    return {
        name: cleandoc(value) if name == "description" and isinstance(value, str) else _dedented(value)
        for name, value in part.items()
    }


def _open_value(kind: type) -> dict[str, Any]:
    """`object` in a body or claim is any value."""
    if kind is object:
        return {"description": "any value"}
    raise NotImplementedError(kind)
