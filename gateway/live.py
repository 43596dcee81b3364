"""Exchanges under way, so that any of them can be ended with a reason: by a drain, a failed log, a revocation.

A drain waits for short calls and ends only what would not end by itself (watches, logs, tunnels: the `cuttable` part
of an exchange). A revocation ends everything, calls that are held and calls whose answer has not begun included.
The trap: an exchange has two scopes, because the cuttable part says goodbye in its protocol when it is cut, and
needs what is around it for that.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

import trio

from gateway.errors import CUT, Answer
from gateway.policy.model import ActiveGrant
from gateway.principal import Principal
from gateway.server.request import Cancellable


class LiveExchange:
    """One exchange that may be cut. `reason` is set when it was; answer: the Status, if one can still be sent.

    principal, session: once identified. grants: those the permission rests on, each with its absolute end.
    """

    reason = ""
    answer = CUT
    principal: Principal | None = None
    session = ""
    grants: tuple[ActiveGrant, ...] = ()
    _in_cuttable_part = False
    _is_closed = False

    def __init__(self, started_ns: int = 0, whole: Cancellable | None = None) -> None:
        """started_ns: UTC. whole: the scope that is around it, where there is one."""
        self.whole = whole or trio.CancelScope()
        self.scope: Cancellable = self.whole  # in the part that would not end by itself: that of this part
        self.started_ns = started_ns  # UTC

    @property
    def user(self) -> str:
        return self.principal.user if self.principal else ""

    @property
    def issuer(self) -> str:
        return self.principal.issuer if self.principal else ""

    @property
    def credential_id(self) -> str:
        return self.principal.credential_id if self.principal else ""

    def identify(self, principal: Principal, session: str) -> None:
        """From now on it is known whose exchange this is."""
        self.principal, self.session = principal, session

    def cut(self, reason: str, answer: Answer = CUT) -> None:
        """End it, wherever it is. The first reason given is the reason."""
        if self.reason or self._is_closed:
            return
        self.reason, self.answer = reason, answer
        (self.scope if self._in_cuttable_part else self.whole).cancel()

    def close(self) -> bool:
        """It ends by itself now: nothing has to cut it any more. Returns whether something did before."""
        self._is_closed = True
        return bool(self.reason)

    def begin_cuttable_part(self, scope: trio.CancelScope) -> None:
        """A part begins that ends in its own way when it is cut. scope: what is around it."""
        self._in_cuttable_part = True
        self.scope = scope

    def end_cuttable_part(self) -> None:
        self._in_cuttable_part = False


class Running:
    """An exchange under way, for as long as this is entered. (On the way of every call: no generator.)"""

    __slots__ = ("_all", "_live")

    def __init__(self, everything: "Live", live: LiveExchange) -> None:
        self._all, self._live = everything, live

    def __enter__(self) -> LiveExchange:
        self._all.begin(self._live)
        return self._live

    def __exit__(self, *raised: object) -> None:
        self._all.end(self._live)


class Cuttable:
    """The part of an exchange that would not end by itself. (On the way of every tunnel: no generator.)"""

    __slots__ = ("_ending", "_live", "_scope")

    def __init__(self, live: LiveExchange, ending: str) -> None:
        """ending: cut it at once, for this reason."""
        self._live, self._ending = live, ending

    def __enter__(self) -> None:
        self._scope = trio.CancelScope()
        self._live.begin_cuttable_part(self._scope)
        self._scope.__enter__()
        if self._ending:
            self._live.cut(self._ending)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        try:
            return self._scope.__exit__(kind, error, trace)
        finally:
            self._live.end_cuttable_part()


class CuttableWithin:
    """The same in a scope that is there already, a nursery's: a scope costs more than reading a record."""

    __slots__ = ("_ending", "_live")

    def __init__(self, live: LiveExchange, scope: trio.CancelScope, ending: str) -> None:
        self._live, self._ending = live, ending
        live.begin_cuttable_part(scope)

    def __enter__(self) -> None:
        if self._ending:
            self._live.cut(self._ending)

    def __exit__(self, *raised: object) -> None:
        self._live.end_cuttable_part()


class Live:
    """All live exchanges of a worker."""

    def __init__(self) -> None:
        self._all: set[LiveExchange] = set()
        self._long: set[LiveExchange] = set()
        self._ending = ""  # once set, whatever becomes long-running is cut at once
        self._changed: trio.Event | None = None  # made by who waits for an end

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[LiveExchange]:
        """Those under way now; they may end while this is walked."""
        return iter(tuple(self._all))

    async def wait_none(self) -> None:
        """Return when no exchange is under way."""
        while self._all:
            if self._changed is None:
                self._changed = trio.Event()
            await self._changed.wait()

    @property
    def long_running(self) -> int:
        return len(self._long)

    def exchange(self, started_ns: int = 0, whole: Cancellable | None = None) -> "Running":
        """Run an exchange; see LiveExchange. When it is cut outside a cuttable part, `whole` is cancelled, and
        `live.reason` says why."""
        return Running(self, LiveExchange(started_ns, whole))

    def begin(self, live: LiveExchange) -> None:
        """It is under way. Call `end`, whatever becomes of it."""
        self._all.add(live)

    def end(self, live: LiveExchange) -> None:
        """It is over."""
        self._all.discard(live)
        self._long.discard(live)
        if self._changed is not None:
            self._changed.set()
            self._changed = None

    def cuttable(self, live: LiveExchange) -> Cuttable:
        """Run the part of an exchange that would not end by itself; check `live.reason` afterwards."""
        self._long.add(live)
        return Cuttable(live, self._ending)

    def cuttable_within(self, live: LiveExchange, scope: trio.CancelScope) -> CuttableWithin:
        """As `cuttable`: cut, `scope` is cancelled. A cut behind this part ends the whole exchange."""
        self._long.add(live)
        return CuttableWithin(live, scope, self._ending)

    @contextmanager
    def held(self, live: LiveExchange) -> Iterator[None]:
        """Run a part in which people are waited for: a drain need not wait for them. Cut, it raises `Cancelled`."""
        was_long = live in self._long
        self._long.add(live)
        if self._ending:
            live.cut(self._ending)
        try:
            yield
        finally:
            if not was_long:
                self._long.discard(live)

    def cut_all(self, reason: str) -> None:
        """End every watch, log stream, tunnel and held call, now and from now on."""
        self._ending = reason
        for live in tuple(self._long):
            live.cut(reason)

    def cut_where(self, predicate: Callable[[LiveExchange], bool], reason: str, answer: Answer = CUT) -> int:
        """End every exchange the predicate holds for, short and held ones too; how many those were."""
        found = [live for live in self if not live.reason and predicate(live)]
        for live in found:
            live.cut(reason, answer)
        return len(found)
