"""Deleting one segment so that a crash at any moment leaves it whole or with a tombstone. Conduct.

    bury     `<segment>.tombstone`, signed, durable                        (then: its leaf into the tree, synced)
    unlink   the segment and what recovery set aside of it
    tidy     the wrapped data key: one run later

Nothing is deleted before its tombstone has its name on the disk, and the caller unlinks only what `coverage` says
is in the signed tree for good. What a crash leaves is taken up by `exhume` and ends the same way: a tombstone is
never written twice, because the tree may already hold the hash of the first.

The traps: a tombstone that somebody else put there must not make us delete, so an old one is believed only with our
signature and over the very bytes that are still there. And a reader that has just opened the segment still wants its
key, which is why that goes last.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from storage.encryption.keys import SUFFIX_KEYS, read_small
from storage.errors import StorageError
from storage.files import FileOps, measure, replace_file
from storage.format import SUFFIX_TOMBSTONE, SUFFIX_TORN
from storage.notary.statement import MAX_STATEMENT_BYTES
from storage.notary.tombstone import Tombstone, open_tombstone, sign_tombstone
from storage.retention.inventory import Entry, Extent
from storage.tlog.note import Signer, VerifierKey


class NotDeletable(StorageError):
    """A segment is not what its name or its tombstone says (the caller knows which). It is evidence: keep it."""


class Grave(msgspec.Struct, frozen=True):
    """A segment with a durable tombstone, still there. sha256: of the tombstone's file."""

    entry: Entry
    tombstone: Tombstone
    sha256: bytes


def bury(
    files: FileOps,
    directory: Path,
    entry: Entry,
    extent: Extent,
    *,
    reason: str,
    deleted_ns: int,
    signer: Signer,
) -> Grave:
    """Write the tombstone of a segment that has none; durable on return. Reads the whole segment.

    extent: what the segment says of itself. Raises NotDeletable, StorageError (signing), FileNotFoundError, OSError.
    """
    check_own(entry, extent)
    if extent.log_origin != signer.verifier.name:
        raise NotDeletable(
            f"it is of the log {extent.log_origin!r}, not of {signer.verifier.name!r}: not ours to delete"
        )
    size, sha256 = measure(files, entry.path(directory))
    tombstone = Tombstone(
        extent.log_origin,
        entry.name.stem,
        extent.segment_id,
        entry.name.number,
        size,
        sha256,
        extent.first_record_seq,
        extent.next_record_seq,
        deleted_ns,
        reason,
    )
    data = sign_tombstone(tombstone, signer)
    replace_file(files, entry.path_beside(directory, SUFFIX_TOMBSTONE), data)
    return Grave(entry, tombstone, hashlib.sha256(data).digest())


def check_own(entry: Entry, extent: Extent) -> None:
    """Whether a file is the segment it is named after. Raises NotDeletable."""
    if not extent.segment_id:
        raise NotDeletable("its header page cannot be read: keep it and look into it")
    if extent.segment_id[-8:] != entry.name.uuid8:
        raise NotDeletable(f"its header names segment {extent.segment_id}: files were exchanged")


def exhume(files: FileOps, directory: Path, entry: Entry, keys: Sequence[VerifierKey]) -> Grave:
    """What an earlier run began: a segment that has a tombstone and is still there. Before it is unlinked, see
    `check_bytes`.

    Raises NotDeletable when the tombstone is another segment's, StorageError when it is not signed by one of the
    log's keys, FileNotFoundError, OSError.
    """
    data = read_small(files, entry.path_beside(directory, SUFFIX_TOMBSTONE), MAX_STATEMENT_BYTES)
    tombstone = open_tombstone(data, keys)
    if tombstone.segment != entry.name.stem:
        raise NotDeletable(f"its tombstone is that of {tombstone.segment}")
    return Grave(entry, tombstone, hashlib.sha256(data).digest())


def check_bytes(files: FileOps, directory: Path, grave: Grave) -> None:
    """Whether an exhumed tombstone is of what is there; reads the whole segment. Raises NotDeletable, OSError."""
    if measure(files, grave.entry.path(directory)) != (grave.tombstone.size, grave.tombstone.sha256):
        raise NotDeletable("its tombstone is of other bytes: keep it and look into it")


def unlink(files: FileOps, directory: Path, grave: Grave) -> None:
    """Delete a segment whose tombstone the tree holds for good; durable on return. Raises OSError."""
    _remove(files, grave.entry.path(directory))
    if SUFFIX_TORN in grave.entry.beside:
        _remove(files, grave.entry.path_beside(directory, SUFFIX_TORN))
    files.sync_directory(directory)


def tidy(files: FileOps, directory: Path, entry: Entry, keys: Sequence[VerifierKey]) -> bool:
    """Remove what is left beside a tombstone whose segment is gone; whether there was anything.

    Raises StorageError when the tombstone is not ours: then the segment was not deleted by us. OSError.
    """
    left = [suffix for suffix in _LEFT if suffix in entry.beside]
    if entry.suffix or not entry.has_tombstone or not left:
        return False
    data = read_small(files, entry.path_beside(directory, SUFFIX_TOMBSTONE), MAX_STATEMENT_BYTES)
    open_tombstone(data, keys)
    for suffix in left:
        _remove(files, entry.path_beside(directory, suffix))
    files.sync_directory(directory)
    return True


_LEFT: Final = (SUFFIX_TORN, SUFFIX_KEYS)


def _remove(files: FileOps, path: Path) -> None:
    try:
        files.remove(path)
    except FileNotFoundError:
        pass  # whoever removed it, it is what was wanted
