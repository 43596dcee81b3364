"""Sessions that the workers of a gateway share: what one person does is one session, wherever connections land.

A call waits for the registry only when its credential is new to this worker, and then not long: who gets no answer
goes on with a session of his own. The trap: while one call asks, another of the same credential must wait for the same
answer, or it would begin a session that nobody else knows.
"""

import secrets
import time
from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar

import trio

from gateway import journal
from gateway.principal import Principal
from gateway.session_registry import RegistryUnavailable, SessionRegistry, Use
from gateway.sessions import IDLE_NS, Sessions, make_session_id

LOOK_S: Final = 0.25
"""What a first call may wait: a claim takes some 0.2 ms."""
TOUCH_S: Final = 60.0
SHARED_IDLE_NS: Final = IDLE_NS + int(2 * TOUCH_S * 1e9)
"""Others hear of a use up to a minute late: for them a session is over a little later than for us."""
MAX_LOOKS: Final = 4
T = TypeVar("T")


class SharedSessions(Sessions):
    """Those of one worker. `run` in its nursery."""

    def __init__(self, registry: SessionRegistry) -> None:
        super().__init__()
        self._registry = registry
        self._asking: dict[str, trio.Event] = {}
        self._limiter = trio.CapacityLimiter(MAX_LOOKS)
        self._touched_ns = 0

    def session_for(self, principal: Principal, *, now_ns: int | None = None) -> tuple[str, bool]:
        """("", True) where the others have to be asked first: `agree`."""
        now = time.time_ns() if now_ns is None else now_ns
        session = super().open_session(principal, now_ns=now)
        if session:
            self._remember(principal.credential_id, session, now)
        return session, not session

    async def agree(self, principal: Principal) -> tuple[str, bool]:
        """The session of this call, and whether it begins with it, after the other workers were asked."""
        key = principal.credential_id
        while (asking := self._asking.get(key)) is not None:
            await asking.wait()
            session, _ = self.session_for(principal)
            if session:
                return session, False
        asking = self._asking[key] = trio.Event()
        try:
            now = time.time_ns()
            proposed = make_session_id(now, secrets.randbits(80))
            session = await self._claim(Use(key, proposed, now))
            self._remember(key, session, now)
            return session, session == proposed
        finally:
            del self._asking[key]
            asking.set()

    def open_session(self, principal: Principal, *, now_ns: int | None = None) -> str:
        """The session this credential has at any worker, "" if none."""
        now = time.time_ns() if now_ns is None else now_ns
        return super().open_session(principal, now_ns=now) or self._registry.find(
            principal.credential_id, now
        )

    async def run(self) -> None:
        """Tell the registry once a minute what was used, until cancelled."""
        while True:
            await trio.sleep(TOUCH_S)
            now = time.time_ns()
            uses = [Use(key, *known) for key, known in self._open.items() if known[1] >= self._touched_ns]
            self._touched_ns = now
            try:
                await self._in_thread(partial(self._registry.touch, uses, now))
            except RegistryUnavailable as error:
                journal.problem("sessions", f"workers may not agree on sessions: {error}")

    async def _claim(self, use: Use) -> str:
        try:
            with trio.fail_after(LOOK_S):
                return await self._in_thread(partial(self._registry.claim, use))
        except (RegistryUnavailable, trio.TooSlowError) as error:
            journal.problem(
                "sessions", f"a session of this worker alone begins: {error or 'no answer in time'}"
            )
            return use.session

    async def _in_thread(self, blocking: Callable[[], T]) -> T:
        return await trio.to_thread.run_sync(blocking, limiter=self._limiter, abandon_on_cancel=True)
