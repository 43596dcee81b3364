"""Records of a call that come before its Intent, kept until it comes. Pure.

To decide a call the gateway may first have to look at the object it is about; that request is recorded before it is
sent, and the Intent holds the verdict, so it comes later. What waits here is stored with the position of its log: an
indexer that is stopped in between goes on with it. The trap: an Intent may never come (a crash, an older segment that
expired), so there is a bound, and the next run of the gateway clears it.
"""

from typing import Final

import msgspec

from storage.reader import Position
from storage.records import SubRequest

MAX_EARLY: Final = 1000
"""Of one log; more than a gateway decides at one time."""


class _Early(msgspec.Struct, frozen=True, array_like=True):
    at: Position
    record: SubRequest


class EarlyRecords:
    """Of one log. stored: what `encode` gave. Raises msgspec.DecodeError."""

    def __init__(self, stored: bytes = b"\x90") -> None:
        self._waiting = msgspec.msgpack.decode(stored, type=list[_Early])

    def encode(self) -> bytes:
        return msgspec.msgpack.encode(self._waiting)

    def keep(self, at: Position, record: SubRequest) -> None:
        """Without its target: an index may not have what is behind the `?` of one."""
        del self._waiting[: max(0, len(self._waiting) + 1 - MAX_EARLY)]
        self._waiting.append(_Early(at, msgspec.structs.replace(record, target=b"")))

    def take(self, exchange: bytes) -> list[tuple[Position, SubRequest]]:
        """The records of a call whose Intent came, in order; they wait no more."""
        taken = [(one.at, one.record) for one in self._waiting if one.record.exchange == exchange]
        if taken:
            self._waiting = [one for one in self._waiting if one.record.exchange != exchange]
        return taken

    def clear(self) -> None:
        self._waiting.clear()
