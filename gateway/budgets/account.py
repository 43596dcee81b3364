"""What one call uses of its budgets while it runs: its bytes, events, minutes and the objects of its answer.

What has happened is charged, whatever the limits say; what goes beyond a limit ends the exchange with the reason.
A list of secrets is the exception: it can be counted before it is shown, so it is refused instead. The trap: objects
deleted by a deletecollection are counted when they are gone; the next call is refused.
"""

from collections.abc import Callable
from typing import Final, Protocol, Self

import trio

from gateway.errors import FORBIDDEN
from gateway.live import LiveExchange
from gateway.policy.budget import (
    BYTES_OUT,
    DELETES,
    EXEC_MINUTES,
    PODS_TOUCHED,
    SECRETS_READ,
    Cost,
    Crossed,
    answer_cost,
    counts_in_answer,
    known_cost,
)
from gateway.policy.model import Verdict
from protocol.apicall import Call

MINUTE_S: Final = 60.0


class Purse(Protocol):
    """Whose limits they are; `Budgets` is one."""

    def would_cross(self, session: str, verdict: Verdict, cost: Cost | None) -> Crossed | None: ...

    def charge(self, session: str, verdict: Verdict, cost: Cost) -> None: ...

    def freeze(self, crossed: Crossed) -> None: ...

    def follow(self, account: "Account") -> None: ...

    def leave(self, account: "Account") -> None: ...


class Account:
    """One call that goes ahead; entered while it does, so that its minutes count. crossed: told when a limit is crossed mid-way, before the exchange is cut."""

    def __init__(
        self,
        purse: Purse,
        exchange: LiveExchange,
        verdict: Verdict,
        call: Call,
        crossed: Callable[[Crossed], None],
    ) -> None:
        self._purse, self._exchange, self._verdict, self._call = purse, exchange, verdict, call
        self._crossed = crossed
        self._counters = frozenset(terms.counter for terms in verdict.budgets)
        self.is_timed = EXEC_MINUTES in self._counters and known_cost(call).exec_minutes > 0
        self._started_s = trio.current_time() if self.is_timed else 0.0
        self._minutes = 1
        self._is_first_byte = True
        if self._counters:
            self._charge(known_cost(call))

    def __enter__(self) -> Self:
        if self.is_timed:
            self._purse.follow(self)
        return self

    def __exit__(self, *raised: object) -> None:
        if self.is_timed:
            self._purse.leave(self)

    @property
    def must_count_answer(self) -> bool:
        """The answer has to be JSON, and given to `answered` whole before it goes down."""
        counted = {SECRETS_READ} if self._call.verb == "list" else {DELETES, PODS_TOUCHED}
        return bool(self._counters & counted) and counts_in_answer(self._call)

    @property
    def must_count_events(self) -> bool:
        """Every event of this watch is a secret read: it has to be JSON, and given to `events`."""
        return self._call.watch and self._call.is_secret_read and SECRETS_READ in self._counters

    def answered(self, answer: bytes) -> Crossed | None:
        """A whole answer is here, not yet sent. Returns the limit it would cross: refuse it then."""
        if not self.must_count_answer:
            return None
        cost = answer_cost(self._call, answer)
        if self._call.verb == "deletecollection":
            self._charge(cost or Cost())
            return None
        crossed = self._purse.would_cross(self._exchange.session, self._verdict, cost)
        if crossed is None:
            self._charge(cost or Cost())
        elif crossed.is_freeze:
            self._purse.freeze(crossed)
        return crossed

    @property
    def counts_bytes(self) -> bool:
        """Whether `sent` has anything to count."""
        return BYTES_OUT in self._counters

    def sent(self, amount_bytes: int) -> None:
        """These go down now. The first byte was charged with the call."""
        if BYTES_OUT in self._counters and amount_bytes:
            self._use(Cost(bytes_out=amount_bytes - self._is_first_byte))
            self._is_first_byte = False

    def events(self, data: bytes) -> None:
        """Bytes of a JSON watch of secrets: its events end with a newline each. The first came with the call."""
        if self.must_count_events:
            self._use(Cost(secrets_read=data.count(b"\n")))

    def pass_time(self) -> None:
        """Every started minute of an exec counts."""
        begun = int((trio.current_time() - self._started_s) // MINUTE_S) + 1
        if begun > self._minutes:
            new, self._minutes = begun - self._minutes, begun
            self._use(Cost(exec_minutes=new))

    def _charge(self, cost: Cost) -> None:
        self._purse.charge(self._exchange.session, self._verdict, cost)

    def _use(self, cost: Cost) -> None:
        crossed = self._purse.would_cross(self._exchange.session, self._verdict, cost)
        self._charge(cost)
        if crossed is None or self._exchange.reason:
            return
        self._crossed(crossed)
        self._exchange.cut(f"kubetape policy {crossed.terms.rule}: {crossed.why}", FORBIDDEN)
        if crossed.is_freeze:
            self._purse.freeze(crossed)
