"""/openapi/v2 and /openapi/v3: as little of a schema as kubectl needs to apply and explain.

v2 is protobuf whatever Accept says, for kubectl parses nothing else: see `openapi_v2`. v3 names the kinds
with their fields described in one line, for `explain`, and says that patch takes fieldValidation, so
that newer kubectl leaves validation to the server.
Source: kubectl pkg/explain, cli-runtime resource/query_param_verifier_v3.
"""

import hashlib
from typing import Final

from gateway.demo.standin.api.kinds import Kind, group_versions, kinds_of
from gateway.demo.standin.api.openapi_v2 import CONTENT_TYPE, QUERY_PARAMETERS, TITLE, encode_document
from gateway.demo.standin.replies import JsonObject, Reply, encode_json, json_reply, no_such_path

_FIELDS: Final[dict[str, dict[str, str]]] = {
    "ConfigMap": {"data": "Data contains the configuration data.", "immutable": "Data cannot be updated."},
    "Secret": {"data": "Data contains the secret data, base64 encoded.", "type": "What the data is for."},
    "Event": {"reason": "Why.", "message": "What happened.", "involvedObject": "What it happened to."},
}
_SPEC_AND_STATUS: Final = {"spec": "The desired state.", "status": "The state observed last."}


def openapi_reply(path: str) -> Reply:
    """Answer a path under /openapi/. Raises Failure 404 for a document that does not exist."""
    if path == "/openapi/v2":
        return Reply(200, encode_document(), ((b"content-type", CONTENT_TYPE),))
    documents = {_path_of(group, version): (group, version) for group, version in group_versions()}
    if path == "/openapi/v3":
        index = {}
        for key, (group, version) in documents.items():
            digest = hashlib.sha256(encode_json(_document(group, version))).hexdigest()[:32].upper()
            index[key] = {"serverRelativeURL": f"/openapi/v3/{key}?hash={digest}"}
        return json_reply({"paths": index})
    found = documents.get(path.removeprefix("/openapi/v3/"))
    if found is None:
        raise no_such_path()
    return json_reply(_document(*found))


def _path_of(group: str, version: str) -> str:
    return f"apis/{group}/{version}" if group else f"api/{version}"


def _document(group: str, version: str) -> JsonObject:
    schemas = {_schema_name(kind): _schema(kind) for kind in kinds_of(group, version)}
    paths = {}
    for kind in kinds_of(group, version):
        middle = "/namespaces/{namespace}" if kind.namespaced else ""
        paths[f"/{_path_of(group, version)}{middle}/{kind.plural}/{{name}}"] = _operations(kind)
    return {
        "openapi": "3.0.0",
        "info": {"title": TITLE, "version": "v1"},
        "paths": paths,
        "components": {"schemas": schemas},
    }


def _schema_name(kind: Kind) -> str:
    return f"io.k8s.api.{kind.group.split('.')[0] or 'core'}.{kind.version}.{kind.kind}"


def _gvk(kind: Kind) -> JsonObject:
    return {"group": kind.group, "version": kind.version, "kind": kind.kind}


def _schema(kind: Kind) -> JsonObject:
    text = "string"
    properties: JsonObject = {
        "apiVersion": {"type": text, "description": "The version of this object's schema."},
        "kind": {"type": text, "description": "The name of this object's schema."},
        "metadata": {"type": "object", "description": "Name, namespace, labels, annotations."},
    }
    for name, description in _FIELDS.get(kind.kind, _SPEC_AND_STATUS).items():
        properties[name] = {"type": "object", "description": description}
    return {
        "type": "object",
        "description": f"{kind.kind} as the stand-in API server keeps it.",
        "properties": properties,
        "x-kubernetes-group-version-kind": [_gvk(kind)],
    }


def _operations(kind: Kind) -> JsonObject:
    parameters = [{"name": name, "in": "query", "schema": {"type": "string"}} for name in QUERY_PARAMETERS]
    answer = {"200": {"description": "OK"}}
    return {
        "get": {"responses": answer, "x-kubernetes-group-version-kind": _gvk(kind)},
        "patch": {
            "parameters": parameters,
            "responses": answer,
            "x-kubernetes-group-version-kind": _gvk(kind),
        },
    }
