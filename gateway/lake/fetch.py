"""Row files of a store -> a private directory, where a question can be asked of them.

Conduct over `ObjectStore`, whatever is behind it; keys come from a bucket and are believed only as far as
they have the one shape of storage.object_keys. The trap: a call lies in the object of the hour in which it
ended, never before it began, so objects older than the question may be left out, and no later ones.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol

from gateway.lake.errors import LakeFailed
from gateway.lake.files import RowFile
from storage.format import parse_segment_name
from storage.lake.rows import TABLES
from storage.lake.rows_file import SUFFIX_ROWS

INDEX_PREFIX: Final = "v1/index/"
MAX_FETCHED_BYTES: Final = 8 << 30
"""Compressed; some 80 million calls. More belongs to Athena, Trino or Spark."""

_KEY: Final = re.compile(
    r"v1/index/([a-z_]+)/cluster=[A-Za-z0-9._-]+/dt=(\d{4}-\d\d-\d\d)/hr=(\d\d)/([0-9a-f-]+)"
    + re.escape(SUFFIX_ROWS),
    re.ASCII,
)


class ObjectStore(Protocol):
    """What is asked of a store. Keys are relative to the store's own prefix: they begin with "v1/"."""

    def list(self, prefix: str) -> Iterable[str]:
        """All keys that begin with `prefix`."""
        ...

    def read(self, key: str) -> bytes:
        """A whole object. Raises OSError."""
        ...


def fetch_rows(
    store: ObjectStore, directory: Path, *, since_ns: int = 0, max_bytes: int = MAX_FETCHED_BYTES
) -> tuple[RowFile, ...]:
    """Bring the row files of all calls that began at `since_ns` (UTC) or later into `directory`.

    Raises LakeFailed when that is more than `max_bytes`, OSError from the store or the disk.
    """
    since = datetime.fromtimestamp(since_ns // 1_000_000_000, UTC).strftime("%Y-%m-%d %H")
    found, fetched_bytes = [], 0
    for table in TABLES:
        (directory / table).mkdir(mode=0o700, parents=True, exist_ok=True)
        for key in sorted(store.list(f"{INDEX_PREFIX}{table}/")):
            match = _KEY.fullmatch(key)
            if match is None or match[1] != table or parse_segment_name(match[4]) is None:
                continue  # somebody else's object
            if f"{match[2]} {match[3]}" < since:
                continue
            data = store.read(key)
            fetched_bytes += len(data)
            if fetched_bytes > max_bytes:
                raise LakeFailed(
                    f"the rows asked for are more than {max_bytes >> 20} MiB: narrow them with --since, "
                    "or ask Athena, Trino or Spark (deploy/lake)"
                )
            path = directory / table / (match[4] + SUFFIX_ROWS)
            path.write_bytes(data)
            found.append(RowFile(table, match[4], path))
    return tuple(found)
