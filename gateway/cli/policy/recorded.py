"""Recorded calls, oldest first -> what a policy can be asked about them: the call, the facts, what was decided then.

A call is read again from the target that went upstream, or, where none did, from what the client sent; it must be the
call that the record describes. What never came before the policy (nobody identified, a target or body that was refused)
is counted, not replayed.
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from gateway.policy.hindsight import Known
from gateway.policy.masking.masker import decode_body
from gateway.policy.model import ActiveGrant, Facts, JsonObject
from gateway.principal import Principal
from protocol.apicall import Call, parse_call
from protocol.errors import RefusedTarget, Unreadable
from storage.errors import OutOfReach, Shredded
from storage.index_schema import CallRow
from storage.query import Query
from storage.records import CallRecord, Intent, Outcome, PrincipalRecord, RequestBody, VerdictRecord
from storage.search import Archive
from storage.sources import RecordSource
from storage.timeline import read_call

PAGE_CALLS: Final = 500
MAX_BODY_BYTES: Final = 3 * 1024 * 1024 + 64 * 1024
"""The largest body that is forwarded, and so recorded."""

_HOUR_NS: Final = 3600 * 10**9


class RecordedCall(msgspec.Struct, frozen=True):
    """One call that was judged. verdict: as it was recorded."""

    exchange: bytes
    at_ns: int
    method: str
    facts: Facts
    known: Known
    verdict: VerdictRecord


class Skipped(msgspec.Struct, frozen=True):
    """A call that cannot be replayed, and why."""

    exchange: bytes
    at_ns: int
    user: str
    why: str


NOT_JUDGED: Final = "refused before any policy was asked"
UNREADABLE_CALL: Final = "its target was masked, so the call cannot be read again"


def recorded_calls(source: RecordSource, archive: Archive, query: Query) -> Iterator[RecordedCall | Skipped]:
    """Oldest first. Holds one page of rows and one call."""
    for row in _rows(archive, query):
        try:
            yield _read(source, archive, row)
        except (Shredded, OutOfReach) as error:
            yield Skipped(row.exchange, row.at_ns, row.user, str(error))


def _rows(archive: Archive, query: Query) -> Iterator[CallRow]:
    """Page by page: the next begins at the time of the last call of this one, and leaves out what was seen."""
    seen: set[bytes] = set()
    while True:
        limit = PAGE_CALLS + len(seen)
        page = archive.calls(query, limit=limit, oldest_first=True)
        yield from (row for row in page if row.exchange not in seen)
        if len(page) < limit:
            return
        last_ns = page[-1].at_ns
        seen = {row.exchange for row in page if row.at_ns == last_ns}
        query = msgspec.structs.replace(query, since_ns=last_ns)


def _read(source: RecordSource, archive: Archive, row: CallRow) -> RecordedCall | Skipped:
    intent: Intent | None = None
    outcome: Outcome | None = None
    body = bytearray()
    for _, record in read_call(source, archive, row):
        if isinstance(record, Intent):
            intent = record
        elif isinstance(record, Outcome):
            outcome = record
        elif isinstance(record, RequestBody) and len(body) <= MAX_BODY_BYTES:
            body += record.data
    if intent is None or intent.principal is None or intent.call is None or _is_unjudged(intent, outcome):
        return Skipped(row.exchange, row.at_ns, row.user, NOT_JUDGED)
    call = _call(intent, intent.call)
    if call is None:
        return Skipped(row.exchange, row.at_ns, row.user, UNREADABLE_CALL)
    sent, is_known = _body(intent, call, bytes(body))
    facts = Facts(
        principal=_principal(intent.principal),
        call=call,
        source_address=intent.source.rpartition(":")[0].strip("[]"),
        at_ns=intent.at_ns,
        object=sent,
        grants=_grants(intent),
    )
    known = Known(is_known, all_grants=intent.verdict.mode == "observe")
    return RecordedCall(intent.exchange, intent.at_ns, intent.method, facts, known, intent.verdict)


def _is_unjudged(intent: Intent, outcome: Outcome | None) -> bool:
    """A denial by a policy gives a reason; what is only refused was never decided."""
    if intent.verdict.action == "deny":
        return not intent.verdict.reason and not intent.verdict.rules
    return intent.verdict.action == "allow" and outcome is not None and outcome.result == "refused"


def _call(intent: Intent, wanted: CallRecord) -> Call | None:
    for target in (intent.upstream_target, intent.target):
        try:
            call = parse_call(intent.method.encode(), target)
        except RefusedTarget:
            continue
        if _is_same(call, wanted):
            return call
    return None


def _is_same(call: Call, wanted: CallRecord) -> bool:
    """Below a path of the API server's URL the target that went upstream is another one: then that of the client."""
    if not call.is_resource:
        return wanted.resource == "" and call.path == wanted.path.partition("?")[0]
    ours = (call.group, call.resource, call.subresource, call.namespace, call.name)
    return ours == (wanted.group, wanted.resource, wanted.subresource, wanted.namespace, wanted.name)


def _principal(record: PrincipalRecord) -> Principal:
    return Principal(
        user=record.user,
        groups=record.groups,
        method=record.method,
        credential_id=record.credential_id,
        issuer=record.issuer,
        subject=record.subject,
        uid=record.uid,
        extra=record.extra,
        expires_ns=record.expires_ns,
    )


def _grants(intent: Intent) -> tuple[ActiveGrant, ...]:
    """Those whose rules stand in the verdict: `policy/grant/rule`."""
    parts = [rule.split("/") for rule in intent.verdict.rules]
    bundles = dict.fromkeys(part[1] for part in parts if len(part) == 3)
    return tuple(ActiveGrant(f"recorded-{name}", name, intent.at_ns + _HOUR_NS) for name in bundles)


def _body(intent: Intent, call: Call, body: bytes) -> tuple[JsonObject | None, bool]:
    """The object that was sent, and whether that is known. What was masked is masked here, too."""
    headers = dict(intent.headers)
    if not body:
        is_sent = headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers
        return None, not is_sent and call.verb not in ("create", "update", "patch")
    try:
        return decode_body(headers.get(b"content-type", b""), body, call), True
    except Unreadable:
        return None, False
