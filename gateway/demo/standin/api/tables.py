"""Objects -> Table, the form kubectl prints.

Columns are those kube-apiserver prints for the kind, priority 1 ones under -o wide. Rows carry the
object's metadata by default, the object or nothing by `includeObject`. Source: kubernetes
pkg/printers/internalversion, apiserver endpoints/handlers/response.go.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, TypeAlias

from gateway.demo.standin.api.kinds import Kind
from gateway.demo.standin.replies import JsonObject

Cells: TypeAlias = Callable[[JsonObject, datetime], list[Any]]
_Column: TypeAlias = tuple[str, str, int]  # name, type, priority


def wants_table(accept: str) -> bool:
    """True if the client would rather have a Table: its first JSON clause asks for one."""
    for clause in accept.split(","):
        parameters = {part.strip() for part in clause.split(";")}
        if "application/json" in parameters:
            return "as=Table" in parameters and "g=meta.k8s.io" in parameters
    return False


def render_table(
    kind: Kind,
    objects: list[JsonObject],
    metadata: JsonObject,
    now: datetime,
    include: str,
    *,
    columns: bool = True,
) -> JsonObject:
    """A Table of some objects. include: "", "Metadata", "Object" or "None". columns: with definitions."""
    definitions, cells = _PRINTERS.get(kind.kind, (_PLAIN_COLUMNS, _plain_cells))
    table: JsonObject = {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata}
    table["columnDefinitions"] = [_definition(column) for column in definitions] if columns else []
    table["rows"] = [_row(obj, cells(obj, now), include) for obj in objects]
    return table


def _definition(column: _Column) -> JsonObject:
    name, kind, priority = column
    shown_as = "name" if name == "Name" else ""
    return {
        "name": name,
        "type": kind,
        "format": shown_as,
        "description": f"{name} of the object",
        "priority": priority,
    }


def _row(obj: JsonObject, cells: list[Any], include: str) -> JsonObject:
    row: JsonObject = {"cells": cells}
    if include == "Object":
        row["object"] = obj
    elif include != "None":
        row["object"] = {
            "kind": "PartialObjectMetadata",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": obj["metadata"],
        }
    return row


def format_age(obj: JsonObject, now: datetime) -> str:
    """How long ago the object was made, as kubectl abbreviates it."""
    created = obj["metadata"].get("creationTimestamp")
    if not created:
        return "<unknown>"
    seconds = int((now - datetime.fromisoformat(created)).total_seconds())
    if seconds < 120:
        return f"{max(seconds, 0)}s"
    if seconds < 7200:
        return f"{seconds // 60}m"
    return f"{seconds // 3600}h" if seconds < 172800 else f"{seconds // 86400}d"


def _name(obj: JsonObject) -> str:
    return str(obj["metadata"]["name"])


def _plain_cells(obj: JsonObject, now: datetime) -> list[Any]:
    return [_name(obj), format_age(obj, now)]


def _pod_cells(obj: JsonObject, now: datetime) -> list[Any]:
    status = obj.get("status", {})
    containers = obj.get("spec", {}).get("containers", [])
    ready = sum(1 for one in status.get("containerStatuses", []) if one.get("ready"))
    node = obj.get("spec", {}).get("nodeName", "<none>")
    phase = status.get("phase", "Unknown")
    return [
        _name(obj),
        f"{ready}/{len(containers)}",
        phase,
        "0",
        format_age(obj, now),
        status.get("podIP", "<none>"),
        node,
    ]


def _deployment_cells(obj: JsonObject, now: datetime) -> list[Any]:
    status, spec = obj.get("status", {}), obj.get("spec", {})
    containers = spec.get("template", {}).get("spec", {}).get("containers", [])
    return [
        _name(obj),
        f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 1)}",
        status.get("updatedReplicas", 0),
        status.get("availableReplicas", 0),
        format_age(obj, now),
        ",".join(one.get("name", "") for one in containers),
        ",".join(one.get("image", "") for one in containers),
    ]


def _replicaset_cells(obj: JsonObject, now: datetime) -> list[Any]:
    status, wanted = obj.get("status", {}), obj.get("spec", {}).get("replicas", 1)
    return [
        _name(obj),
        wanted,
        status.get("replicas", 0),
        status.get("readyReplicas", 0),
        format_age(obj, now),
    ]


def _service_cells(obj: JsonObject, now: datetime) -> list[Any]:
    spec = obj.get("spec", {})
    ports = ",".join(f"{port.get('port')}/{port.get('protocol', 'TCP')}" for port in spec.get("ports", []))
    return [
        _name(obj),
        spec.get("type", "ClusterIP"),
        spec.get("clusterIP", "None"),
        "<none>",
        ports or "<none>",
        format_age(obj, now),
    ]


def _event_cells(obj: JsonObject, now: datetime) -> list[Any]:
    about = obj.get("involvedObject", {})
    what = f"{about.get('kind', '').lower()}/{about.get('name', '')}"
    return [
        format_age(obj, now),
        obj.get("type", ""),
        obj.get("reason", ""),
        what,
        obj.get("message", ""),
        _name(obj),
    ]


def _node_cells(obj: JsonObject, now: datetime) -> list[Any]:
    version = obj.get("status", {}).get("nodeInfo", {}).get("kubeletVersion", "")
    return [_name(obj), "Ready", "<none>", format_age(obj, now), version]


_TEXT: Final = "string"
_PLAIN_COLUMNS: Final[tuple[_Column, ...]] = (("Name", _TEXT, 0), ("Age", _TEXT, 0))
_PRINTERS: Final[dict[str, tuple[tuple[_Column, ...], Cells]]] = {
    "Pod": (
        (
            ("Name", _TEXT, 0),
            ("Ready", _TEXT, 0),
            ("Status", _TEXT, 0),
            ("Restarts", _TEXT, 0),
            ("Age", _TEXT, 0),
            ("IP", _TEXT, 1),
            ("Node", _TEXT, 1),
        ),
        _pod_cells,
    ),
    "Deployment": (
        (
            ("Name", _TEXT, 0),
            ("Ready", _TEXT, 0),
            ("Up-to-date", "integer", 0),
            ("Available", "integer", 0),
            ("Age", _TEXT, 0),
            ("Containers", _TEXT, 1),
            ("Images", _TEXT, 1),
        ),
        _deployment_cells,
    ),
    "ReplicaSet": (
        (
            ("Name", _TEXT, 0),
            ("Desired", "integer", 0),
            ("Current", "integer", 0),
            ("Ready", "integer", 0),
            ("Age", _TEXT, 0),
        ),
        _replicaset_cells,
    ),
    "Service": (
        (
            ("Name", _TEXT, 0),
            ("Type", _TEXT, 0),
            ("Cluster-IP", _TEXT, 0),
            ("External-IP", _TEXT, 0),
            ("Port(s)", _TEXT, 0),
            ("Age", _TEXT, 0),
        ),
        _service_cells,
    ),
    "Secret": (
        (("Name", _TEXT, 0), ("Type", _TEXT, 0), ("Data", "integer", 0), ("Age", _TEXT, 0)),
        lambda obj, now: [_name(obj), obj.get("type", ""), len(obj.get("data", {})), format_age(obj, now)],
    ),
    "ConfigMap": (
        (("Name", _TEXT, 0), ("Data", "integer", 0), ("Age", _TEXT, 0)),
        lambda obj, now: [_name(obj), len(obj.get("data", {})), format_age(obj, now)],
    ),
    "Namespace": (
        (("Name", _TEXT, 0), ("Status", _TEXT, 0), ("Age", _TEXT, 0)),
        lambda obj, now: [_name(obj), obj.get("status", {}).get("phase", ""), format_age(obj, now)],
    ),
    "ServiceAccount": (
        (("Name", _TEXT, 0), ("Secrets", "integer", 0), ("Age", _TEXT, 0)),
        lambda obj, now: [_name(obj), len(obj.get("secrets", [])), format_age(obj, now)],
    ),
    "Event": (
        (
            ("Last Seen", _TEXT, 0),
            ("Type", _TEXT, 0),
            ("Reason", _TEXT, 0),
            ("Object", _TEXT, 0),
            ("Message", _TEXT, 0),
            ("Name", _TEXT, 1),
        ),
        _event_cells,
    ),
    "Node": (
        (
            ("Name", _TEXT, 0),
            ("Status", _TEXT, 0),
            ("Roles", _TEXT, 0),
            ("Age", _TEXT, 0),
            ("Version", _TEXT, 0),
        ),
        _node_cells,
    ),
}
