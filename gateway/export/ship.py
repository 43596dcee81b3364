"""One file to one object: hash, upload, compare. Blocks; for a worker thread. What follows is decided elsewhere.

The trap: the hash that is compared is of the bytes that were read before the upload, so a file that changes under us
cannot become a verified object: the store refuses bytes that do not have it.
"""

import hashlib
from pathlib import Path
from typing import Final

import msgspec

from gateway.export.ledger import Entry
from gateway.export.store import ObjectStore, Put
from storage.export import Answer, Item, Outcome

NOT_SEEN: Final = frozenset({Outcome.MISSING, Outcome.DENIED})
"""What a HEAD says of an object that is not there; the second where we may not list the bucket."""
_CHUNK_BYTES: Final = 1024 * 1024


class Shipped(msgspec.Struct, frozen=True):
    """answers: what the store said, in order, first to the upload if one was tried. entry: for the ledger, if
    the last one was SAME. unlocked: it is the same, and the store shows no lock where there should be one.
    """

    answers: tuple[Answer, ...]
    entry: Entry
    tried: bool
    unlocked: bool = False


def ship_file(store: ObjectStore, item: Item, now_ns: int, *, probably_there: bool) -> Shipped:
    """Upload a file and compare. probably_there: compare first. Raises OSError, FileNotFoundError."""
    status = item.path.stat()
    sha256 = _sha256_of(item.path)
    put = Put(item.key, item.path, status.st_size, sha256, item.locked)
    return ship(
        store, put, now_ns, mutable=item.mutable, probably_there=probably_there, mtime_ns=status.st_mtime_ns
    )


def ship(
    store: ObjectStore,
    put: Put,
    now_ns: int,
    *,
    mutable: bool,
    probably_there: bool = False,
    mtime_ns: int = 0,
) -> Shipped:
    entry = Entry(put.key, put.sha256.hex(), put.size, mtime_ns)
    if probably_there:
        answer, _ = store.compare(put.key, put.sha256, put.size)
        if answer.outcome not in NOT_SEEN:
            return Shipped((answer,), entry, tried=False)
    sent = store.put_mutable(put) if mutable else store.put_once(put, now_ns)
    if sent.outcome not in (Outcome.CREATED, Outcome.EXISTS):
        return Shipped((sent,), entry, tried=True)
    answer, head = store.compare(put.key, put.sha256, put.size)
    unlocked = put.locked and answer.outcome is Outcome.SAME and head is not None and not head.lock_mode
    return Shipped((sent, answer), entry, tried=True, unlocked=unlocked)


def _sha256_of(path: Path) -> bytes:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.digest()
