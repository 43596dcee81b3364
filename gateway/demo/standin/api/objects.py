"""REST verbs on stored objects: get, list, create, update, patch, delete.

One function a verb; each takes the request and gives a Reply or raises Failure. Watches are in
`watches`, reading requests in `bodies`. Instead of controllers, `seed.settle` fills in what they would.
"""

from datetime import UTC, datetime

from gateway.demo.standin.api import patching
from gateway.demo.standin.api.bodies import (
    check_new,
    decode_body,
    decode_continue,
    decode_json,
    decode_yaml,
    encode_continue,
    is_dry_run,
    object_namespace,
    position,
    selected,
    whole_number,
)
from gateway.demo.standin.api.kinds import KINDS, Kind
from gateway.demo.standin.api.reviews import review
from gateway.demo.standin.api.tables import render_table, wants_table
from gateway.demo.standin.cluster import Cluster, Request, now_text
from gateway.demo.standin.replies import Failure, JsonObject, Reply, bad_request, json_reply
from gateway.demo.standin.seed import settle


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
    found = [obj for obj in cluster.store.list(kind, object_namespace(request, kind)) if matches(obj)]
    after = decode_continue(request.target.first("continue"))
    found = [obj for obj in found if position(obj) > after]
    limit = whole_number(request, "limit")
    metadata: JsonObject = {"resourceVersion": str(cluster.store.revision)}
    if limit and len(found) > limit:
        rest = len(found) - limit
        found = found[:limit]
        metadata |= {"continue": encode_continue(found[-1]), "remainingItemCount": rest}
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
    check_new(obj, kind, namespace, cluster)
    created = cluster.store.create(kind, namespace, settle(kind.kind, obj), dry_run=is_dry_run(request))
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
    updated = cluster.store.replace(kind, namespace, _roll_out(kind, obj), dry_run=is_dry_run(request))
    return (
        json_reply(_scale(updated))
        if request.target.subresource == "scale"
        else present(request, kind, updated)
    )


def patch_object(request: Request, cluster: Cluster, kind: Kind) -> Reply:
    """All four patch types; an apply creates what does not exist."""
    namespace, name = object_namespace(request, kind), request.target.name
    content_type = request.header(b"content-type").partition(";")[0].strip()
    patch = decode_yaml(request.body) if content_type.endswith("+yaml") else decode_json(request.body)
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
    updated = cluster.store.replace(kind, namespace, _roll_out(kind, after), dry_run=is_dry_run(request))
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
        check_new(patch, kind, namespace, cluster)
        patch.setdefault("metadata", {})["managedFields"] = [entry]
        created = cluster.store.create(kind, namespace, settle(kind.kind, patch), dry_run=is_dry_run(request))
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
    updated = cluster.store.replace(kind, namespace, _roll_out(kind, after), dry_run=is_dry_run(request))
    return present(request, kind, updated)


def delete_object(request: Request, cluster: Cluster, kind: Kind) -> Reply:
    namespace = object_namespace(request, kind)
    options = decode_body(request) if request.body else {}
    dry_run = is_dry_run(request) or options.get("dryRun") == ["All"]
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
        cluster.store.delete(kind, where, obj["metadata"]["name"], dry_run=is_dry_run(request))
    metadata = {"resourceVersion": str(cluster.store.revision)}
    return json_reply(
        {"kind": f"{kind.kind}List", "apiVersion": kind.api_version, "metadata": metadata, "items": victims}
    )


def _empty_namespace(cluster: Cluster, namespace: str) -> None:
    for kind in KINDS:
        if kind.namespaced:
            for obj in list(cluster.store.list(kind, namespace)):
                cluster.store.delete(kind, namespace, obj["metadata"]["name"])


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
