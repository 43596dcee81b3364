"""The tree of a log opened, and made again from the segments when its tiles are gone. Conduct.

Tiles are not synced with each checkpoint, so a power cut may take them; the frames under a signed checkpoint are. What
the tree had made durable is kept, the segments and `tlog.marks` tell the rest again, and the result must be the
signed root. If it is not, then what was signed is not what is here: `TreeDamaged`, and no repair.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from storage.encryption.keys import read_small
from storage.errors import StorageError
from storage.files import FileOps
from storage.notary.anchor import find_anchors, place_of
from storage.notary.leaf import BadLeaf
from storage.notary.leaf_source import LeafSource, Place
from storage.notary.loss import read_losses
from storage.notary.marks import BadMarks, Mark, marks_among, read_marks, within, write_marks
from storage.reader import list_segments
from storage.tlog.note import VerifierKey
from storage.tlog.tiles import TILE_WIDTH
from storage.tlog.tree import TreeStore
from storage.tlog.tree_files import SYNCED
from storage.tlog.tree_reader import TreeDamaged, TreeReader, file_reader

TREE_DIRECTORY: Final = "tlog"
_MAX_NUMBER_BYTES: Final = 32


def open_store(
    files: FileOps,
    directory: Path,
    keys: Sequence[VerifierKey],
    clock: Callable[[], float] = time.monotonic,
) -> TreeStore:
    """The tree of a log, made again if need be. The caller holds the log's lock.

    Raises TreeDamaged when the segments do not lead to the signed root, LogFailed, OSError.
    """
    tree = directory / TREE_DIRECTORY
    files.make_directory(tree)
    try:
        return TreeStore(files, tree, keys=keys, clock=clock)
    except TreeDamaged:
        marks = _readable_marks(files, directory) or []
    try:
        entries = retold_entries(files, directory, keys, marks, _synced_size(files, tree))
        return TreeStore.rebuild(files, tree, entries, keys=keys, clock=clock)
    except (TreeDamaged, BadLeaf):
        entries = retold_entries(files, directory, keys, marks, 0)
        return TreeStore.rebuild(files, tree, entries, keys=keys, clock=clock)


def _synced_size(files: FileOps, tree: Path) -> int:
    """What of the tree is durable in full bundles, by its own word."""
    try:
        text = read_small(files, tree / SYNCED, _MAX_NUMBER_BYTES).strip()
    except (FileNotFoundError, StorageError):
        return 0
    return int(text) // TILE_WIDTH * TILE_WIDTH if text.isdigit() else 0


def retold_entries(
    files: FileOps, directory: Path, keys: Sequence[VerifierKey], marks: Iterable[Mark], kept: int
) -> Iterator[bytes]:
    """The entries of a log: the first `kept` from its bundles, the others as segments and marks tell them.

    Raises TreeDamaged, BadLeaf, OSError.
    """
    reader = TreeReader(file_reader(files, directory / TREE_DIRECTORY), kept)
    losses = read_losses(files, directory, files.names(directory), keys)
    place = place_of(find_anchors(reader.entries, kept, losses), list_segments(directory, files=files))
    yield from reader.entries(0, kept)
    source = LeafSource(files, directory, place or Place())
    try:
        yield from _merged(source.everything(), {mark.index: mark.entry for mark in marks}, kept)
    finally:
        source.close()


def _merged(entries: Iterable[bytes], marks: dict[int, bytes], index: int) -> Iterator[bytes]:
    """Entries of segments, and at their numbers those of marks."""
    for entry in entries:
        while index in marks:
            yield marks[index]
            index += 1
        yield entry
        index += 1
    while index in marks:
        yield marks[index]
        index += 1


def _readable_marks(files: FileOps, directory: Path) -> list[Mark] | None:
    try:
        return read_marks(files, directory)
    except BadMarks:
        return None


def known_marks(files: FileOps, directory: Path, store: TreeStore) -> list[Mark]:
    """The marks of an opened tree; found in its entries and written down when their file is not there.

    Raises TreeDamaged, LogFailed, OSError.
    """
    marks = _readable_marks(files, directory)
    if marks is None:
        marks = marks_among(store.entries(0, store.size))
        if store.size:  # else there is no checkpoint yet, and the file would say that there was one
            write_marks(files, directory, marks)
    return within(marks, store.size)
