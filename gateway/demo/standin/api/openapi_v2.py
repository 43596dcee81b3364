"""/openapi/v2 as protobuf: which kinds exist, and that patching them takes dryRun and fieldValidation.

No definitions: kubectl skips client-side validation of a kind it finds none for, and takes merge keys
from its own types. But kubectl of 1.20 to 1.26 looks here before `diff` and `--dry-run=server`.
Source: gnostic openapi_v2 (field numbers), cli-runtime resource/dry_run_verifier.
"""

from typing import Final

from gateway.demo.standin.api.kinds import KINDS, Kind

CONTENT_TYPE: Final = b"application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
"""Not quite what clients ask for: the "@" there is no media type to older clients, which fail on it."""

TITLE: Final = "stand-in API server, not Kubernetes"
QUERY_PARAMETERS: Final = ("dryRun", "fieldManager", "fieldValidation")


def encode_document() -> bytes:
    """openapi_v2.Document: 1 swagger, 2 info {1 title, 2 version}, 8 paths {2 path {1 name, 2 item}}."""
    info = _text(1, TITLE) + _text(2, "v1")
    paths = b"".join(_field(2, _text(1, _path(kind)) + _field(2, _path_item(kind))) for kind in KINDS)
    return _text(1, "2.0") + _field(2, info) + _field(8, paths)


def _path(kind: Kind) -> str:
    root = f"/apis/{kind.group}" if kind.group else "/api"
    return (
        f"{root}/{kind.version}{'/namespaces/{namespace}' if kind.namespaced else ''}/{kind.plural}/{{name}}"
    )


def _path_item(kind: Kind) -> bytes:
    """PathItem: 8 patch; Operation: 8 parameters, 13 vendor extension {1 name, 2 value {2 yaml}}."""
    parameters = b"".join(_field(8, _query_parameter(name)) for name in QUERY_PARAMETERS)
    yaml = f"group: '{kind.group}'\nversion: {kind.version}\nkind: {kind.kind}\n"
    extension = _text(1, "x-kubernetes-group-version-kind") + _field(2, _text(2, yaml))
    return _field(8, parameters + _field(13, extension))


def _query_parameter(name: str) -> bytes:
    """ParametersItem {1 parameter {2 non-body {3 query {2 in, 4 name, 6 type}}}}."""
    query = _text(2, "query") + _text(4, name) + _text(6, "string")
    return _field(1, _field(2, _field(3, query)))


def _text(number: int, text: str) -> bytes:
    return _field(number, text.encode())


def _field(number: int, content: bytes) -> bytes:
    """A length-delimited field."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*encoded, value))
