"""The events of an answer, masked before they are recorded and sent: one masked object feeds log and client.

Decides nothing: `policy.masking` says what is hidden. Here its bytes-in, bytes-out is fitted between the events of a
connection, and what could not be masked ends as a refusal instead of an answer.

The trap: a document can only be masked whole, so its head waits for its last byte. A log line or a terminal cannot
wait: what may still become a secret is held back, and let go after `hold_s` when nothing follows.
"""

from contextlib import suppress

from gateway.budgets.account import Account
from gateway.errors import FORBIDDEN, LOST, Answer, Refusal
from gateway.held_bytes import HeldBytes
from gateway.policy.masking.answer import MAX_DOCUMENT_BYTES, AnswerMask
from gateway.policy.masking.masker import Masker
from gateway.policy.masking.refusal import Unmaskable
from gateway.tape import Tape
from protocol.apicall import Call
from protocol.events import BodyChunk, EndOfBody, Event, ResponseHead
from protocol.status import REASONS
from storage.errors import LogFailed


class MaskedAnswer:
    """Masks the events of one answer, and counts them against the budgets of its call. Close it, however it ends."""

    def __init__(self, masker: Masker, call: Call, account: Account | None, tape: Tape) -> None:
        """account: None where nothing is counted."""
        self._masker, self._call, self._account, self._tape = masker, call, account, tape
        self._mask: AnswerMask | None = None
        self._held: HeldBytes | None = None
        self._waiting: list[Event] = []  # not to be sent before the document is whole
        self._waiting_bytes = 0
        self._is_whole = account is not None and account.must_count_answer
        self._noted = False

    def mask(self, events: list[Event]) -> list[Event]:
        """What may be recorded and sent of what one read brought, maybe nothing yet; if that is nothing, because time
        is over, what need not wait any longer. Raises Refusal."""
        if not events:
            return self._idle()
        try:
            shown = [masked for event in events for masked in self._masked(event)] if self._masker else events
        except Unmaskable as error:
            raise Refusal(
                Answer(error.code, REASONS[error.code], "failed"), f"kubetape: {error.why}"
            ) from error
        if self._is_whole:
            shown = self._counted(shown)
        self._charge(shown)
        return shown

    @property
    def hold_s(self) -> float | None:
        """How long bytes held back may wait for more; None: none are, or none may be let go before the end."""
        return self._held.wait_s() if self._held is not None else None

    def _idle(self) -> list[Event]:
        data = self._held.mask.flush_idle() if self._held is not None else b""
        shown: list[Event] = [BodyChunk(data)] if data else []
        self._charge(shown)
        return shown

    def note(self) -> None:
        """Record how many values each rule hid, once: before the Outcome."""
        if self._mask is not None and not self._noted:
            self._noted = True
            self._tape.masked("answer", self._mask.counts)

    def close(self) -> None:
        """However the answer ended, what was hidden in it is recorded."""
        with suppress(LogFailed):  # it has been reported
            self.note()

    def _masked(self, event: Event) -> list[Event]:
        if isinstance(event, ResponseHead):
            self._mask = self._masker.answer(self._call, event)
            if self._mask is None:
                return [event]
            self._held = HeldBytes(self._mask.stream) if self._mask.stream is not None else None
            if self._mask.is_immediate:
                return [self._mask.head()]
            self._waiting = [self._mask.head()]
            return []
        if self._mask is None:
            return [event]
        if isinstance(event, BodyChunk):
            return self._released(self._mask.feed(event.data))
        if isinstance(event, EndOfBody):
            data = self._mask.finish()
            head, self._waiting = self._waiting, []
            return [*head, *([BodyChunk(data)] if data else []), event]
        return [event]

    def _released(self, data: bytes) -> list[Event]:
        """Bytes that may go, behind the head that waited for them."""
        if not data:
            return []
        head, self._waiting = self._waiting, []
        return [*head, BodyChunk(data)]

    def _counted(self, events: list[Event]) -> list[Event]:
        """Nothing goes down before all of it was counted. Raises Refusal when it would cross a limit."""
        self._waiting += events
        self._waiting_bytes += sum(len(event.data) for event in events if isinstance(event, BodyChunk))
        if self._waiting_bytes > MAX_DOCUMENT_BYTES:
            self._waiting.clear()
            raise Refusal(
                LOST, "kubetape: the answer is too large to be counted: ask for less at a time (limit=500)"
            )
        if not events or not isinstance(events[-1], EndOfBody):
            return []
        whole, self._waiting = self._waiting, []
        body = b"".join(event.data for event in whole if isinstance(event, BodyChunk))
        crossed = self._account.answered(body) if self._account is not None else None
        if crossed is not None:
            rule = crossed.terms.rule
            raise Refusal(FORBIDDEN, f"kubetape policy {rule}: {crossed.why}")
        return whole

    def _charge(self, events: list[Event]) -> None:
        if self._account is None:
            return
        for event in events:
            if isinstance(event, BodyChunk):
                self._account.sent(len(event.data))
                self._account.events(event.data)
