"""Requests on objects, read: bodies by Content-Type, selectors, paging, dry run; and admission's checks."""

import base64
import json
import re
from typing import Final

import yaml

from gateway.demo.standin.api import protobody
from gateway.demo.standin.api.kinds import Kind, find_kind
from gateway.demo.standin.api.selectors import Matches, parse_field_selector, parse_label_selector
from gateway.demo.standin.cluster import Cluster, Request
from gateway.demo.standin.replies import Failure, JsonObject, bad_request, invalid, not_found

_NAME: Final = re.compile(r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
_NAME_RULE: Final = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character"


def decode_body(request: Request) -> JsonObject:
    """The object in the body, by Content-Type. Raises Failure 400 or 415."""
    content_type = request.header(b"content-type").partition(";")[0].strip()
    if content_type in ("", "application/json"):
        return _decode_object(request.body)
    if content_type == "application/vnd.kubernetes.protobuf":
        return protobody.decode_body(request.body)
    if content_type == "application/yaml":
        return decode_yaml(request.body)
    why = "the body of the request was in an unknown format - accepted media types include: application/json, application/yaml, application/vnd.kubernetes.protobuf"
    raise Failure(415, "UnsupportedMediaType", why)


def selected(request: Request) -> Matches:
    """The test labelSelector and fieldSelector make together."""
    by_label = parse_label_selector(request.target.first("labelSelector"))
    by_field = parse_field_selector(request.target.first("fieldSelector"))
    return lambda obj: by_label(obj) and by_field(obj)


def object_namespace(request: Request, kind: Kind) -> str:
    """The namespace to look in: "" for cluster-scoped kinds (namespaces included) and for all."""
    return request.target.namespace if kind.namespaced else ""


def _decode_object(body: bytes) -> JsonObject:
    value = decode_json(body)
    if not isinstance(value, dict):
        raise bad_request("the body is no JSON object")
    return value


def decode_json(body: bytes) -> JsonObject:
    """Any JSON value (a JSON patch is a list). Raises Failure 400."""
    try:
        value: JsonObject = json.loads(body)
    except ValueError as error:
        raise bad_request("the object provided is unrecognized (must be of type JSON)") from error
    return value


def decode_yaml(body: bytes) -> JsonObject:
    """A YAML mapping. Raises Failure 400."""
    try:
        value = yaml.safe_load(body)
    except yaml.YAMLError as error:
        raise bad_request("error decoding YAML") from error
    if not isinstance(value, dict):
        raise bad_request("the body is no YAML mapping")
    return value


def check_new(obj: JsonObject, kind: Kind, namespace: str, cluster: Cluster) -> None:
    """Admission of a new object: namespace, name, a pod's containers. Raises Failure 400, 404, 422."""
    metadata = obj.get("metadata")
    if not isinstance(metadata, dict):
        metadata = obj["metadata"] = {}
    said = metadata.get("namespace")
    if kind.namespaced and said and said != namespace:
        raise bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    name = metadata.get("name") or metadata.get("generateName", "").rstrip("-")
    if name and (len(name) > 253 or not _NAME.match(name)):
        raise invalid(kind.kind, name, kind.group, "metadata.name", f'Invalid value: "{name}": {_NAME_RULE}')
    namespaces = find_kind("", "v1", "namespaces")
    if kind.namespaced and namespaces is not None:
        try:
            cluster.store.get(namespaces, "", namespace)
        except Failure as error:
            raise not_found("namespaces", namespace) from error
    if kind.kind == "Pod" and not (obj.get("spec") or {}).get("containers"):
        raise invalid("Pod", name, "", "spec.containers", "Required value")


def is_dry_run(request: Request) -> bool:
    """Whether dryRun=All was asked for. Raises Failure 422 on another value."""
    values = request.target.query.get("dryRun", [])
    if values and values != ["All"]:
        raise Failure(422, "Invalid", f'dryRun: Unsupported value: "{values[0]}": supported values: "All"')
    return bool(values)


def whole_number(request: Request, key: str) -> int:
    """A parameter of at most 9 digits, 0 if absent. Raises Failure 400."""
    text = request.target.first(key)
    if text and not (text.isascii() and text.isdigit() and len(text) < 10):
        raise bad_request(f"{key} is no whole number")
    return int(text or 0)


def position(obj: JsonObject) -> list[str]:
    """Where an object stands in a list: namespace, name."""
    return [obj["metadata"].get("namespace", ""), obj["metadata"]["name"]]


def encode_continue(last: JsonObject) -> str:
    """The token from which the page after `last` is found."""
    return base64.urlsafe_b64encode(json.dumps(position(last)).encode()).decode()


def decode_continue(token: str) -> list[str]:
    """The position a token stands for, [] for none. Raises Failure 400."""
    if not token:
        return []
    try:
        position = json.loads(base64.urlsafe_b64decode(token))
        return [str(position[0]), str(position[1])]
    except (ValueError, LookupError, TypeError) as error:
        raise bad_request("continue key is not valid") from error
