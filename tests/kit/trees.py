"""A signing log of small entries over a `TreeStore`, for tests of the tree and of those who use it."""

from functools import cache
from pathlib import Path

from storage.files import REAL_FILES, FileOps
from storage.tlog.checkpoint import Checkpoint, sign_checkpoint
from storage.tlog.merkle import leaf_hash, root_of
from storage.tlog.note import KeyType, SignerKey, encode_signer, parse_signer
from storage.tlog.tree import TreeStore

ORIGIN = "kubetape/gw-1/0"
LOG = parse_signer(encode_signer(ORIGIN, KeyType.ED25519, bytes(range(32))))


def entry_of(index: int) -> bytes:
    return b"entry %d" % index


def entries_of(start: int, end: int) -> list[bytes]:
    return [entry_of(index) for index in range(start, end)]


@cache
def root_at(size: int) -> bytes:
    return root_of(leaf_hash(entry) for entry in entries_of(0, size))


def note_at(size: int, signer: SignerKey = LOG) -> bytes:
    return sign_checkpoint(Checkpoint(ORIGIN, size, root_at(size)), [signer])


def grow(store: TreeStore, size: int, *, keep: bool = False, durable: bool = False) -> None:
    """Append entries up to `size` and publish."""
    store.append(entries_of(store.size, size))
    reached, root = store.head()
    store.publish(sign_checkpoint(Checkpoint(ORIGIN, reached, root), [LOG]), keep=keep, durable=durable)


def opened(directory: Path, files: FileOps = REAL_FILES) -> TreeStore:
    return TreeStore(files, directory, keys=[LOG.verifier])
