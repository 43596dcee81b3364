"""Why a segment is not there: what its tombstone says, for a message to a person. Decides nothing.

Whether a tombstone is genuine is for `verify` to say; the text here only repeats it. The trap: a segment without
one was not deleted by retention, and the message must not suggest so.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

from storage.encryption.keys import read_small
from storage.errors import StorageError
from storage.files import FileOps
from storage.format import SUFFIX_TOMBSTONE
from storage.notary.statement import MAX_STATEMENT_BYTES
from storage.notary.tombstone import read_tombstone

NO_TOMBSTONE: Final = "their segment was removed, and no tombstone says why: see kubetape verify"


@runtime_checkable
class KnowsTombstones(Protocol):
    """A source of records that can also say why a segment is not there."""

    def why_gone(self, log: str, segment: str) -> str | None:
        """None: it left no tombstone. Raises nothing."""
        ...


def why_gone(source: object, log: str, segments: Iterable[str]) -> str:
    """What became of the first of these segments that has a tombstone; segments: stems, in order."""
    if isinstance(source, KnowsTombstones):
        for segment in dict.fromkeys(segments):
            why = source.why_gone(log, segment)
            if why is not None:
                return why
    return NO_TOMBSTONE


def read_why_gone(files: FileOps, log_directory: Path, segment: str) -> str | None:
    """What a segment's tombstone says, as a sentence; None when it has none."""
    path = log_directory / (segment + SUFFIX_TOMBSTONE)
    try:
        tombstone = read_tombstone(read_small(files, path, MAX_STATEMENT_BYTES))
    except FileNotFoundError:
        return None
    except (StorageError, OSError) as error:
        return f"segment {segment} is gone, and its tombstone cannot be read: {error}"
    at = datetime.fromtimestamp(tombstone.deleted_ns // 1_000_000_000, UTC)
    return (
        f"segment {segment} was deleted on {at:%Y-%m-%dT%H:%M:%SZ} ({tombstone.reason}); "
        "if it was exported, read it with --store s3://BUCKET/PREFIX"
    )
