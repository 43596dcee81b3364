"""One exchange -> events of audit.k8s.io/v1, as kube-apiserver writes them and Falco's k8saudit reads them. Pure.

`ResponseComplete` for every call, `ResponseStarted` too when a long-running one begins; both under one
`auditID`, the exchange id, which is also the Audit-ID the cluster's own audit log has. `Panic` never: it
would speak of a process that is not ours. The user is always the person, whatever credential goes upstream.

Bodies are shown as JSON, masked, up to a cap; whatever is left out is said in an annotation, and the level
says what is there. The trap: an event larger than its receiver takes is lost there, silently (Falco reads
lines of at most 64 KiB from a file and events of at most 256 KiB), so the last word has the size.
Source: k8s.io/apiserver pkg/apis/audit/v1 types.go; falcosecurity/plugins k8saudit extract.go, source.go.
"""

import uuid
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Final, NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from gateway.outlets import exchange_facts as facts
from gateway.outlets.exchange_records import ExchangeRecords, KeptBody, Stage
from gateway.outlets.json_lines import encode_line
from gateway.outlets.masking import mask, may_hold_secrets, may_show_bodies
from gateway.outlets.object_name import ObjectName, object_name
from storage.errors import UNDECODABLE
from storage.policy_story import PolicyStory
from storage.records import CallRecord, PrincipalRecord

API_VERSION: Final = "audit.k8s.io/v1"
EVENT_LIST_HEAD: Final = b'{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":['
EVENT_LIST_TAIL: Final = b"]}"

HANDED_ON: Final = frozenset(("attach", "exec", "portforward", "proxy"))
MAX_ANNOTATION_CHARS: Final = 1024
MAX_NAME_CHARS: Final = 512
"""Names of Kubernetes have at most 253; a path can hold any."""
MAX_GROUPS: Final = 500
MAX_EXTRA: Final = 100


class UserInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """k8s.io/api/authentication/v1 UserInfo; empty for a caller nobody could identify."""

    username: str = ""
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: dict[str, tuple[str, ...]] = {}


class ObjectReference(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """What the call was about; a list has no name."""

    resource: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""
    api_group: str = ""
    api_version: str = ""
    subresource: str = ""


class ResponseStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    """metav1.Status without its kind. code 0 (left out): nothing went down, or nobody knows."""

    metadata: dict[str, str]
    status: str = ""
    message: str = ""
    reason: str = ""
    code: int = 0


class AuditEvent(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    rename="camel",
    tag_field="kind",
    tag="Event",
):
    """audit.k8s.io/v1 Event. Fields without a default are always written, as Go writes them."""

    api_version: str
    level: str
    audit_id: str = msgspec.field(name="auditID")
    stage: Stage
    request_uri: str = msgspec.field(name="requestURI")
    verb: str
    user: UserInfo
    source_ips: tuple[str, ...] = msgspec.field(name="sourceIPs", default=())
    user_agent: str = ""
    object_ref: ObjectReference | UnsetType = UNSET
    response_status: ResponseStatus | UnsetType = UNSET
    request_object: msgspec.Raw | UnsetType = UNSET
    response_object: msgspec.Raw | UnsetType = UNSET
    request_received_timestamp: str
    stage_timestamp: str
    annotations: dict[str, str]


class Limits(NamedTuple):
    """object_bytes: of one body, as recorded; event_bytes: of a whole event, encoded."""

    object_bytes: int
    event_bytes: int
    metadata_only: Collection[str] = ()


class _Object(NamedTuple):
    """A body as it may leave. note: why it is not here; masked: places emptied in it."""

    json: msgspec.Raw | None = None
    note: str = ""
    masked: int = 0


def encode_audit_event(one: ExchangeRecords, stage: Stage, limits: Limits) -> bytes:
    """The event of an exchange at a stage, as one line of JSON of at most `event_bytes`."""
    event = build_audit_event(one, stage, limits)
    encoded = encode_line(event)
    for field, what in (("response_object", "responseObject"), ("request_object", "requestObject")):
        if len(encoded) > limits.event_bytes and getattr(event, field) is not UNSET:
            event = _without(event, field, f"{what}: the event was over {limits.event_bytes} bytes")
            encoded = encode_line(event)
    if len(encoded) > limits.event_bytes:
        encoded = encode_line(_bare(event, limits.event_bytes))
    return encoded


def encode_event_list(events: Collection[bytes]) -> bytes:
    """Encoded events -> the body that kube-apiserver's audit webhook would send."""
    return EVENT_LIST_HEAD + b",".join(events) + EVENT_LIST_TAIL


def build_audit_event(one: ExchangeRecords, stage: Stage, limits: Limits) -> AuditEvent:
    """The event of an exchange at a stage; bodies are in it only when it is complete."""
    intent, call = one.intent, one.intent.call
    request, response = _Object(), _Object()
    if stage == "ResponseComplete" and call is not None:
        request, response = _objects(one, call, limits)
    address, _ = facts.source_address(intent.source)
    return AuditEvent(
        api_version=API_VERSION,
        level=_level(request.json, response.json),
        audit_id=audit_id(intent.exchange),
        stage=stage,
        request_uri=facts.request_uri(one),
        verb=facts.cut(call.verb if call else intent.method.lower(), MAX_NAME_CHARS),
        user=_user(intent.principal),
        source_ips=(address,) if address else (),
        user_agent=facts.cut(intent.user_agent, facts.MAX_USER_AGENT_CHARS),
        object_ref=_reference(one, call) if call and call.resource else UNSET,
        response_status=_response_status(one, stage),
        request_object=UNSET if request.json is None else request.json,
        response_object=UNSET if response.json is None else response.json,
        request_received_timestamp=micro_time(facts.clamped(intent.at_ns)),
        stage_timestamp=micro_time(facts.moment_ns(one, stage)),
        annotations=_annotations(one, stage, request, response),
    )


def audit_id(exchange: bytes) -> str:
    """As it stands in the Audit-ID header and in the cluster's own audit log."""
    return str(uuid.UUID(bytes=exchange))


def micro_time(at_ns: int) -> str:
    """metav1.MicroTime: 2026-01-31T10:00:00.123456Z."""
    at = datetime.fromtimestamp(at_ns // 1_000_000_000, UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at_ns // 1000 % 1_000_000:06d}Z"


# --- the parts -----------------------------------------------------------------------------------


def _level(request: msgspec.Raw | None, response: msgspec.Raw | None) -> str:
    if response is not None:
        return "RequestResponse"
    return "Request" if request is not None else "Metadata"


def _user(principal: PrincipalRecord | None) -> UserInfo:
    if principal is None:
        return UserInfo()
    extra = dict(principal.extra[:MAX_EXTRA])
    return UserInfo(principal.user, principal.uid, principal.groups[:MAX_GROUPS], extra)


def _reference(one: ExchangeRecords, call: CallRecord) -> ObjectReference:
    """A created object has its name in its body only; kube-apiserver looks there, too."""
    named = ObjectName(call.name)
    if call.verb == "create" and not call.name:
        named = object_name(bytes(one.request.data))
        if not named.name:
            named = object_name(bytes(one.response.data))
    names = (
        call.resource,
        call.namespace,
        named.name,
        named.uid,
        call.group,
        call.version,
        call.subresource,
    )
    return ObjectReference(*(facts.cut(name, MAX_NAME_CHARS) for name in names))


def _response_status(one: ExchangeRecords, stage: Stage) -> ResponseStatus | UnsetType:
    if stage == "ResponseStarted":
        return ResponseStatus({}, code=one.status) if one.status else UNSET
    ending = facts.ending_of(one)
    if not ending.failed:
        return ResponseStatus({}, code=ending.status)
    message = ending.message or "nothing was answered"
    return ResponseStatus({}, "Failure", message, ending.reason, ending.status)


def _annotations(one: ExchangeRecords, stage: Stage, request: _Object, response: _Object) -> dict[str, str]:
    intent, verdict = one.intent, one.intent.verdict
    words = {
        "authorization.k8s.io/decision": _authorization(one),
        "authorization.k8s.io/reason": verdict.reason,
        "kubetape/decision": verdict.action,
        "kubetape/mode": verdict.mode,
        "kubetape/rule": ",".join(verdict.rules),
        "kubetape/policy-sha": verdict.policy_sha256,
        "kubetape/shadow": ",".join(verdict.shadow),
        "kubetape/grant": ",".join(verdict.grants),
        "kubetape/scope": "" if verdict.scope == "full" else verdict.scope,
        "kubetape/session": intent.session,
        "kubetape/command": intent.kubectl_command,
        "kubetape/stream": one.tunnel.kind if one.tunnel else "",
    }
    if stage == "ResponseComplete":
        bodies = (("requestObject", request), ("responseObject", response))
        words |= {
            "kubetape/result": one.result,
            "kubetape/why": one.why,
            "kubetape/exit-code": "" if one.exit_code is None else str(one.exit_code),
            "kubetape/gap": one.gap,
            "kubetape/truncated": "; ".join(f"{name}: {body.note}" for name, body in bodies if body.note),
            "kubetape/emptied": ",".join(name for name, body in bodies if body.masked),
            **_story_words(one.story),
        }
    return {name: facts.cut(word, MAX_ANNOTATION_CHARS) for name, word in words.items() if word}


def _story_words(story: PolicyStory) -> dict[str, str]:
    """What policy did after the verdict. masked: values hidden by each rule, in the answer and in the record."""
    return {
        "kubetape/approval": ",".join(dict.fromkeys(hold.hold for hold in story.holds)),
        "kubetape/hold": ",".join(story.hold_results),
        "kubetape/approved-by": ",".join(story.approvers),
        "kubetape/masked": ",".join(f"{rule}={count}" for rule, count in story.masked.items()),
        "kubetape/budget": ",".join(story.budgets),
    }


def _authorization(one: ExchangeRecords) -> str:
    """kube-apiserver's own words. "": the question was not reached, or who answered it cannot be told."""
    call = one.intent.call
    if one.intent.principal is None or call is None or one.result == "refused":
        return ""
    if not facts.was_let_through(one):
        return "forbid"
    if one.status != 403:
        return "allow"
    # What the API server handed on, a kubelet or an application may have refused for reasons of its own.
    return "" if call.subresource in HANDED_ON else "forbid"


# --- bodies --------------------------------------------------------------------------------------


def _objects(one: ExchangeRecords, call: CallRecord, limits: Limits) -> tuple[_Object, _Object]:
    if may_show_bodies(call, limits.metadata_only):
        return _object(one.request, limits.object_bytes), _object(one.response, limits.object_bytes)
    if call.resource and may_hold_secrets(call, limits.metadata_only):
        withheld = "bodies of this resource are never sent on"
        request, response = one.request.size > 0, one.response.size > 0
        return _Object(note=withheld if request else ""), _Object(note=withheld if response else "")
    return _Object(), _Object()


def _object(body: KeptBody, limit_bytes: int) -> _Object:
    """A recorded body as JSON without secrets, or why not."""
    if body.size == 0:
        return _Object()
    if body.is_cut or body.size > limit_bytes:
        why = f"more than the cap of {limit_bytes}" if body.size > limit_bytes else "not kept"
        return _Object(note=f"{body.size} bytes, {why}")
    if body.encoding:
        return _Object(note=f"encoded as {facts.cut(body.encoding, 40)}")
    try:
        value = msgspec.json.decode(bytes(body.data))
    except UNDECODABLE:
        return _Object(note=f"not JSON: {facts.cut(body.content_type, 80) or 'of unknown type'}")
    if not isinstance(value, dict | list):
        return _Object(note="not an object")
    masked, removed = mask(value)
    return _Object(msgspec.Raw(msgspec.json.encode(masked)), "", removed)


def _without(event: AuditEvent, field: str, note: str) -> AuditEvent:
    """The event without one body, and the words that say so."""
    event = msgspec.structs.replace(event, **{field: UNSET})
    notes = [event.annotations.get("kubetape/truncated", ""), note]
    annotations = event.annotations | {"kubetape/truncated": "; ".join(filter(None, notes))}
    request = None if event.request_object is UNSET else event.request_object
    level = _level(request if isinstance(request, msgspec.Raw) else None, None)
    return msgspec.structs.replace(event, level=level, annotations=annotations)


def _bare(event: AuditEvent, limit_bytes: int) -> AuditEvent:
    """What identifies the call: ids, user, verb, object. For calls that are all name and query."""
    note = f"names and queries: the event was over {limit_bytes} bytes"
    annotations = {key: word for key, word in event.annotations.items() if len(word) <= 128}
    user = UserInfo(facts.cut(event.user.username, 256), facts.cut(event.user.uid, 128))
    about: ObjectReference | UnsetType = event.object_ref
    if isinstance(about, ObjectReference):
        about = ObjectReference(*(facts.cut(name, 128) for name in msgspec.structs.astuple(about)))
    return msgspec.structs.replace(
        event,
        request_uri=facts.cut(event.request_uri, 1024),
        verb=facts.cut(event.verb, 128),
        user=user,
        user_agent=facts.cut(event.user_agent, 256),
        object_ref=about,
        annotations=annotations | {"kubetape/truncated": note},
    )
