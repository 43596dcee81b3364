"""The interface to a store of entries, and how it fails. Blocking: called in threads, from several at once.

A store keeps opaque bytes in one total order; what they mean is `entries`' and who may be believed `signing`'s. The
trap every backend has to avoid: a sequence number must never become visible after a higher one, or a reader that asks
for what came after the highest it knows would miss it for ever.
"""

from collections.abc import Callable
from typing import Final, Protocol

import msgspec

from gateway.errors import GatewayError

MAX_ENTRY_BYTES: Final = 256 * 1024
"""Bodies and diffs in a hold are cut far below; anything larger is no entry."""
KEPT_AFTER_EXPIRY_NS: Final = 30 * 24 * 3600 * 1_000_000_000
"""How long an expired entry stays, for people who look: the record has it for ever anyway."""


class StateError(GatewayError):
    """The shared state cannot be used. One line that says what to do."""


class StateUnavailable(StateError):
    """The store did not answer. Nothing is known of what was being written: read before writing it again."""


class ClockSkew(StateError):
    """This host's clock and the store's disagree by more than 2 s, so no expiry can be trusted. Correct the clock."""


class AlreadyClaimed(StateError):
    """Somebody else wrote an entry under this unique key first. The answer is no; do not try again."""


class Stored(msgspec.Struct, frozen=True):
    """An entry as it lies in the store: verify before use. seq: from 1, ascending, with gaps."""

    seq: int
    encoded: bytes
    signature: bytes
    expires_ns: int = 0


class StateStore(Protocol):
    """Entries in one total order. Every method raises StateUnavailable, within seconds, when the store is away."""

    def append(self, encoded: bytes, signature: bytes, *, unique: str = "", expires_ns: int = 0) -> int:
        """Durable and visible to all on return; returns the sequence number, higher than all before it.

        unique: a key that at most one entry ever has. expires_ns: UTC, when the entry stops to matter (0: never).
        Raises AlreadyClaimed.
        """

    def read_after(self, seq: int, limit: int) -> list[Stored]:
        """What came after, in order, at most `limit`."""

    def read_alive(self, now_ns: int) -> list[Stored]:
        """What has not expired, in order: all that a start has to know."""

    def last_seq(self) -> int:
        """The highest sequence number, 0 when there is none. Read it before `read_alive`, then nothing is missed."""

    def version(self) -> object:
        """Equal to the last one if nothing was appended since: cheap enough to be asked five times a second."""

    def clock_ns(self) -> int:
        """The store's clock, UTC nanoseconds."""

    def listen(self, callback: Callable[[], None]) -> bool:
        """Call back, from a thread of the store's own, soon after somebody appended; possibly more often.

        True: every append is told of within `nudge.POLL_S`. False: some may be missed, so poll as well.
        """

    def delete_expired(self, now_ns: int) -> int:
        """Delete what expired more than 30 days ago; returns how many. The only deletion there is."""

    def close(self) -> None:
        """End the connections and the listening thread."""
