"""The record of one exchange while it happens: stamps times, counts bytes, splits long data.

A tape turns the events that are forwarded into records of the same bytes, so that log and wire
cannot disagree. It writes exactly one Intent and exactly one Outcome.
"""

import os
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from gateway.decision_counts import DecisionCounts
from gateway.policy.model import Scope
from gateway.recorder import Recorder
from protocol.events import BodyChunk, Event, Headers, ResponseHead
from storage.records import (
    MAX_DATA_BYTES,
    AnyRecord,
    Intent,
    Masked,
    Outcome,
    RequestBody,
    RequestEnded,
    ResponseBody,
    ResponseStarted,
    Timings,
)

_TIMING_FIELDS: Final = frozenset(Timings.__struct_fields__)


def new_exchange_id() -> bytes:
    """16 bytes: a version 4 UUID (RFC 9562 section 5.4)."""
    identity = bytearray(os.urandom(16))
    identity[6] = identity[6] & 0x0F | 0x40
    identity[8] = identity[8] & 0x3F | 0x80
    return bytes(identity)


class Tape:
    """One exchange's way into the log.

    exchange: 16 bytes, a version 4 UUID, also the Audit-ID upstream. started_ns: UTC.
    """

    # Defaults of the class: to set each of them for each call would cost more than an append.
    _position = -1  # of the last record appended
    _intent_position = -1
    intent_recorded = False
    ended = False
    answer_begun = False  # bytes of the answer may be on their way to the client
    status = 0
    request_bytes = 0
    response_bytes = 0
    exit_code: int | None = None
    scope = Scope.FULL  # METADATA: bodies are counted, not kept

    def __init__(self, recorder: Recorder, exchange: bytes, counts: DecisionCounts | None = None) -> None:
        self._recorder = recorder
        self.counts = counts or DecisionCounts()
        self.exchange = exchange
        self.started_ns = time.time_ns()
        self._started = time.perf_counter_ns()  # monotonic: durations survive a clock step
        self._timings: dict[str, int] = {}

    def at_us(self) -> int:
        """Microseconds since the exchange began."""
        return (time.perf_counter_ns() - self._started) // 1000

    def mark(self, field: str) -> None:
        """Remember when a hop was reached. field: a field of `Timings`."""
        if field not in _TIMING_FIELDS:
            raise AssertionError(f"{field} is not a field of Timings")
        self._timings[field] = (time.perf_counter_ns() - self._started) // 1000

    def append(self, *records: AnyRecord, urgent: bool = False) -> None:
        self._position = self._recorder.append(*records, urgent=urgent)

    def hurry(self) -> None:
        """What was appended is on its way to the disk from now on, while its caller has other things to do before it
        waits."""
        self._recorder.ring()

    async def durable(self) -> None:
        """Return once all that was appended survives a power cut. The last append must be urgent."""
        await self._recorder.durable(self._position)

    @property
    def is_durable(self) -> bool:
        """Whether all that was appended survives a power cut already."""
        return self._recorder.is_durable(self._position)

    async def intent_durable(self) -> None:
        """Return once the Intent, and a small request body, survive a power cut."""
        await self._recorder.durable(self._intent_position)
        if "intent_durable_us" not in self._timings:
            self.mark("intent_durable_us")

    @property
    def lags(self) -> bool:
        """Whether `flow` would wait: spares those the call who ask for every keystroke."""
        return self._recorder.lags

    async def flow(self) -> None:
        """Backpressure of the log: returns at once while its lag is within bounds."""
        await self._recorder.flow()

    @property
    def forwarded(self) -> bool:
        """Whether the API server may have heard of the call."""
        return "upstream_sent_us" in self._timings

    def check(self) -> None:
        """The last look before bytes go upstream. Raises LogFailed once the log has failed."""
        self._recorder.check()

    # --- what happens in one exchange ----------------------------------------------------------

    def intent(self, intent: Intent) -> None:
        """The call was understood and decided. Durable only after `durable`."""
        self.append(intent, urgent=True)
        self._intent_position = self._position
        self.intent_recorded = True

    def request_body(self, data: bytes, *, urgent: bool = False) -> None:
        """These bytes, masked where a rule says so, are about to go upstream. urgent: they are to be durable together
        with the Intent."""
        if self.scope is Scope.METADATA:
            self.request_bytes += len(data)
            return
        for start in range(0, len(data), MAX_DATA_BYTES):
            piece = data if len(data) <= MAX_DATA_BYTES else data[start : start + MAX_DATA_BYTES]
            self.append(RequestBody(self.exchange, self.request_bytes, piece), urgent=urgent)
            self.request_bytes += len(piece)
        if urgent:
            self._intent_position = self._position

    def request_ended(self) -> None:
        """All of a large body was received and recorded; its last bytes have not gone upstream yet."""
        self.append(RequestEnded(self.exchange, self.at_us(), self.request_bytes), urgent=True)

    def answer(self, events: Iterable[Event]) -> None:
        """These events are about to go to the client."""
        at_us = self.at_us()
        records: list[AnyRecord] = []
        for event in events:
            if isinstance(event, BodyChunk):
                records += self._of_response_body(event.data, at_us)
            elif isinstance(event, ResponseHead):
                self.status = event.status
                records.append(ResponseStarted(self.exchange, at_us, event.status, event.headers))
        if records:
            self.append(*records)

    def response(self, event: Event) -> None:
        """This event is about to go to the client."""
        self.answer((event,))

    def response_head(self, status: int, headers: Headers) -> None:
        self.status = status
        self.append(ResponseStarted(self.exchange, self.at_us(), status, headers))

    def response_body(self, data: bytes) -> None:
        self.answer((BodyChunk(data),))

    def _of_response_body(self, data: bytes, at_us: int) -> Sequence[ResponseBody]:
        """What is kept of these bytes."""
        exchange, offset = self.exchange, self.response_bytes
        self.response_bytes += len(data)
        if self.scope is Scope.METADATA:
            return ()
        if len(data) <= MAX_DATA_BYTES:
            return (ResponseBody(exchange, at_us, offset, data),) if data else ()
        return [
            ResponseBody(exchange, at_us, offset + start, data[start : start + MAX_DATA_BYTES])
            for start in range(0, len(data), MAX_DATA_BYTES)
        ]

    def masked(self, where: str, counts: Counter[str]) -> None:
        """So many values were hidden, by rule. where: "request", "answer" or "stream"."""
        for rule, number in counts.items():
            self.counts.masked_values(rule, number)
        if counts and self.intent_recorded:
            self.append(Masked(self.exchange, self.at_us(), where, tuple(sorted(counts.items()))))

    def end(self, result: str, why: str = "", *, urgent: bool = False) -> None:
        """Write the Outcome. The first call wins: whatever ends an exchange first is its outcome."""
        if self.ended or not self.intent_recorded:
            return
        self.ended = True
        self.append(
            Outcome(
                exchange=self.exchange,
                at_us=self.at_us(),
                result=result,
                status=self.status,
                why=why,
                request_bytes=self.request_bytes,
                response_bytes=self.response_bytes,
                timings=Timings(**self._timings),
                exit_code=self.exit_code,
            ),
            urgent=urgent,
        )
