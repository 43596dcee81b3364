"""A request body -> the object it carries, for rules that look at it and masks that hide parts of it.

The body itself is forwarded as it came, so it must have one reading: JSON with a name twice in one object is refused
(Go merges the two, we would see the last), as are encodings that only the server speaks. Behind `proxy` and outside the
resources a body belongs to an application and is none of ours.
"""

import json
from typing import Final

import msgspec

from gateway.policy.masking.documents import UNDECODABLE
from gateway.policy.masking.yaml_bodies import decode_yaml
from gateway.policy.model import JsonObject
from protocol.apicall import Call
from protocol.errors import Unreadable
from protocol.kinds import decode_object

MAX_BODY_BYTES: Final = 3 * 1024 * 1024 + 4096
"""kube-apiserver reads 3 MiB."""

JSON_PATCH: Final = "jsonPatch"
"""The only member of what a JSON patch decodes to: its operations."""

JSON_PATCH_TYPE: Final = "application/json-patch+json"
STRATEGIC_MERGE_TYPE: Final = "application/strategic-merge-patch+json"
PROTOBUF_TYPE: Final = "application/vnd.kubernetes.protobuf"
_JSON_TYPES: Final = frozenset(
    ("", "application/json", "application/merge-patch+json", STRATEGIC_MERGE_TYPE, JSON_PATCH_TYPE)
)
_YAML_TYPES: Final = frozenset(("application/yaml", "application/apply-patch+yaml"))


def media_type(content_type: bytes) -> str:
    """The type alone, as the server reads it: parameters cut off, lower case."""
    return content_type.partition(b";")[0].strip(b" \t").lower().decode("latin-1")


def has_object(call: Call) -> bool:
    """Whether a body of this call is an object of the API."""
    return call.is_resource and not call.is_connect


def decode_body(content_type: bytes, body: bytes, call: Call) -> JsonObject | None:
    """The object of a request, None where there is none; a JSON patch as {JSON_PATCH: [operations]}.

    Raises Unreadable: answer its status, or judge the call as if nothing allowed it.
    """
    if not body or not has_object(call):
        return None
    if len(body) > MAX_BODY_BYTES:
        raise Unreadable("the request body is larger than 3 MiB", status=413)
    kind = media_type(content_type)
    if kind in _JSON_TYPES or (kind in _YAML_TYPES and body.lstrip().startswith(b"{")):
        value = decode_json(body)
    elif kind in _YAML_TYPES:
        value = decode_yaml(body)
    elif kind == PROTOBUF_TYPE:
        value = decode_object(body)
    else:
        raise Unreadable("kubetape cannot read a body of this Content-Type; send JSON", status=415)
    if kind == JSON_PATCH_TYPE:
        if not isinstance(value, list) or not all(isinstance(operation, dict) for operation in value):
            raise Unreadable("the JSON patch is not a list of operations")
        return {JSON_PATCH: value}
    if not isinstance(value, dict):
        raise Unreadable("the request body is not an object")
    return value


def decode_json(body: bytes) -> object:
    """A JSON value none of whose objects has a name twice. Raises Unreadable."""
    try:
        value: object = msgspec.json.decode(body)
        json.loads(body, object_pairs_hook=_refuse_repeated)  # msgspec takes the last without a word
    except (*UNDECODABLE, ValueError):
        raise Unreadable("the body is not JSON") from None
    return value


def _refuse_repeated(pairs: list[tuple[str, object]]) -> None:
    if len({name for name, _ in pairs}) != len(pairs):
        raise Unreadable("a name stands twice in one object of the body")
