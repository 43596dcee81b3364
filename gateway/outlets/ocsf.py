"""One exchange -> an OCSF event of class API Activity (6003), as one line of JSON. Pure.

What has a place in the schema stands there; the rest of what we know is in `unmapped`. What policy decided is said by
the profile security_control: allowed or denied, and how it came to that. No body ever: OCSF has no place for one. A long-running call is told twice, when it begins (status unknown) and when it ends.
The trap: an object of the schema with none of its identifying fields is invalid, so a caller nobody could
identify has a name, and the resource of a list has its path for an id.
Source: schema.ocsf.io 1.7.0, classes/api_activity; github.com/ocsf/ocsf-schema.
"""

from itertools import islice
from typing import Final

from gateway.outlets import exchange_facts as facts
from gateway.outlets.audit_event import audit_id, micro_time
from gateway.outlets.exchange_records import ExchangeRecords, Stage
from gateway.outlets.json_lines import encode_line
from gateway.outlets.ocsf_class import (
    Actor,
    Api,
    ApiRequest,
    ApiResponse,
    Endpoint,
    Hold,
    HttpRequest,
    HttpResponse,
    Metadata,
    Named,
    OcsfEvent,
    Policy,
    Product,
    Resource,
    Session,
    Unmapped,
    Url,
    User,
)
from storage.policy_story import LOST, WAITING, HoldStory
from storage.records import CallRecord, Intent, PrincipalRecord

SCHEMA_VERSION: Final = "1.7.0"
CATEGORY_APPLICATION: Final = 6
CLASS_API_ACTIVITY: Final = 6003
MAX_WORDS: Final = 100
MAX_WORD_CHARS: Final = 512
PRODUCT: Final = "kubetape"
PROFILE: Final = "security_control"

_ACTIVITIES: Final = {
    "create": 1,
    "post": 1,
    "get": 2,
    "head": 2,
    "list": 2,
    "watch": 2,
    "options": 2,
    "update": 3,
    "put": 3,
    "patch": 3,
    "delete": 4,
    "deletecollection": 4,
}
_ACTIVITY_NAMES: Final = {1: "Create", 2: "Read", 3: "Update", 4: "Delete"}
_OTHER: Final = 99
_CONNECTING: Final = frozenset(("exec", "attach", "portforward", "proxy"))
_SEVERITIES: Final = {1: "Informational", 2: "Low", 3: "Medium"}
_STATUSES: Final = {None: (0, "Unknown"), True: (1, "Success"), False: (2, "Failure")}
_ACTIONS: Final = {0: "Unknown", 1: "Allowed", 2: "Denied"}
_DISPOSITIONS: Final = {0: "Unknown", 1: "Allowed", 2: "Blocked", 8: "Approved", 20: "Count", 25: "Rejected"}
_USER_KINDS: Final = (("system:serviceaccount:", 4), ("system:", 3))


def encode_ocsf_event(one: ExchangeRecords, stage: Stage, product_version: str) -> bytes:
    """The event of an exchange at a stage, as one line of JSON."""
    return encode_line(build_ocsf_event(one, stage, product_version))


def build_ocsf_event(one: ExchangeRecords, stage: Stage, product_version: str) -> OcsfEvent:
    """The event of an exchange at a stage. product_version: of the program that writes it."""
    intent, call = one.intent, one.intent.call
    operation = _operation(intent)
    activity_id = _activity(call, operation)
    activity = _ACTIVITY_NAMES.get(activity_id, operation)
    is_over = stage == "ResponseComplete"
    ending = facts.ending_of(one)
    status_id, status = _STATUSES[facts.succeeded(one) if is_over else None]
    severity_id = _severity(one, failed=status_id != 1) if is_over else 1
    address, port = facts.source_address(intent.source)
    action_id, disposition_id = _disposition(one)
    return OcsfEvent(
        activity_id=activity_id,
        activity_name=activity,
        category_uid=CATEGORY_APPLICATION,
        category_name="Application Activity",
        class_uid=CLASS_API_ACTIVITY,
        class_name="API Activity",
        type_uid=CLASS_API_ACTIVITY * 100 + activity_id,
        type_name=f"API Activity: {_ACTIVITY_NAMES.get(activity_id, 'Other')}",
        severity_id=severity_id,
        severity=_SEVERITIES[severity_id],
        time=facts.clamped(intent.at_ns) // 1_000_000,
        status_id=status_id,
        status=status,
        status_code=str(one.status) if one.status else "",
        status_detail=ending.message if ending.failed and is_over else "",
        message=_message(intent, operation),
        actor=_actor(intent),
        api=_api(one, operation, ending if is_over else None),
        src_endpoint=Endpoint(ip=address, port=port) if address else Endpoint(name="unknown"),
        http_request=_http_request(one),
        http_response=HttpResponse(one.status, _sent_bytes(one)) if one.status else None,
        action_id=action_id,
        action=_ACTIONS[action_id],
        disposition_id=disposition_id,
        disposition=_DISPOSITIONS[disposition_id],
        policy=_policy(intent),
        resources=(_resource(call),) if call is not None and call.resource else (),
        metadata=_metadata(one, stage, product_version),
        unmapped=_unmapped(one, stage),
    )


# --- classification ------------------------------------------------------------------------------


def _operation(intent: Intent) -> str:
    return facts.cut(intent.call.verb if intent.call else intent.method.lower(), 64) or "unknown"


def _activity(call: CallRecord | None, operation: str) -> int:
    """What opens a way into a pod is none of the four, whatever verb it came as."""
    if call is not None and call.subresource in _CONNECTING:
        return _OTHER
    return _ACTIVITIES.get(operation, _OTHER)


def _severity(one: ExchangeRecords, *, failed: bool) -> int:
    if one.intent.verdict.action == "deny" or one.result == "denied" or one.status in (401, 403):
        return 3
    return 2 if failed else 1


def _disposition(one: ExchangeRecords) -> tuple[int, int]:
    """action_id, disposition_id. Approved, Rejected: people said yes; people said no, or nobody said yes. Unknown: they
    are still asked, or the call never came before policy. Count: it was allowed, and a rule in shadow mode would not
    have done so."""
    intent, results = one.intent, one.story.hold_results
    if intent.principal is None or intent.call is None or one.result == "refused":
        return 0, 0
    if intent.verdict.action == "deny":
        return 2, 2
    if not facts.was_let_through(one):
        return (0, 0) if not results or results[-1] in (WAITING, LOST) else (2, 25)
    if intent.verdict.action == "hold":
        return 1, 8
    return (1, 20) if intent.verdict.shadow else (1, 1)


def _policy(intent: Intent) -> Policy | None:
    verdict = intent.verdict
    if not verdict.rules:
        return None
    names = facts.cut(",".join(verdict.rules[:MAX_WORDS]), facts.MAX_MESSAGE_CHARS)
    return Policy(
        name=names, uid=verdict.policy_sha256, desc=facts.cut(verdict.reason, facts.MAX_MESSAGE_CHARS)
    )


def _message(intent: Intent, operation: str) -> str:
    who = intent.principal.user if intent.principal else "somebody unidentified"
    call = intent.call
    if call is None or not call.resource:
        what = intent.target.decode("latin-1")
    else:
        kind = f"{call.resource}/{call.subresource}" if call.subresource else call.resource
        place = f" in {call.namespace}" if call.namespace else ""
        what = " ".join(filter(None, (kind, call.name))) + place
    return facts.cut(f"{who}: {operation} {what}", facts.MAX_MESSAGE_CHARS)


# --- the parts -----------------------------------------------------------------------------------


def _actor(intent: Intent) -> Actor:
    principal = intent.principal
    session = Session(uid=intent.session, issuer=principal.issuer if principal else "", is_remote=True)
    if principal is None:
        return Actor(User(name="unidentified", type_id=0), session)
    return Actor(_user(principal), session)


def _user(principal: PrincipalRecord) -> User:
    kinds = (kind for prefix, kind in _USER_KINDS if principal.user.startswith(prefix))
    groups = tuple(map(Named, principal.groups[:MAX_WORDS]))
    uid = principal.uid or principal.subject
    return User(name=principal.user, type_id=next(kinds, 1), uid=uid, groups=groups)


def _api(one: ExchangeRecords, operation: str, ending: facts.Ending | None) -> Api:
    call = one.intent.call
    response = ApiResponse(one.status)
    if ending is not None and ending.failed:
        response = ApiResponse(one.status, ending.reason, ending.message)
    return Api(
        operation=operation,
        service=Named("kubernetes"),
        group=Named(facts.cut(call.group, MAX_WORD_CHARS)) if call and call.group else None,
        version=facts.cut(call.version, MAX_WORD_CHARS) if call else "",
        request=ApiRequest(audit_id(one.intent.exchange)),
        response=response,
    )


def _http_request(one: ExchangeRecords) -> HttpRequest:
    intent = one.intent
    path, _, query = facts.request_uri(one).partition("?")
    return HttpRequest(
        http_method=facts.cut(intent.method, 64),
        url=Url(path or "-", query),
        user_agent=facts.cut(intent.user_agent, facts.MAX_USER_AGENT_CHARS),
        uid=audit_id(intent.exchange),
        version=intent.http_version,
        body_length=one.outcome.request_bytes if one.outcome else 0,
    )


def _sent_bytes(one: ExchangeRecords) -> int:
    return one.outcome.response_bytes if one.outcome else 0


def _resource(call: CallRecord) -> Resource:
    kind = f"{call.resource}/{call.subresource}" if call.subresource else call.resource
    return Resource(
        uid=facts.cut(call.path.partition("?")[0], 1024),
        name=facts.cut(call.name, MAX_WORD_CHARS),
        type=facts.cut(kind, MAX_WORD_CHARS),
        namespace=facts.cut(call.namespace, MAX_WORD_CHARS),
        version=facts.cut(call.version, MAX_WORD_CHARS),
        group=Named(facts.cut(call.group, MAX_WORD_CHARS)) if call.group else None,
    )


def _metadata(one: ExchangeRecords, stage: Stage, product_version: str) -> Metadata:
    intent = one.intent
    name = audit_id(intent.exchange)
    return Metadata(
        product=Product(PRODUCT, PRODUCT, product_version),
        version=SCHEMA_VERSION,
        uid=name if stage == "ResponseComplete" else f"{name}/{stage}",
        correlation_uid=facts.cut(intent.kubectl_session or intent.session, MAX_WORD_CHARS),
        event_code=stage,
        log_name=PRODUCT,
        original_time=micro_time(facts.clamped(intent.at_ns)),
        profiles=(PROFILE,),
    )


def _unmapped(one: ExchangeRecords, stage: Stage) -> Unmapped:
    intent, verdict, call = one.intent, one.intent.verdict, one.intent.call
    lasted_ns = facts.moment_ns(one, stage) - facts.clamped(intent.at_ns)
    return Unmapped(
        decision=verdict.action,
        mode=verdict.mode,
        rules=verdict.rules[:MAX_WORDS],
        policy_sha256=verdict.policy_sha256,
        session=intent.session,
        kubectl_command=facts.cut(intent.kubectl_command, MAX_WORD_CHARS),
        kubectl_session=facts.cut(intent.kubectl_session, MAX_WORD_CHARS),
        result=one.result,
        gap=one.gap,
        exit_code=one.exit_code,
        stream=one.tunnel.kind if one.tunnel else "",
        container=facts.cut(call.container, MAX_WORD_CHARS) if call else "",
        argv=tuple(facts.cut(word, MAX_WORD_CHARS) for word in call.argv[:MAX_WORDS]) if call else (),
        ports=call.ports[:MAX_WORDS] if call else (),
        dry_run=call.dry_run if call else False,
        duration_ms=max(0, lasted_ns // 1_000_000),
        scope=verdict.scope,
        shadow=verdict.shadow[:MAX_WORDS],
        grants=verdict.grants[:MAX_WORDS],
        holds=tuple(map(_hold, one.story.holds[:MAX_WORDS])),
        masked=dict(islice(one.story.masked.items(), MAX_WORDS)),
        budgets=tuple(one.story.budgets[:MAX_WORDS]),
    )


def _hold(hold: HoldStory) -> Hold:
    """Without the note: it is text for the person who asked, and is in the record."""
    held_us = max(0, hold.ended_us - hold.begun_us) if hold.ended_us else 0
    return Hold(
        id=hold.hold, result=hold.result, by=hold.by[:MAX_WORDS], rules=hold.rules, held_ms=held_us // 1000
    )
