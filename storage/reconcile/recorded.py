"""Records of one log, in order -> the calls of ours that a cluster's audit log can know. Pure.

Those that were to go upstream, and the requests that the gateway makes on behalf of a call (a dry run, the object as
it was, an access review), which have Audit-IDs of their own. A call that was denied, or held and never let go, went
nowhere and is none of them.
The trap: parts of a log may be gone by retention, or locked away with a destroyed key: of such times it cannot say
that something was not recorded.
"""

import uuid
from collections.abc import Iterator
from typing import Final, NamedTuple

import msgspec

from protocol.apicall import parse_call
from protocol.errors import RefusedTarget
from storage.records import (
    AnyRecord,
    Intent,
    LogStarted,
    LogStopped,
    Outcome,
    SubRequest,
    UnknownRecord,
)

MARGIN_NS: Final = 3_000_000_000
"""At each border of the time that is compared: clocks of two machines, and what is written a little later."""

FIRST_SEQ: Final = 1
"""The number of the first record of a log: one that begins with a higher one has lost its beginning."""

AUDIT_ID_BYTES: Final = 16


class RecordedCall(msgspec.Struct, frozen=True):
    """What our log says of one call that was to go upstream. Times: UTC nanoseconds.

    ended_ns: 0 if no Outcome was recorded. is_sent: bytes of it went upstream; is_answered: the API server
    answered. identity: "shared", "impersonate", or "" of a request of our own. target: as the API server got it.
    """

    exchange: bytes
    at_ns: int
    ended_ns: int
    verb: str
    target: str
    subresource: str
    user: str
    identity: str
    status: int
    result: str
    is_sent: bool
    is_answered: bool

    @property
    def audit_id(self) -> str:
        return str(uuid.UUID(bytes=self.exchange))


class Span(NamedTuple):
    """A stretch of time, both ends included, UTC nanoseconds."""

    start_ns: int
    end_ns: int

    @property
    def is_empty(self) -> bool:
        return self.start_ns > self.end_ns

    def holds(self, at_ns: int) -> bool:
        return self.start_ns <= at_ns <= self.end_ns

    def overlap(self, other: "Span") -> "Span":
        return Span(max(self.start_ns, other.start_ns), min(self.end_ns, other.end_ns))

    def joined(self, other: "Span") -> "Span":
        return Span(min(self.start_ns, other.start_ns), max(self.end_ns, other.end_ns))

    def inner(self, margin_ns: int) -> "Span":
        return Span(self.start_ns + margin_ns, self.end_ns - margin_ns)


NO_TIME: Final = Span(2**63 - 1, 0)
"""Holds nothing; what is joined to it is itself."""


class RecordedCalls:
    """The records of one log, in order -> its calls. span: the time of which this log can speak, but for the
    `holes` in it, whose records are gone."""

    def __init__(self) -> None:
        self.span = NO_TIME
        self.holes: list[Span] = []
        self._open: dict[bytes, Intent] = {}
        self._begun_ns: dict[bytes, int] = {}  # of every exchange that is open, forwarded or not
        self._asked: dict[bytes, RecordedCall] = {}  # without an answer, by Audit-ID
        self._early: dict[bytes, list[SubRequest]] = {}  # of exchanges whose Intent has not come
        self._prefix = ""
        self._next_seq: int | None = None
        self._known_ns = 0  # when the last record was made whose time is known
        self._hole_from_ns: int | None = None

    def take(self, seq: int, record: AnyRecord | UnknownRecord) -> Iterator[RecordedCall]:
        """One more record and its number; the calls that are complete with it."""
        self._note_time(seq, getattr(record, "at_ns", 0))
        if isinstance(record, Intent):
            self._begun_ns[record.exchange] = record.at_ns
            for early in self._early.pop(record.exchange, ()):
                yield from self._take_sub_request(early, record.at_ns)
            if record.upstream_target:
                self._open[record.exchange] = record
        elif isinstance(record, SubRequest):
            begun_ns = self._begun_ns.get(record.exchange)
            if begun_ns is None:  # asked in order to decide: the verdict, and with it the Intent, comes later
                self._early.setdefault(record.exchange, []).append(record)
            else:
                yield from self._take_sub_request(record, begun_ns)
        elif isinstance(record, LogStarted | LogStopped):
            yield from self.finish("unknown")
            if isinstance(record, LogStarted):
                self._prefix = _path_of(record.upstream)
        elif isinstance(record, Outcome):
            self._begun_ns.pop(record.exchange, None)
            intent = self._open.pop(record.exchange, None)
            if intent is not None:
                call = _recorded(intent, record, self._prefix)
                self.span = self.span.joined(Span(call.at_ns, call.ended_ns))
                yield call

    def _take_sub_request(self, record: SubRequest, begun_ns: int) -> Iterator[RecordedCall]:
        """Recorded before it is sent, and with its answer; if only before, `finish` gives it out."""
        if len(record.audit_id) != AUDIT_ID_BYTES:
            return
        at_ns = begun_ns + record.at_us * 1000
        asked = self._asked.pop(record.audit_id, None)
        call = _sub_request(record, asked.at_ns if asked else at_ns, at_ns, self._prefix)
        if record.status:
            yield call
        else:
            self._asked[record.audit_id] = call

    def _note_time(self, seq: int, at_ns: int) -> None:
        is_next = seq <= FIRST_SEQ if self._next_seq is None else seq == self._next_seq
        if not is_next and self._hole_from_ns is None:
            self._hole_from_ns = self._known_ns
        self._next_seq = seq + 1
        if at_ns:
            if self._hole_from_ns is not None:
                self.holes.append(Span(self._hole_from_ns - MARGIN_NS, at_ns + MARGIN_NS))
                self._hole_from_ns = None
            self._known_ns = at_ns
            self.span = self.span.joined(Span(at_ns, at_ns))

    def finish(self, result: str = "open") -> Iterator[RecordedCall]:
        """The calls whose end is not in the log."""
        for intent in self._open.values():
            yield _recorded(intent, None, self._prefix, result)
        for early in self._early.values():  # the gateway died before it decided, or the Intent is gone
            for record in early:
                yield from self._take_sub_request(record, self._known_ns)
        yield from self._asked.values()
        for left in (self._open, self._asked, self._begun_ns, self._early):
            left.clear()


def _recorded(intent: Intent, outcome: Outcome | None, prefix: str, result: str = "") -> RecordedCall:
    timings = outcome.timings if outcome else None
    return RecordedCall(
        exchange=intent.exchange,
        at_ns=intent.at_ns,
        ended_ns=intent.at_ns + outcome.at_us * 1000 if outcome else 0,
        verb=intent.call.verb if intent.call else "",
        target=intent.upstream_target.decode("latin-1").removeprefix(prefix),
        subresource=intent.call.subresource if intent.call else "",
        user=intent.principal.user if intent.principal else "",
        identity=intent.upstream_identity,
        status=outcome.status if outcome else 0,
        result=outcome.result if outcome else result,
        is_sent=timings is not None and timings.upstream_sent_us is not None,
        is_answered=timings is not None and timings.upstream_head_us is not None,
    )


def _sub_request(record: SubRequest, begun_ns: int, at_ns: int, prefix: str) -> RecordedCall:
    """A request of the gateway's own. As whom it was made is not recorded, so it is not compared."""
    target = record.target.decode("latin-1").removeprefix(prefix)
    is_answered = record.status > 0
    try:
        call = parse_call(record.method.encode(), target.encode("latin-1"))
        verb, subresource = call.verb, call.subresource
    except RefusedTarget:
        verb, subresource = record.method.lower(), ""
    return RecordedCall(
        exchange=record.audit_id,
        at_ns=begun_ns,
        ended_ns=at_ns if is_answered else 0,
        verb=verb,
        target=target,
        subresource=subresource,
        user=f"the gateway, {record.purpose}",
        identity="",
        status=record.status,
        result="completed" if is_answered else "open",
        is_sent=is_answered,
        is_answered=is_answered,
    )


def _path_of(url: str) -> str:
    """The path a cluster's URL has (behind Rancher, say): the API server does not see it."""
    _, _, behind = url.partition("://")
    _, slash, path = behind.partition("/")
    return (slash + path).rstrip("/")
