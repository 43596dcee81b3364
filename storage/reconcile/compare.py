"""Our record against a cluster's audit log: what each call is, and what it proves. Pure.

A log cannot show what was never recorded. The cluster's audit log is an independent witness: every call we
forwarded carries our exchange id as Audit-ID, so the two join one to one.

    unrecorded  our credential made a call that is not in our record: the serious one
    differs     one id, two stories: verb, target, user or status; or a change was made twice, or one that we say
                was denied or refused
    unseen      we say that it was forwarded, and the cluster has no trace of it
    around      somebody reached the cluster without us

The traps: one call has an event per stage; a status may rightly differ where a stream was handed to a kubelet;
a read may rightly be there twice, since a kept connection may die under it; calls at the borders of either log
may be in one and not yet, or no more, in the other; and parts of our own record may be gone by retention, or locked
away with a destroyed key: of such times we cannot say that something was not recorded.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import lru_cache
from typing import Final, NamedTuple

import msgspec

from protocol.query import redact_target
from storage.reconcile.audit_log import AuditEvent
from storage.reconcile.recorded import RecordedCall, Span

KINDS: Final = ("unrecorded", "differs", "unseen", "around")
"""The serious ones first."""

SYSTEM_USERS: Final = (
    "system:apiserver",
    "system:kube-*",
    "system:node:*",
    "system:serviceaccount:kube-system:*",
)
"""Parts of the cluster itself: they are meant to reach it without us."""

RARELY_AUDITED: Final = ("/healthz", "/livez", "/readyz", "/version", "/swagger")
"""What the audit policies of managed clusters leave out: not finding these proves nothing."""

_MASKED: Final = re.compile(
    r"(?:%5B|\[)masked(?:\+|%20)by(?:\+|%20)(?:[\w./~*-]|%[0-9A-Fa-f]{2})*?(?:%5D|\])"
)
"""What masking leaves in a recorded target, as a query or a path spells it."""
_ANY_OF_A_VALUE: Final = "[^&?]+"

_HIJACKED: Final = frozenset(("attach", "exec", "portforward", "proxy"))
_NEVER_SENT: Final = frozenset(("denied", "refused"))
_READING: Final = frozenset(("get", "list", "watch", "head", "options"))


class Finding(msgspec.Struct, frozen=True):
    """One thing an auditor should look at. source: address the cluster saw; detail: in words."""

    kind: str
    audit_id: str
    at_ns: int
    user: str
    verb: str
    target: str
    status: int
    source: str
    user_agent: str
    detail: str


# --- what two stories of one call differ in --------------------------------------------------------


def differences(call: RecordedCall, event: AuditEvent) -> list[str]:
    """In words, what record and event of one call say differently; [] if nothing."""
    found = []
    if event.verb != call.verb:
        found.append(f"verb: recorded {call.verb!r}, audited {event.verb!r}")
    audited = _without_token(event.request_uri)
    if not is_same_target(call.target, audited):
        found.append(f"target: recorded {call.target!r}, audited {audited!r}")
    if call.identity == "impersonate" and event.acting != call.user:
        found.append(f"user: recorded {call.user!r}, audited {event.acting!r}")
    elif call.identity == "shared" and event.impersonated_user is not None:
        found.append(f"user: recorded without impersonation, audited as {event.acting!r}")
    if call.result in _NEVER_SENT and not call.is_sent:
        found.append(f"recorded as {call.result} and not forwarded, audited all the same")
    is_comparable = event.stage == "ResponseComplete" and call.result == "completed" and event.code
    is_handed_on = event.code == 101 and call.subresource in _HIJACKED
    if is_comparable and not is_handed_on and event.code != call.status:
        found.append(f"status: recorded {call.status}, audited {event.code}")
    return found


def _without_token(request_uri: str) -> str:
    """As the record has it: without the value of an `access_token`, which only a proxied backend's query may carry."""
    return redact_target(request_uri.encode(errors="backslashreplace")).decode()


def is_same_target(recorded: str, audited: str) -> bool:
    """Whether they differ at most where the record hides a secret: there, anything within one value may stand."""
    if recorded == audited:
        return True
    parts = _MASKED.split(recorded)
    return len(parts) > 1 and re.fullmatch(_ANY_OF_A_VALUE.join(map(re.escape, parts)), audited) is not None


def may_repeat(call: RecordedCall) -> bool:
    """Whether two audited attempts are in order: we repeat what changes nothing, once."""
    return call.verb in _READING


def is_expected(call: RecordedCall) -> bool:
    """Whether the cluster must have audited it, if it was auditing: it answered, or we know of no failure."""
    return call.is_sent and call.ended_ns > 0 and (call.is_answered or call.result != "failed")


def is_rarely_audited(call: RecordedCall) -> bool:
    path = call.target.partition("?")[0]
    return any(path == root or path.startswith(root + "/") for root in RARELY_AUDITED)


def matches(user: str, patterns: Collection[str]) -> bool:
    """Whether a user is one of these; `*` in a pattern stands for anything."""
    return any(user == pattern or _compiled(pattern).fullmatch(user) for pattern in patterns)


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    """Only `*` is special: a user name may hold brackets and question marks."""
    return re.compile(".*".join(map(re.escape, pattern.split("*"))), re.DOTALL)


def is_system(user: str) -> bool:
    return matches(user, SYSTEM_USERS)


# --- findings ---------------------------------------------------------------------------------------


def finding_of_event(kind: str, event: AuditEvent, detail: str) -> Finding:
    """What an event alone shows."""
    user = event.user.username
    if event.impersonated_user is not None:
        user = f"{user} as {event.acting}"
    return Finding(
        kind=kind,
        audit_id=event.audit_id,
        at_ns=event.received_ns,
        user=user,
        verb=event.verb,
        target=_without_token(event.request_uri),
        status=event.code,
        source=(event.source_ips or ("",))[-1],
        user_agent=event.user_agent,
        detail=detail,
    )


def finding_of_call(call: RecordedCall, detail: str) -> Finding:
    """What our record alone shows: unseen."""
    return Finding(
        kind="unseen",
        audit_id=call.audit_id,
        at_ns=call.at_ns,
        user=call.user,
        verb=call.verb,
        target=call.target,
        status=call.status,
        source="",
        user_agent="",
        detail=detail,
    )


class Judge(NamedTuple):
    """What is compared. gateway_users: names or patterns. holes: times our record cannot speak of."""

    window: Span
    gateway_users: Collection[str] = ()
    include_system: bool = False
    holes: Collection[Span] = ()

    def judge_stranger(self, user: str, at_ns: int) -> str:
        """What an audited call is that we have no record of: a kind, "system", or "outside" of the time."""
        if not self.window.holds(at_ns) or any(hole.holds(at_ns) for hole in self.holes):
            return "outside"
        if matches(user, self.gateway_users):
            return "unrecorded"
        return "system" if is_system(user) and not self.include_system else "around"


def unseen_calls(
    calls: Iterable[RecordedCall], window: Span, left_out: Callable[[], None]
) -> Iterator[Finding]:
    """Findings of calls no event was seen of; calls that policies rarely audit are only counted."""
    for call in calls:
        if not is_expected(call) or not window.holds(call.ended_ns):
            continue
        if is_rarely_audited(call):
            left_out()
            continue
        how = "answered" if call.is_answered else "sent"
        yield finding_of_call(call, f"recorded as {how} ({call.result}), not in the audit log")
