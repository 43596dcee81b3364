"""What this gateway has seen of a shared database, kept in its own data directory. Blocking, in threads.

Whoever administers the database cannot write an entry that counts, but he can delete one: his own revocation, or the
use of an approval. A running gateway forgets nothing; this file makes the same true across a restart. What is missing
in the database then stays in force here and is written there again, with its old signature.

Not needed with SQLite: whoever can write the data directory has the keys anyway.
"""

import hashlib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from gateway.state.sqlite import SqliteStore
from gateway.state.store import AlreadyClaimed, Stored

SEEN_FILE: Final = "state-seen.sqlite"


class Memory:
    """Verified entries only. `expires_ns` of what is kept is our own reckoning, not the database's."""

    def __init__(self, data_dir: Path) -> None:
        """Raises StateUnavailable."""
        self._file = SqliteStore(data_dir, file_name=SEEN_FILE)

    def keep(self, rows: Iterable[Stored]) -> None:
        """Durable on return. Raises StateUnavailable."""
        for row in rows:
            with suppress(AlreadyClaimed):
                key = _fingerprint(row)
                self._file.append(row.encoded, row.signature, unique=key, expires_ns=row.expires_ns)

    def missing(self, known: Iterable[Stored], now_ns: int) -> list[Stored]:
        """What was seen, has not expired, and is not among these; in the order in which it was seen."""
        there = {_fingerprint(row) for row in known}
        return [row for row in self._file.read_alive(now_ns) if _fingerprint(row) not in there]

    def delete_expired(self, now_ns: int) -> int:
        return self._file.delete_expired(now_ns)

    def close(self) -> None:
        self._file.close()


def _fingerprint(row: Stored) -> str:
    return hashlib.sha256(row.signature + row.encoded).hexdigest()
