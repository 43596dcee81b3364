"""What to ask the API server for, where its answer is to be masked: JSON, whole, unconditionally.

Safe for client-go, which decodes by the Content-Type that comes back. A Table or PartialObjectMetadata stays one.
Not where nothing is an object: discovery and OpenAPI (some clients can only read protobuf there), logs, and what is
behind `proxy`, whose application decides what it understands.
Source: k8s.io/apiserver endpoints/handlers/negotiation.
"""

from typing import Final

from protocol.apicall import Call
from protocol.events import Headers

JSON: Final = b"application/json"
_WILDCARDS: Final = (b"*/*", b"application/*")
_FORMS: Final = (b"as", b"g", b"v", b"q")

CONDITIONAL: Final = frozenset((b"if-none-match", b"if-modified-since", b"if-range", b"range"))
"""A validator or a range speaks of the bytes that are not shown."""


def asks_for_objects(call: Call) -> bool:
    """Whether the answer is one of the API server's own objects, so that it can be had as JSON."""
    if not call.is_resource or call.is_connect:
        return False
    return not (call.resource == "pods" and call.subresource == "log")


def ask_plainly(headers: Headers, call: Call) -> Headers:
    """Request headers for an answer that can be masked. Names are in lower case."""
    kept = tuple(pair for pair in headers if pair[0] not in CONDITIONAL)
    if not asks_for_objects(call):
        return kept
    accept = b",".join(value for name, value in kept if name == b"accept")
    others = tuple(pair for pair in kept if pair[0] != b"accept")
    return (*others, (b"accept", rewrite_accept(accept)))


def rewrite_accept(value: bytes) -> bytes:
    """The JSON alternatives of an Accept value, in their order; JSON in the same forms where there is none."""
    if b'"' in value:  # a parameter in quotes may hold commas; nothing Kubernetes knows is written so
        return JSON
    kept: list[bytes] = []
    other_forms: list[bytes] = []
    for clause in value.split(b","):
        media_type, *parameters = (part.strip(b" \t") for part in clause.split(b";"))
        name = media_type.lower()
        if name == JSON:
            kept.append(b";".join((JSON, *parameters)))
        elif name in _WILDCARDS:
            kept.append(b";".join((JSON, *_named(parameters, (b"q",)))))
        elif _named(parameters, (b"as",)):
            other_forms.append(b";".join((JSON, *_named(parameters, _FORMS))))
    return b",".join(dict.fromkeys(kept or other_forms)) or JSON


def _named(parameters: list[bytes], names: tuple[bytes, ...]) -> list[bytes]:
    return [parameter for parameter in parameters if parameter.partition(b"=")[0].strip(b" \t") in names]
