"""REST verbs on stored objects: get, list, create, update, patch, delete.

One function a verb; each takes the request and gives a Reply or raises Failure. Watches are in
`watches`. Admission is `seed.settle` on create and a handful of checks with the API server's wording.
"""

import base64
import json
import re
from datetime import UTC, datetime
from typing import Final

import yaml

from gateway.demo.standin import patching, protobody
from gateway.demo.standin.cluster import Cluster, Request, now_text
from gateway.demo.standin.kinds import KINDS, Kind, find_kind
from gateway.demo.standin.replies import (
    Failure,
    JsonObject,
    Reply,
    bad_request,
    invalid,
    json_reply,
    not_found,
)
from gateway.demo.standin.reviews import review
from gateway.demo.standin.seed import settle
from gateway.demo.standin.selectors import Matches, parse_field_selector, parse_label_selector
from gateway.demo.standin.tables import render_table, wants_table

_NAME: Final = re.compile(r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
_NAME_RULE: Final = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character"


def serve_object(request: Request, cluster: Cluster, kind: Kind) -> Reply:
    """Answer any verb but watch."""
    verb = request.target.verb
    if kind.kind.endswith("Review"):
        return json_reply(review(kind.kind, decode_body(request), request.identity), 201)
    handlers = {
        "get": get_object,
        "list": list_objects,
        "create": create_object,
        "update": update_object,
        "patch": patch_object,
        "delete": delete_object,
        "deletecollection": delete_collection,
    }
    return handlers[verb](request, cluster, kind)


def get_object(request: Request, cluster: Cluster, kind: Kind) -> Reply:
    obj = cluster.store.get(kind, object_namespace(request, kind), request.target.name)
    if request.target.subresource == "scale":
        return json_reply(_scale(obj))
    return present(request, kind, obj)


def list_objects(request: Request, cluster: Cluster, kind: Kind) -> Reply:
    """A list, cut by `limit`; `continue` says where the next page starts."""
    matches = selected(request)
    found = [obj for obj in cluster.store.list(kind, list_namespace(request, kind)) if matches(obj)]
    after = _decode_continue(request.target.first("continue"))
    found = [obj for obj in found if _position(obj) > after]
    limit = _whole_number(request, "limit")
    metadata: JsonObject = {"resourceVersion": str(cluster.store.revision)}
    if limit and len(found) > limit:
        rest = len(found) - limit
        found = found[:limit]
        metadata |= {"continue": _encode_continue(found[-1]), "remainingItemCount": rest}
    accept = request.header(b"accept")
    if wants_table(accept):
        table = render_table(kind, found, metadata, datetime.now(UTC), request.target.first("includeObject"))
        return json_reply(table)
    if _wants_metadata(accept):
        items = [_only_metadata(obj) for obj in found]
        return json_reply(
            {
                "kind": "PartialObjectMetadataList",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": metadata,
                "items": items,
            }
        )
    # typed lists carry no kind and apiVersion in their items
    items = [{key: value for key, value in obj.items() if key not in ("kind", "apiVersion")} for obj in found]
    return json_reply(
        {"kind": f"{kind.kind}List", "apiVersion": kind.api_version, "metadata": metadata, "items": items}
    )


def create_object(request: Request, cluster: Cluster, kind: Kind) -> Reply:
    if request.target.name:
        raise Failure(
            405, "MethodNotAllowed", "the server does not allow this method on the requested resource"
        )
    obj = decode_body(request)
    namespace = request.target.namespace if kind.namespaced else ""
    _check_new(obj, kind, namespace, cluster)
    created = cluster.store.create(kind, namespace, settle(kind.kind, obj), dry_run=_dry_run(request))
    return present(request, kind, created, 201)


def update_object(request: Request, cluster: Cluster, kind: Kind) -> Reply:
    namespace = object_namespace(request, kind)
    obj, before = decode_body(request), cluster.store.get(kind, namespace, request.target.name)
    if request.target.subresource == "scale":
        obj = _rescale(before, obj)
    elif request.target.subresource == "status":
        obj = before | {"status": obj.get("status")}
    elif "status" not in obj and "status" in before:
        obj["status"] = before["status"]
    if obj.get("metadata", {}).get("name") != request.target.name:
        raise bad_request("the name of the object does not match the name on the URL")
    updated = cluster.store.replace(kind, namespace, _roll_out(kind, obj), dry_run=_dry_run(request))
    return (
        json_reply(_scale(updated))
        if request.target.subresource == "scale"
        else present(request, kind, updated)
    )


def patch_object(request: Request, cluster: Cluster, kind: Kind) -> Reply:
    """All four patch types; an apply creates what does not exist."""
    namespace, name = object_namespace(request, kind), request.target.name
    content_type = request.header(b"content-type").partition(";")[0].strip()
    patch = _decode_yaml(request.body) if content_type.endswith("+yaml") else _decode_json(request.body)
    if content_type == "application/apply-patch+yaml":
        return _apply(request, cluster, kind, patch)
    before = cluster.store.get(kind, namespace, name)
    current = _scale(before) if request.target.subresource == "scale" else before
    if content_type == "application/json-patch+json":
        after = patching.apply_json_patch(current, patch)
    elif content_type == "application/merge-patch+json":
        after = patching.apply_merge_patch(current, patch)
    elif content_type == "application/strategic-merge-patch+json":
        after = patching.apply_strategic_patch(current, patch)
    else:
        supported = "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml, application/strategic-merge-patch+json"
        raise Failure(
            415,
            "UnsupportedMediaType",
            f"the body of the request was in an unknown format - accepted media types include: {supported}",
        )
    if request.target.subresource == "scale":
        after = _rescale(before, after)
    elif request.target.subresource == "status":
        after = before | {"status": after.get("status")}
    updated = cluster.store.replace(kind, namespace, _roll_out(kind, after), dry_run=_dry_run(request))
    return (
        json_reply(_scale(updated))
        if request.target.subresource == "scale"
        else present(request, kind, updated)
    )


def _apply(request: Request, cluster: Cluster, kind: Kind, patch: JsonObject) -> Reply:
    """Server-side apply as a merge; who applied is kept in managedFields, conflicts are not found."""
    namespace, name = object_namespace(request, kind), request.target.name
    manager = request.target.first("fieldManager")
    if not manager:
        raise Failure(
            422,
            "Invalid",
            "PatchOptions.meta.k8s.io is invalid: fieldManager: Required value: is required for apply patch",
        )
    entry: JsonObject = {
        "manager": manager,
        "operation": "Apply",
        "apiVersion": kind.api_version,
        "time": now_text(),
    }
    entry |= {"fieldsType": "FieldsV1", "fieldsV1": _fields_of(patch)}
    try:
        before = cluster.store.get(kind, namespace, name)
    except Failure:
        _check_new(patch, kind, namespace, cluster)
        patch.setdefault("metadata", {})["managedFields"] = [entry]
        created = cluster.store.create(kind, namespace, settle(kind.kind, patch), dry_run=_dry_run(request))
        return present(request, kind, created, 201)
    after = patching.apply_strategic_patch(before, patch)
    old = [
        one
        for one in before["metadata"].get("managedFields", [])
        if (one["manager"], one["operation"]) != (manager, "Apply")
    ]
    if after == before and len(old) < len(before["metadata"].get("managedFields", [])):
        return present(request, kind, before)
    after["metadata"]["managedFields"] = [*old, entry]
    updated = cluster.store.replace(kind, namespace, _roll_out(kind, after), dry_run=_dry_run(request))
    return present(request, kind, updated)


def delete_object(request: Request, cluster: Cluster, kind: Kind) -> Reply:
    namespace = object_namespace(request, kind)
    options = decode_body(request) if request.body else {}
    dry_run = _dry_run(request) or options.get("dryRun") == ["All"]
    deleted = cluster.store.delete(kind, namespace, request.target.name, dry_run=dry_run)
    if kind.kind == "Namespace" and not dry_run:
        _empty_namespace(cluster, request.target.name)
    details = {"name": request.target.name, "kind": kind.plural, "uid": deleted["metadata"]["uid"]}
    if kind.group:
        details["group"] = kind.group
    return json_reply(
        {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
    )


def delete_collection(request: Request, cluster: Cluster, kind: Kind) -> Reply:
    matches = selected(request)
    namespace = request.target.namespace if kind.namespaced else ""
    victims = [obj for obj in cluster.store.list(kind, namespace) if matches(obj)]
    for obj in victims:
        where = obj["metadata"].get("namespace", "")
        cluster.store.delete(kind, where, obj["metadata"]["name"], dry_run=_dry_run(request))
    metadata = {"resourceVersion": str(cluster.store.revision)}
    return json_reply(
        {"kind": f"{kind.kind}List", "apiVersion": kind.api_version, "metadata": metadata, "items": victims}
    )


def _empty_namespace(cluster: Cluster, namespace: str) -> None:
    for kind in KINDS:
        if kind.namespaced:
            for obj in list(cluster.store.list(kind, namespace)):
                cluster.store.delete(kind, namespace, obj["metadata"]["name"])


# --- reading requests -------------------------------------------------------------------------


def decode_body(request: Request) -> JsonObject:
    """The object in the body, by Content-Type. Raises Failure 400 or 415."""
    content_type = request.header(b"content-type").partition(";")[0].strip()
    if content_type in ("", "application/json"):
        return _decode_json_object(request.body)
    if content_type == "application/vnd.kubernetes.protobuf":
        return protobody.decode_body(request.body)
    if content_type == "application/yaml":
        return _decode_yaml(request.body)
    why = "the body of the request was in an unknown format - accepted media types include: application/json, application/yaml, application/vnd.kubernetes.protobuf"
    raise Failure(415, "UnsupportedMediaType", why)


def selected(request: Request) -> Matches:
    """The test labelSelector and fieldSelector make together."""
    by_label = parse_label_selector(request.target.first("labelSelector"))
    by_field = parse_field_selector(request.target.first("fieldSelector"))
    return lambda obj: by_label(obj) and by_field(obj)


def object_namespace(request: Request, kind: Kind) -> str:
    """The namespace an object is stored under: "" for cluster-scoped kinds (namespaces included)."""
    return request.target.namespace if kind.namespaced else ""


def list_namespace(request: Request, kind: Kind) -> str:
    return request.target.namespace if kind.namespaced else ""


def _decode_json_object(body: bytes) -> JsonObject:
    value = _decode_json(body)
    if not isinstance(value, dict):
        raise bad_request("the body is no JSON object")
    return value


def _decode_json(body: bytes) -> JsonObject:
    try:
        value: JsonObject = json.loads(body)
    except ValueError as error:
        raise bad_request("the object provided is unrecognized (must be of type JSON)") from error
    return value


def _decode_yaml(body: bytes) -> JsonObject:
    try:
        value = yaml.safe_load(body)
    except yaml.YAMLError as error:
        raise bad_request("error decoding YAML") from error
    if not isinstance(value, dict):
        raise bad_request("the body is no YAML mapping")
    return value


def _check_new(obj: JsonObject, kind: Kind, namespace: str, cluster: Cluster) -> None:
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


def _dry_run(request: Request) -> bool:
    values = request.target.query.get("dryRun", [])
    if values and values != ["All"]:
        raise Failure(422, "Invalid", f'dryRun: Unsupported value: "{values[0]}": supported values: "All"')
    return bool(values)


def _whole_number(request: Request, key: str) -> int:
    text = request.target.first(key)
    if text and not (text.isascii() and text.isdigit() and len(text) < 10):
        raise bad_request(f"{key} is no whole number")
    return int(text or 0)


def _position(obj: JsonObject) -> list[str]:
    return [obj["metadata"].get("namespace", ""), obj["metadata"]["name"]]


def _encode_continue(last: JsonObject) -> str:
    return base64.urlsafe_b64encode(json.dumps(_position(last)).encode()).decode()


def _decode_continue(token: str) -> list[str]:
    if not token:
        return []
    try:
        position = json.loads(base64.urlsafe_b64decode(token))
        return [str(position[0]), str(position[1])]
    except (ValueError, LookupError, TypeError) as error:
        raise bad_request("continue key is not valid") from error


# --- writing answers --------------------------------------------------------------------------


def present(request: Request, kind: Kind, obj: JsonObject, status: int = 200) -> Reply:
    """One object in the form Accept asks for. Raises Failure 406 where that is not JSON."""
    accept = request.header(b"accept")
    if wants_table(accept):
        metadata = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
        table = render_table(kind, [obj], metadata, datetime.now(UTC), request.target.first("includeObject"))
        return json_reply(table, status)
    return json_reply(_only_metadata(obj) if _wants_metadata(accept) else obj, status)


def _wants_metadata(accept: str) -> bool:
    return "as=PartialObjectMetadata" in accept


def _only_metadata(obj: JsonObject) -> JsonObject:
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}


def _roll_out(kind: Kind, obj: JsonObject) -> JsonObject:
    """What the deployment controller would have done by the time anyone looks."""
    if kind.kind in ("Deployment", "ReplicaSet"):
        replicas = obj.get("spec", {}).get("replicas", 1)
        counts = ("replicas", "readyReplicas", "availableReplicas", "updatedReplicas")
        generation = obj["metadata"].get("generation", 1)
        obj["status"] = dict.fromkeys(counts, replicas) | {"observedGeneration": generation}
    return obj


def _scale(obj: JsonObject) -> JsonObject:
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    metadata = {key: value for key, value in obj["metadata"].items() if key in kept}
    replicas = obj.get("spec", {}).get("replicas", 1)
    status = {"replicas": obj.get("status", {}).get("replicas", replicas)}
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": metadata,
        "spec": {"replicas": replicas},
        "status": status,
    }


def _rescale(obj: JsonObject, scale: JsonObject) -> JsonObject:
    return obj | {"spec": obj.get("spec", {}) | {"replicas": (scale.get("spec") or {}).get("replicas", 0)}}


def _fields_of(value: object) -> JsonObject:
    """The FieldsV1 form of an applied object: which keys it sets (lists count as one field)."""
    if not isinstance(value, dict):
        return {}
    return {
        f"f:{key}": _fields_of(inner) for key, inner in value.items() if key not in ("apiVersion", "kind")
    }
