"""audit.k8s.io/v1 as it is published, strictly, and as Falco's k8saudit plugin reads it.

Source: k8s.io/apiserver pkg/apis/audit/v1 types.go (fields and which of them Go always writes);
falcosecurity/plugins, plugins/k8saudit/pkg/k8saudit extract.go and source.go (0.18).
"""

import json
import re
from datetime import datetime
from typing import Any, Literal

import msgspec

FALCO_EVENT_BYTES = 262_144
FALCO_LINE_BYTES = 65_536  # bufio.MaxScanTokenSize: a longer line ends its reading of a file

MICRO_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
QUALIFIED_NAME = re.compile(r"([a-z0-9.-]+/)?[A-Za-z0-9][A-Za-z0-9._-]*")

FALCO_FIELDS = {
    "ka.auditid": ("auditID",),
    "ka.stage": ("stage",),
    "ka.auth.decision": ("annotations", "authorization.k8s.io/decision"),
    "ka.auth.reason": ("annotations", "authorization.k8s.io/reason"),
    "ka.user.name": ("user", "username"),
    "ka.user.groups": ("user", "groups"),
    "ka.impuser.name": ("impersonatedUser", "username"),
    "ka.verb": ("verb",),
    "ka.uri": ("requestURI",),
    "ka.target.name": ("objectRef", "name"),
    "ka.target.namespace": ("objectRef", "namespace"),
    "ka.target.resource": ("objectRef", "resource"),
    "ka.target.subresource": ("objectRef", "subresource"),
    "ka.req.binding.subjects": ("requestObject", "subjects"),
    "ka.req.binding.role": ("requestObject", "roleRef", "name"),
    "ka.req.configmap.obj": ("requestObject", "data"),
    "ka.req.pod.host_network": ("requestObject", "spec", "hostNetwork"),
    "ka.req.role.rules": ("requestObject", "rules"),
    "ka.resp.name": ("responseObject", "metadata", "name"),
    "ka.response.code": ("responseStatus", "code"),
    "ka.response.reason": ("responseStatus", "reason"),
    "ka.useragent": ("userAgent",),
    "ka.sourceips": ("sourceIPs",),
}


class _Published(msgspec.Struct, forbid_unknown_fields=True):
    pass


class UserInfo(_Published):
    username: str = ""
    uid: str = ""
    groups: list[str] = []
    extra: dict[str, list[str]] = {}


class Status(_Published):
    metadata: dict[str, str]
    status: Literal["Success", "Failure", ""] = ""
    message: str = ""
    reason: str = ""
    details: dict[str, Any] = {}
    code: int = 0


class ObjectReference(_Published):
    resource: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""
    apiGroup: str = ""
    apiVersion: str = ""
    resourceVersion: str = ""
    subresource: str = ""


class Event(_Published):
    kind: Literal["Event"]
    apiVersion: Literal["audit.k8s.io/v1"]
    level: Literal["Metadata", "Request", "RequestResponse"]
    auditID: str
    stage: Literal["RequestReceived", "ResponseStarted", "ResponseComplete", "Panic"]
    requestURI: str
    verb: str
    user: UserInfo
    requestReceivedTimestamp: str
    stageTimestamp: str
    impersonatedUser: UserInfo | None = None
    sourceIPs: list[str] = []
    userAgent: str = ""
    objectRef: ObjectReference | None = None
    responseStatus: Status | None = None
    requestObject: Any = None
    responseObject: Any = None
    annotations: dict[str, str] = {}


class EventList(_Published):
    kind: Literal["EventList"]
    apiVersion: Literal["audit.k8s.io/v1"]
    metadata: dict[str, str]
    items: list[Event]


def read_event(line: bytes) -> Event:
    """Decode one event as an API server would; fails on whatever is not in the type."""
    event = msgspec.json.decode(line, type=Event)
    _check(event)
    return event


def read_event_list(body: bytes) -> list[Event]:
    events = msgspec.json.decode(body, type=EventList).items
    for event in events:
        _check(event)
    return events


def _check(event: Event) -> None:
    assert MICRO_TIME.fullmatch(event.requestReceivedTimestamp)
    assert MICRO_TIME.fullmatch(event.stageTimestamp)
    assert datetime.fromisoformat(event.stageTimestamp) >= datetime.fromisoformat(
        event.requestReceivedTimestamp
    )
    assert all(QUALIFIED_NAME.fullmatch(name) for name in event.annotations), event.annotations
    has = (event.requestObject is not None, event.responseObject is not None)
    assert event.level == {(False, False): "Metadata", (True, False): "Request"}.get(has, "RequestResponse")
    if event.stage == "ResponseStarted":
        assert has == (False, False)


def falco(line: bytes) -> dict[str, Any]:
    """The `ka.*` fields Falco finds in an event; those it would not find are not there."""
    assert len(line) <= FALCO_EVENT_BYTES
    event = json.loads(line)
    assert isinstance(event, dict)
    assert event["kind"] == "Event"
    datetime.fromisoformat(event["stageTimestamp"])
    found = {}
    for field, path in FALCO_FIELDS.items():
        value: Any = event
        for step in path:
            value = value.get(step) if isinstance(value, dict) else None
        if value is not None:
            found[field] = value
    return found
