"""One log in a row: its segments and how far its signed tree goes. Conduct, for people; verifies no signature.

"Proven up to" is the time of the newest record frame below the published checkpoint: a checkpoint itself carries no
time, and that of its file is nobody's promise.
"""

from pathlib import Path
from typing import Final

import msgspec

from storage.files import FileOps
from storage.notary.coverage import TREE_DIRECTORY
from storage.notary.leaf import BadLeaf, BlockLeaf, parse_leaf
from storage.retention.inventory import list_entries, size_of
from storage.tlog.checkpoint import BadCheckpoint, read_unverified
from storage.tlog.note import BadNote
from storage.tlog.tiles import TILE_WIDTH
from storage.tlog.tree import open_tree_reader
from storage.tlog.tree_reader import TreeDamaged, TreeReader

_ENTRIES_BACK: Final = 16 * TILE_WIDTH
"""Looked through for a record frame; there is one among the newest unless thousands of files were just deleted."""


class TreeSummary(msgspec.Struct, frozen=True):
    """leaves: under the published checkpoint; root: base64; newest_ns: UTC nanoseconds, 0: unknown. problem: why the
    tree cannot be read, "" if it can."""

    log: str
    segments: int
    deleted: int
    size_bytes: int
    origin: str = ""
    leaves: int = 0
    root: str = ""
    newest_ns: int = 0
    problem: str = ""


def summarize_tree(files: FileOps, log_directory: Path) -> TreeSummary:
    """Raises OSError."""
    entries = list_entries(files, log_directory)
    there = [entry for entry in entries if entry.state is not None]
    known = TreeSummary(
        log_directory.name,
        len(there),
        sum(entry.state is None and entry.has_tombstone for entry in entries),
        sum(size_of(files, entry.path(log_directory)) for entry in there),
    )
    try:
        reader, note = open_tree_reader(files, log_directory / TREE_DIRECTORY)
        checkpoint = read_unverified(note)
        newest_ns = _newest_ns(reader)
    except (TreeDamaged, BadNote, BadCheckpoint, BadLeaf) as error:
        return msgspec.structs.replace(known, problem=str(error))
    return msgspec.structs.replace(
        known,
        origin=checkpoint.origin,
        leaves=checkpoint.size,
        root=checkpoint.text.split("\n")[2],
        newest_ns=newest_ns,
    )


def _newest_ns(reader: TreeReader) -> int:
    for entry in reversed(list(reader.entries(max(reader.size - _ENTRIES_BACK, 0), reader.size))):
        leaf = parse_leaf(entry)
        if isinstance(leaf, BlockLeaf):
            return leaf.committed_ns
    return 0
