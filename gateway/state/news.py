"""Reading a store on behalf of a follower: what is new, verified, and what time it is there. Blocking, in a thread.

One call is one look: `read_news` returns what to apply and changes nothing but its own place, so a look that fails
half-way is simply repeated. An entry that must not be believed is passed over, counted and named, never applied.
"""

import time
from contextlib import suppress
from typing import Final, NamedTuple

import msgspec

from gateway.state.claims import unique_key
from gateway.state.clock import SteadyClock
from gateway.state.entries import AnyEntry
from gateway.state.memory import Memory
from gateway.state.signing import RefusedEntry, Seal
from gateway.state.store import AlreadyClaimed, StateStore, Stored

PAGE: Final = 500
MAX_SKEW_NS: Final = 2_000_000_000
CLOCK_CHECK_S: Final = 2.0
"""How often the clocks are compared, by the one clock that nobody can set."""


class Told(NamedTuple):
    """An entry that is believed, and the row it came in."""

    entry: AnyEntry
    row: Stored


class News:
    """The place of one reader in one store."""

    def __init__(self, store: StateStore, seal: Seal, clock: SteadyClock, memory: Memory | None) -> None:
        self._store, self._seal, self._clock, self._memory = store, seal, clock, memory
        self._seq = 0
        self._version: object = None
        self._begun = False
        self._clock_due_s = 0.0  # monotonic
        self.skew_ns = 0  # how far this host is ahead of the store
        self.refused = 0
        self.refusal = ""  # the latest
        self.missing = 0  # entries that were seen before and were gone at the start

    def read_news(self) -> list[Told]:
        """Everything since the last look; at the first one, everything still in force. Raises StateUnavailable."""
        self._check_clock()
        version = self._store.version()
        if version == self._version:
            return []
        seq, news = (self._seq, []) if self._begun else self._read_alive()
        while page := self._store.read_after(seq, PAGE):
            news += self._believed(page)
            seq = page[-1].seq
        self._seq, self._version, self._begun = seq, version, True
        return news

    @property
    def is_skewed(self) -> bool:
        return abs(self.skew_ns) > MAX_SKEW_NS

    def _read_alive(self) -> tuple[int, list[Told]]:
        last = self._store.last_seq()  # first: what is appended meanwhile is read again, not missed
        alive = [row for row in self._store.read_alive(self._clock.now_ns()) if row.seq <= last]
        return last, self._believed(alive) + self._remembered(alive)

    def _remembered(self, alive: list[Stored]) -> list[Told]:
        """What somebody deleted since this gateway saw it. It counts, and is put back for the others."""
        if self._memory is None:
            return []
        gone = self._believed(self._memory.missing(alive, self._clock.now_ns()))
        self.missing = len(gone)
        for entry, row in gone:
            key = unique_key(entry)
            with suppress(
                AlreadyClaimed
            ):  # another gateway was first, or it is there and said to have expired
                if key:
                    self._store.append(row.encoded, row.signature, unique=key, expires_ns=row.expires_ns)
        return [Told(entry, msgspec.structs.replace(row, seq=0)) for entry, row in gone]

    def _believed(self, rows: list[Stored]) -> list[Told]:
        believed = []
        for row in rows:
            try:
                believed.append(Told(self._seal.open(row), row))
            except RefusedEntry as refused:
                self.refused += 1
                self.refusal = str(refused)
        return believed

    def _check_clock(self) -> None:
        if time.monotonic() < self._clock_due_s:
            return
        before_ns = self._clock.now_ns()
        theirs_ns = self._store.clock_ns()
        after_ns = self._clock.now_ns()
        self._clock_due_s = time.monotonic() + CLOCK_CHECK_S
        # The store read its clock between our two looks: only what lies outside of them is known to be skew.
        self.skew_ns = max(before_ns - theirs_ns, 0) + min(after_ns - theirs_ns, 0)
