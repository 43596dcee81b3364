"""Records of one log, in order -> exchanges that ended, and long-running ones that began. Pure.

What must survive a restart is small. The cursor is the place of the oldest short exchange still open: from
there the log is read again. Long-running ones (a watch of a week) would hold it back for ever, so they are
carried in the state instead, without bodies, which their events never have. Exchanges that began behind the
cursor and were given out already are in the state as ids.

The trap: an exchange handed out at its beginning goes on changing; use it before the next `take`.
Everything is bounded: bodies by a cap each and a budget together, ids and open exchanges by number.
"""

from typing import Final, Protocol

import msgspec

from gateway.outlets.exchange_records import (
    Assembled,
    AssemblerState,
    ExchangeRecords,
    KeptBody,
    carry,
    is_long_running,
    restore,
)
from protocol.events import Headers
from storage.reader import Position
from storage.records import (
    AnyRecord,
    Exited,
    Gap,
    Intent,
    LogStarted,
    LogStopped,
    Outcome,
    RequestBody,
    ResponseBody,
    ResponseStarted,
    TunnelStarted,
    UnknownRecord,
)

MAX_KEPT_BYTES: Final = 32 * 1024 * 1024
"""Bodies of all open exchanges together: five hundred bodies of 64 KiB. What is beyond is said to be cut."""
MAX_GIVEN_OUT: Final = 50_000
"""Ids remembered behind the cursor: 3 MB of state, a minute of a thousand calls a second."""
MAX_OPEN: Final = 20_000
"""Far more than a gateway serves at one time: a log that says otherwise must not fill the memory."""

CRASHED: Final = "interrupted: the process that served it ended without recording an outcome"
TOO_MANY: Final = "too many calls were open at one time to wait for its end"

_DESCRIBING: Final = frozenset((b"content-type", b"content-encoding"))


class WantsBodies(Protocol):
    """Whether the bodies of an exchange are to be kept at all."""

    def __call__(self, intent: Intent) -> bool: ...


class Assembler:
    """Puts the records of one log together. Feed it every record from `cursor` on, in order."""

    def __init__(
        self, *, max_body_bytes: int, wants_bodies: WantsBodies, state: AssemblerState | None = None
    ) -> None:
        state = state or AssemblerState()
        self._max_body_bytes, self._wants_bodies = max_body_bytes, wants_bodies
        self._read_from = state.cursor
        self._open: dict[bytes, ExchangeRecords] = {}  # in the order in which they began
        self._carried = {one.intent.exchange: one for one in map(restore, state.carried)}
        self._given_out = {exchange: seq for seq, exchange in state.given_out}
        self._keeping: set[bytes] = set()  # exchanges whose bodies are wanted
        self._kept_bytes = 0

    @property
    def cursor(self) -> Position | None:
        """What to read from after a restart."""
        for oldest in self._open.values():
            return oldest.position
        return self._read_from

    @property
    def read_from(self) -> Position | None:
        """What to read from now: behind the last record taken."""
        return self._read_from

    @property
    def open_count(self) -> int:
        return len(self._open) + len(self._carried)

    def state(self) -> AssemblerState:
        """What a later Assembler needs to go on; right once everything given out so far was delivered."""
        cursor = self.cursor
        if cursor is not None:
            self._forget_before(cursor.record_seq)
        given_out = tuple((seq, exchange) for exchange, seq in self._given_out.items())
        return AssemblerState(cursor, given_out, tuple(map(carry, self._carried.values())))

    def take(self, at: Position, record: AnyRecord | UnknownRecord) -> list[Assembled]:
        """One more record. Returns what there is to tell now, oldest first."""
        self._read_from = at.next()
        if isinstance(record, Intent):
            return self._begin(at, record)
        if isinstance(record, LogStarted | LogStopped):
            return self.abandon(CRASHED, before_seq=at.record_seq)
        exchange = getattr(record, "exchange", b"")
        known = self._open.get(exchange) or self._carried.get(exchange)
        if known is None:  # its Intent is before the cursor, or it was given out already
            return []
        return self._continue(known, record)

    def pass_over(self, at: Position) -> None:
        """A record that cannot be read, in a frame that can: a bug of its writer."""
        self._read_from = at.next()

    def continue_at(self, start: Position) -> None:
        """The next record is the same, in another place: the segment it would have been in is gone."""
        self._read_from = start

    def skip_to(self, start: Position, why: str) -> list[Assembled]:
        """Records up to `start` are gone: short exchanges that were open will not be seen to end."""
        self._read_from = start
        return self._end_all(list(self._open.values()), why)

    def abandon(self, why: str, *, before_seq: int | None = None) -> list[Assembled]:
        """Nobody will write the end of what is open (or began before a record): the outcome is unknown."""
        ending = [*self._carried.values(), *self._open.values()]
        if before_seq is not None:
            ending = [one for one in ending if one.position.record_seq < before_seq]
        return self._end_all(ending, why)

    def _end_all(self, ending: list[ExchangeRecords], why: str) -> list[Assembled]:
        for one in ending:
            one.result, one.why = "unknown", why
            one.story.abandon()
            self._close(one)
        return [Assembled(one, "ResponseComplete") for one in ending]

    def _begin(self, at: Position, intent: Intent) -> list[Assembled]:
        exchange = intent.exchange
        if exchange in self._given_out or exchange in self._carried or exchange in self._open:
            return []  # read again after a restart
        crowded = self._give_up_oldest() if self.open_count >= MAX_OPEN else []
        slim = msgspec.structs.replace(intent, headers=(), upstream_headers=())
        one = self._open[exchange] = ExchangeRecords(slim, at)
        _describe(one.request, intent.headers)
        if not is_long_running(intent.call) and self._wants_bodies(intent):
            self._keeping.add(exchange)
        return crowded

    def _give_up_oldest(self) -> list[Assembled]:
        oldest = next(iter(self._carried.values()), None) or next(iter(self._open.values()))
        return self._end_all([oldest], TOO_MANY)

    def _continue(self, one: ExchangeRecords, record: AnyRecord | UnknownRecord) -> list[Assembled]:
        one.last_us = max(one.last_us, getattr(record, "at_us", 0))
        if isinstance(record, ResponseBody):
            self._keep(one, one.response, record.offset, record.data)
        elif isinstance(record, RequestBody):
            self._keep(one, one.request, record.offset, record.data)
        elif isinstance(record, ResponseStarted):
            one.status = record.status
            _describe(one.response, record.headers)
            return self._has_begun(one, record.at_us)
        elif isinstance(record, TunnelStarted):
            one.tunnel = record
            one.status = one.status or 101
            return self._has_begun(one, record.at_us)
        elif isinstance(record, Exited):
            one.exit_code = record.exit_code
        elif isinstance(record, Gap):
            one.gap = record.why
        elif isinstance(record, Outcome):
            return self._end(one, record)
        else:
            one.story.take(record)
        return []

    def _has_begun(self, one: ExchangeRecords, at_us: int) -> list[Assembled]:
        """The first sign of an answer; of a long-running exchange that is worth telling."""
        if one.began_us is not None or not is_long_running(one.intent.call):
            return []
        one.began_us = at_us
        self._carry(one)
        return [Assembled(one, "ResponseStarted")]

    def _end(self, one: ExchangeRecords, outcome: Outcome) -> list[Assembled]:
        one.outcome, one.result, one.why = outcome, outcome.result, outcome.why
        one.status = outcome.status or one.status
        if outcome.exit_code is not None:
            one.exit_code = outcome.exit_code
        self._close(one)
        return [Assembled(one, "ResponseComplete")]

    def _close(self, one: ExchangeRecords) -> None:
        """It was given out whole: forget all but its id, and that too once the cursor has passed it."""
        exchange = one.intent.exchange
        self._open.pop(exchange, None)
        self._carried.pop(exchange, None)
        self._keeping.discard(exchange)
        self._kept_bytes -= len(one.request.data) + len(one.response.data)
        self._given_out[exchange] = one.position.record_seq
        if len(self._given_out) > MAX_GIVEN_OUT:
            self._make_room()

    def _make_room(self) -> None:
        """Let the cursor pass: whatever holds it back is carried from now on, without its bodies."""
        self._forget_to_cursor()
        while len(self._given_out) > MAX_GIVEN_OUT // 2 and self._open:
            self._carry(next(iter(self._open.values())))
            self._forget_to_cursor()

    def _carry(self, one: ExchangeRecords) -> None:
        exchange = one.intent.exchange
        for body in (one.request, one.response):
            self._drop(body)
        self._keeping.discard(exchange)
        self._open.pop(exchange, None)
        self._carried[exchange] = one

    def _forget_to_cursor(self) -> None:
        cursor = self.cursor
        assert cursor is not None  # something was given out, so something was read
        self._forget_before(cursor.record_seq)

    def _forget_before(self, seq: int) -> None:
        if self._given_out:
            self._given_out = {exchange: at for exchange, at in self._given_out.items() if at >= seq}

    def _keep(self, one: ExchangeRecords, body: KeptBody, offset: int, data: bytes) -> None:
        """All of a body or nothing: half of it is no JSON."""
        body.size = max(body.size, offset + len(data))
        if one.intent.exchange not in self._keeping or body.is_cut:
            body.is_cut = True
        elif (
            body.size > self._max_body_bytes
            or self._kept_bytes + len(data) > MAX_KEPT_BYTES
            or offset != len(body.data)  # a hole
        ):
            self._drop(body)
        else:
            body.data += data
            self._kept_bytes += len(data)

    def _drop(self, body: KeptBody) -> None:
        self._kept_bytes -= len(body.data)
        body.data = bytearray()
        body.is_cut = body.size > 0


def _describe(body: KeptBody, headers: Headers) -> None:
    for name, value in headers:
        if name in _DESCRIBING:
            text = value.decode("latin-1").split(";", 1)[0].strip().lower()
            if name == b"content-type":
                body.content_type = text
            else:
                body.encoding = text.replace("identity", "")
