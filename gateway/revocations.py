"""Ends what no longer may run: by a revocation, or at the exact end of a grant or a credential.

The shared state says what is in force; this compares it with the exchanges under way whenever it changes, and sleeps
until the next end otherwise. Whoever is cut sees why. It decides nothing else: whether a call may begin is policy's,
and `enter` only refuses those whose access is already gone.

The trap: an end is absolute. It is taken from the grant or the credential once, and neither a restart, a reconnect
nor a clock that is set back moves it (gateway.state.clock).
"""

from collections.abc import Iterable
from typing import Final, Protocol

import trio

from gateway.errors import EXPIRED, FORBIDDEN, REVOKED, UNAUTHORIZED, Answer, Refusal
from gateway.live import Live, LiveExchange
from gateway.policy.model import ActiveGrant
from gateway.principal import Principal
from gateway.state.entries import Revoked
from protocol.status import make_visible

TICK_S: Final = 1.0
"""How often grants are compared with the state though it did not change: it may have become unreadable."""
SHORTEST_SLEEP_S: Final = 0.001
MAX_REASON_CHARACTERS: Final = 512
CREDENTIAL_EXPIRED: Final = "your credential expired: log in again"


class AccessState(Protocol):
    """What is asked of the shared state: a part of `gateway.state.follower.SharedState`."""

    def now_ns(self) -> int: ...

    def grants_of(self, user: str, issuer: str) -> tuple[ActiveGrant, ...]: ...

    def revocation_of(
        self, user: str, issuer: str, credential_id: str, session: str, grants: tuple[str, ...]
    ) -> Revoked | None: ...


class Revocations:
    """One per worker. Add `changed` to the state's `on_change`; keep `run` running."""

    def __init__(self, live: Live, state: AccessState) -> None:
        self._live, self._state = live, state
        self._next_end_ns: int | None = None
        self._all_suspect = True  # the state changed: look at everything
        self._news = trio.Event()

    def enter(self, exchange: LiveExchange, principal: Principal, session: str) -> None:
        """It is known whose exchange this is: from now on it can be revoked. Raises Refusal when it already is."""
        exchange.identify(principal, session)
        self._must_still_run(exchange)

    def rests_on(self, exchange: LiveExchange, grants: Iterable[ActiveGrant]) -> None:
        """It is known which grants allow this exchange: it ends with the first of them. Raises Refusal."""
        exchange.grants = tuple(grants)
        if exchange.grants:  # without, nothing is new since `enter`
            self._must_still_run(exchange)

    def changed(self) -> None:
        """The shared state changed."""
        self._all_suspect = True
        self._news.set()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Cut what no longer may run, until cancelled."""
        task_status.started()
        while True:
            self._news = trio.Event()
            now_ns = self._state.now_ns()
            self._cut(now_ns)
            sleep_s = TICK_S
            if self._next_end_ns is not None:
                sleep_s = min(sleep_s, (self._next_end_ns - now_ns) / 1e9)
            with trio.move_on_after(max(sleep_s, SHORTEST_SLEEP_S)):
                await self._news.wait()

    def _must_still_run(self, exchange: LiveExchange) -> None:
        principal = exchange.principal
        has_end = bool(exchange.grants) or (principal is not None and principal.expires_ns is not None)
        now_ns = (
            self._state.now_ns() if has_end else 0
        )  # every call comes here, and most have no end to compare
        ended = self._end_of(exchange, now_ns)
        if ended is not None:
            reason, answer = ended
            raise Refusal(UNAUTHORIZED if answer is EXPIRED else FORBIDDEN, reason)
        if has_end:
            self._expect_ends_of(exchange)

    def _cut(self, now_ns: int) -> None:
        everything = self._all_suspect or (self._next_end_ns is not None and self._next_end_ns <= now_ns)
        if everything:
            self._all_suspect, self._next_end_ns = False, None
        for exchange in self._live:
            if exchange.reason or not (everything or exchange.grants):
                continue
            ended = self._end_of(exchange, now_ns)
            if ended is not None:
                exchange.cut(*ended)
            elif everything:
                self._expect_ends_of(exchange)

    def _expect_ends_of(self, exchange: LiveExchange) -> None:
        """Wake up in time for this one."""
        ends = [grant.expires_ns for grant in exchange.grants]
        if exchange.principal is not None and exchange.principal.expires_ns is not None:
            ends.append(exchange.principal.expires_ns)
        for end_ns in ends:
            if self._next_end_ns is None or end_ns < self._next_end_ns:
                self._next_end_ns = end_ns
                self._news.set()

    def _end_of(self, exchange: LiveExchange, now_ns: int) -> tuple[str, Answer] | None:
        """Why this may not go on, and the answer that says so; None: it may."""
        principal = exchange.principal
        if principal is None:
            return None
        if principal.expires_ns is not None and principal.expires_ns <= now_ns:
            return CREDENTIAL_EXPIRED, EXPIRED
        ids = tuple([grant.id for grant in exchange.grants]) if exchange.grants else ()
        revoked = self._state.revocation_of(
            principal.user, principal.issuer, principal.credential_id, exchange.session, ids
        )
        if revoked is not None:
            return revocation_reason(revoked), REVOKED
        why = self._grant_that_ended(exchange.grants, principal, now_ns) if ids else ""
        return (why, REVOKED) if why else None

    def _grant_that_ended(self, grants: tuple[ActiveGrant, ...], principal: Principal, now_ns: int) -> str:
        active = self._state.grants_of(principal.user, principal.issuer)
        in_force = {grant.id for grant in active if grant.expires_ns > now_ns}
        for grant in grants:
            if grant.expires_ns <= now_ns:
                return f"grant {grant.id} expired"
            if grant.id not in in_force:
                return f"grant {grant.id} is no longer in force"
        return ""


def revocation_reason(revoked: Revoked) -> str:
    """What the person whose access ended reads: one line."""
    what = {"grant": f"grant {revoked.subject}", "session": "this session", "credential": "this credential"}
    words = f"{what.get(revoked.subject_kind, 'access')} revoked by {revoked.by}: {revoked.reason}"
    return make_visible(words, MAX_REASON_CHARACTERS)
