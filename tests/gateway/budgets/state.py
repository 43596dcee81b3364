"""A shared state in memory for tests of budgets: a real view, to which entries are appended, or which is down."""

import trio

from gateway.state.claims import unique_key
from gateway.state.entries import AnyEntry, Revoked
from gateway.state.store import AlreadyClaimed, StateUnavailable
from gateway.state.view import View

NOW = 1_800_000_000 * 1_000_000_000


class MemoryState:
    """loses_answers: entries are stored, but nobody hears of it."""

    def __init__(self) -> None:
        self.view = View()
        self.entries: list[AnyEntry] = []
        self.is_down = False
        self.loses_answers = False

    def now_ns(self) -> int:
        return NOW + int(trio.current_time() * 1e9)

    async def append(self, entry: AnyEntry) -> int:
        await trio.lowlevel.checkpoint()
        if self.is_down:
            raise StateUnavailable("the store does not answer")
        key = unique_key(entry)
        if key and key in map(unique_key, self.entries):
            raise AlreadyClaimed(key)
        self.add(entry)
        await trio.lowlevel.checkpoint()
        if self.loses_answers:
            raise StateUnavailable("the connection broke")
        return len(self.entries)

    def add(self, *entries: AnyEntry) -> None:
        for entry in entries:
            self.entries.append(entry)
            self.view.apply(len(self.entries), entry)

    def revoked(self) -> list[Revoked]:
        return [entry for entry in self.entries if isinstance(entry, Revoked)]
