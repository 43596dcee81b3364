"""Keeping a view of the shared state fresh, adding to it, and saying when it is not to be trusted. Conduct.

`run` follows the store: a nudge or 200 ms, whichever is first, and a look every two seconds in any case. The decision path asks the view, which is in memory;
it never waits for the store. Past 10 s without a successful look, or with a clock that disagrees, the wrappers here
answer as if every grant and approval had expired, while revocations stay in force.

The trap is the order of `append`: first the record, then the store, then our own view. So an entry that counts
anywhere is in the log, and whoever appends sees its effect when the call returns.
"""

import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final, TypeAlias, TypeVar

import msgspec
import trio

from gateway.policy.model import ActiveGrant
from gateway.state.claims import needed_until_ns, unique_key
from gateway.state.clock import SteadyClock
from gateway.state.entries import AnyEntry, Revoked
from gateway.state.hold_state import HoldState
from gateway.state.memory import Memory
from gateway.state.news import News
from gateway.state.nudge import POLL_S
from gateway.state.signing import Seal
from gateway.state.store import ClockSkew, StateError, StateStore, StateUnavailable, Stored
from gateway.state.view import UserKey, View

LOOK_S: Final = 2.0
"""How often the store is asked although it says that nothing is new: whether it still answers, and what time it is."""
STALE_AFTER_S: Final = 10.0
TIDY_S: Final = 60.0
"""How often what is over is dropped from memory, and what expired a month ago from the store."""
RECENT: Final = 10_000
"""Sequence numbers remembered, to see that what we append comes back."""
MAX_THREADS: Final = 8
"""Appends at once; a store that hangs must not take the threads of everything else."""

RecordEntry: TypeAlias = Callable[[AnyEntry, bytes, bytes], None]
"""(entry, encoded, signature) -> recorded, before it is stored. Raises LogFailed: then it is not stored."""
T = TypeVar("T")


class SharedState:
    """One process's copy of what is in force. Use it inside `run`, which must have started."""

    def __init__(
        self,
        store: StateStore,
        seal: Seal,
        record: RecordEntry,
        *,
        memory: Memory | None = None,
        stale_after_s: float = STALE_AFTER_S,
        clock: SteadyClock | None = None,
    ) -> None:
        self.view = View()
        self.on_change: list[Callable[[], None]] = []  # called after each change, also when it becomes stale
        self._store, self._seal, self._record, self._memory = store, seal, record, memory
        self._stale_after_s = stale_after_s
        self._clock = clock or SteadyClock()
        self._news = News(store, seal, self._clock, memory)
        self._limiter = trio.CapacityLimiter(MAX_THREADS)
        self._looking = trio.Lock()
        self._changed, self._nudged = trio.Event(), trio.Event()
        self._fresh_s = -float("inf")  # monotonic, when the last successful look began
        self._told_stale = False
        self._is_told = False  # of every append, by the store
        self._trouble = ""
        self._applied: deque[int] = deque(maxlen=RECENT)
        self._unkept: list[Stored] = []  # applied, not yet in the memory; waits for a disk that fails

    # --- asking -----------------------------------------------------------------------------------

    def now_ns(self) -> int:
        """The time that ends are measured with, UTC nanoseconds; never set back while the process runs."""
        return self._clock.now_ns()

    @property
    def is_stale(self) -> bool:
        """Whether grants and approvals have to count as expired."""
        return self._news.is_skewed or time.monotonic() - self._fresh_s > self._stale_after_s

    def problem(self) -> str:
        """One line for readyz; "" when all is well."""
        if self._news.is_skewed:
            return f"shared state: {_skewed(self._news.skew_ns)}; grants and approvals count as expired"
        if self.is_stale:
            why = self._trouble or "the store does not answer"
            return f"shared state: out of date, grants and approvals count as expired: {why}"
        if self._trouble:
            return f"shared state: {self._trouble}"
        if self._news.missing:
            return (
                f"shared state: {self._news.missing} entries that this gateway had seen were gone from the database; "
                "they stay in force and were written again: find out who deleted them"
            )
        if self._news.refused:
            return f"shared state: {self._news.refused} entries refused: {self._news.refusal}"
        return ""

    def grants_of(self, user: str, issuer: str) -> tuple[ActiveGrant, ...]:
        """What this person holds now; nothing while the state is stale."""
        if not self.view.has_grants:
            return ()
        return () if self.is_stale else self.view.grants_of(user, issuer, self.now_ns())

    def hold(self, hold_id: str) -> HoldState | None:
        """A hold as far as it may be acted on: None while the state is stale, as if it had expired."""
        return None if self.is_stale else self.view.hold(hold_id)

    def hold_for(self, user_key: UserKey, digest: str, command: str) -> HoldState | None:
        """The hold that this call joins (`View.hold_for`); None while the state is stale."""
        return None if self.is_stale else self.view.hold_for(user_key, digest, command, self.now_ns())

    def revocation_of(
        self, user: str, issuer: str, credential_id: str, session: str, grants: tuple[str, ...] = ()
    ) -> Revoked | None:
        """What ends this principal's access now. What is known stays in force while the state is stale."""
        if not self.view.has_revocations:
            return None
        return self.view.revocation_of(user, issuer, credential_id, session, grants, self.now_ns())

    # --- adding -----------------------------------------------------------------------------------

    async def append(self, entry: AnyEntry, *, unique: str = "") -> int:
        """Record, store, and see it applied here; returns its sequence number.

        unique: instead of the entry's own key (`claims.unique_key`). Raises AlreadyClaimed, ClockSkew, LogFailed;
        StateUnavailable when it is not known whether it was stored: treat it as not done, and do not go ahead.
        """
        if self._news.is_skewed:
            raise ClockSkew(_skewed(self._news.skew_ns))
        encoded, signature = self._seal.close(entry)
        self._record(entry, encoded, signature)
        expires_ns = needed_until_ns(entry, self.view)
        key = unique or unique_key(entry)
        store = partial(self._store.append, encoded, signature, unique=key, expires_ns=expires_ns)
        seq = await self._in_thread(store)
        await self._look()
        if seq not in self._applied:
            raise StateUnavailable(f"entry {seq} was stored and cannot be read back: look at the database")
        return seq

    async def wait_change(self) -> None:
        """Until something changed, or the state became stale or fresh. Look first: changes are not counted."""
        await self._changed.wait()

    # --- following --------------------------------------------------------------------------------

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Follow the store until cancelled; then close it. Started when everything in force has been read.

        Raises StateError before it started: without knowing who is revoked, nothing must be served.
        """
        try:
            await self._look()
            if self._news.is_skewed:
                raise ClockSkew(_skewed(self._news.skew_ns))
            token = trio.lowlevel.current_trio_token()
            self._is_told = self._store.listen(lambda: _call_soon(token, self._nudge))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._follow)
                nursery.start_soon(self._watch_staleness)
                nursery.start_soon(self._tidy)
                task_status.started()
        finally:
            with trio.CancelScope(shield=True):
                await self._in_thread(self._store.close)
                if self._memory is not None:
                    await self._in_thread(self._memory.close)

    async def _follow(self) -> None:
        while True:
            with trio.move_on_after(self._interval_s()):
                await self._nudged.wait()
            self._nudged = trio.Event()
            try:
                await self._look()
            except StateError as error:
                self._trouble = str(error)

    def _interval_s(self) -> float:
        """Between two looks that nobody asked for. What failed is tried again soon."""
        if self._trouble or self._unkept or not self._is_told:
            return POLL_S
        return min(LOOK_S, self._stale_after_s / 4)

    async def _look(self) -> None:
        """Read what is new and apply it. Raises StateUnavailable."""
        async with self._looking:
            began_s, was_refused = time.monotonic(), self._news.refused
            news = await self._in_thread(self._news.read_news)
            for entry, row in news:
                self.view.apply(row.seq, entry)
                self._applied.append(row.seq)
            self._fresh_s = began_s
            if news or self._news.refused != was_refused:
                self._tell()
            self._notice_staleness()
            if self._memory is not None:
                self._unkept += [self._reckoned(entry, row) for entry, row in news]
                if self._unkept:
                    await self._in_thread(partial(self._memory.keep, tuple(self._unkept)))
                    self._unkept.clear()
            self._trouble = ""

    def _reckoned(self, entry: AnyEntry, row: Stored) -> Stored:
        """Nobody signed the expiry that the store tells: the one to remember is our own."""
        return msgspec.structs.replace(row, expires_ns=needed_until_ns(entry, self.view))

    async def _watch_staleness(self) -> None:
        """What waits or runs on a grant must hear when it stops to count, though nothing changed."""
        while True:
            self._notice_staleness()
            left_s = self._fresh_s + self._stale_after_s - time.monotonic()
            await trio.sleep(left_s if left_s > 0 else POLL_S)

    def _notice_staleness(self) -> None:
        if self.is_stale != self._told_stale:
            self._told_stale = self.is_stale
            self._tell()

    async def _tidy(self) -> None:
        while True:
            await trio.sleep(TIDY_S)
            self.view.forget(self.now_ns())
            for place in (self._store, self._memory):
                with suppress(StateError):  # nobody needs the room; a minute later it is tried again
                    if place is not None:
                        await self._in_thread(partial(place.delete_expired, self.now_ns()))

    def _nudge(self) -> None:
        self._nudged.set()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = trio.Event()
        for callback in self.on_change:
            callback()

    async def _in_thread(self, blocking: Callable[[], T]) -> T:
        return await trio.to_thread.run_sync(blocking, limiter=self._limiter)


def _call_soon(token: trio.lowlevel.TrioToken, call: Callable[[], None]) -> None:
    try:
        token.run_sync_soon(call, idempotent=True)
    except trio.RunFinishedError:
        return  # a last nudge, while everything ends


def _skewed(skew_ns: int) -> str:
    direction = "ahead of" if skew_ns > 0 else "behind"
    return (
        f"this host's clock is {abs(skew_ns) / 1e9:.1f} s {direction} the store's: correct it, "
        "then restart the gateway if it was set back"
    )
