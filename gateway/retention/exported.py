"""What the ledger of the export says about segments, for a list: read, never written, never believed for a deletion.

The export itself asks the bucket; this repeats what it noted. The trap: opening a ledger as its owner may rewrite it,
so a command that only looks reads the lines itself.
"""

from pathlib import Path

import msgspec

from gateway.export.ledger import LEDGER, Entry
from storage.errors import UNDECODABLE
from storage.format import SUFFIX_RECOVERED, SUFFIX_SEALED

_ENTRY = msgspec.json.Decoder(Entry)


def noted_segments(data_dir: Path) -> frozenset[str] | None:
    """Stems of the segments that were verified in S3; None when there is no ledger: nothing is exported."""
    stems = set()
    try:
        with open(data_dir / LEDGER, "rb") as lines:
            for line in lines:
                stems |= _stem(line)
    except FileNotFoundError:
        return None
    return frozenset(stems)


def _stem(line: bytes) -> set[str]:
    try:
        name = _ENTRY.decode(line).key.rpartition("/")[2]
    except UNDECODABLE:  # the first line, or one that a crash cut
        return set()
    stem, dot, suffix = name.partition(".")
    return {stem} if dot + suffix in (SUFFIX_SEALED, SUFFIX_RECOVERED) else set()
