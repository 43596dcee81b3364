"""One file that proves one log entry, offline: c2sp.org/tlog-proof. Pure: bytes and values.

Holds the entry's index, its inclusion proof and a checkpoint with its cosignatures; the entry itself comes
from elsewhere (for us: it is computed from the segment). Verifying needs the entry and whoever opens the
checkpoint, usually `storage.tlog.trust.Policy.judge`.

The trap: `extra` is carried and not authenticated. Never decide anything by it.
"""

from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

from storage.errors import StorageError
from storage.tlog.checkpoint import parse_decimal, parse_hash, read_unverified
from storage.tlog.merkle import MAX_PROOF_HASHES, leaf_hash, verify_inclusion
from storage.tlog.note import MAX_NOTE_BYTES, encode_base64, parse_base64

FIRST_LINE: Final = "c2sp.org/tlog-proof@v1"
FILE_SUFFIX: Final = ".tlog-proof"
MAX_EXTRA_BYTES: Final = 64 * 1024
MAX_PROOF_BYTES: Final = MAX_NOTE_BYTES + 2 * MAX_EXTRA_BYTES
Opened = TypeVar("Opened")


class BadProof(StorageError):
    """A proof file cannot be read; `line` (from 1, 0: the file as a whole) says where. Ask for it again."""

    def __init__(self, line: int, why: str) -> None:
        super().__init__(f"proof file, line {line}: {why}" if line else f"proof file: {why}")
        self.line, self.why = line, why


class LogProof(msgspec.Struct, frozen=True):
    """hashes: from the leaf's sibling to the root's child. checkpoint: a signed note, verbatim."""

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: bytes
    extra: bytes = b""


def encode_proof(proof: LogProof) -> bytes:
    """The bytes of a `.tlog-proof` file."""
    lines = [FIRST_LINE]
    if proof.extra:
        lines.append(f"extra {encode_base64(proof.extra)}")
    lines.append(f"index {proof.index}")
    lines += [encode_base64(value) for value in proof.hashes]
    return ("\n".join(lines) + "\n\n").encode("ascii") + proof.checkpoint


def parse_proof(data: bytes) -> LogProof:
    """A proof from the bytes of its file; verifies nothing. Raises BadProof."""
    if len(data) > MAX_PROOF_BYTES:
        raise BadProof(0, f"longer than {MAX_PROOF_BYTES} bytes")
    head, separator, checkpoint = data.partition(b"\n\n")
    try:
        lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError as error:
        raise BadProof(data.count(b"\n", 0, error.start) + 1, "not ASCII") from None
    if lines[0] != FIRST_LINE:
        raise BadProof(1, f"does not begin with {FIRST_LINE}")
    if not separator:
        raise BadProof(len(lines), "no empty line and no checkpoint behind it")
    at, extra = 1, b""
    if len(lines) > at and lines[at].startswith("extra "):
        extra, at = _extra(lines[at]), 2
    if len(lines) <= at or not lines[at].startswith("index "):
        raise BadProof(at + 1, "no index line")
    try:
        index = parse_decimal(lines[at].removeprefix("index "))
    except ValueError as error:
        raise BadProof(at + 1, f"the index is {error}") from None
    if len(lines) - at - 1 > MAX_PROOF_HASHES:
        raise BadProof(at + 2, f"more than {MAX_PROOF_HASHES} hashes")
    return LogProof(index, _hashes(lines, at + 1), checkpoint, extra)


def verify_proof(proof: LogProof, entry: bytes, open_note: Callable[[bytes], Opened]) -> Opened:
    """Check that a log entry is in the log; returns what `open_note` makes of the checkpoint.

    entry: the log entry's bytes, from a source of the verifier's own. open_note: verifies the checkpoint
    note and raises if it is not to be believed. Raises ProofMismatch, BadCheckpoint, and what it raises.
    """
    opened = open_note(proof.checkpoint)
    checkpoint = read_unverified(proof.checkpoint)
    verify_inclusion(leaf_hash(entry), proof.index, checkpoint.size, proof.hashes, checkpoint.root)
    return opened


def _extra(line: str) -> bytes:
    try:
        extra = parse_base64(line.removeprefix("extra "))
    except ValueError as error:
        raise BadProof(2, f"the extra data is {error}") from None
    if not 0 < len(extra) <= MAX_EXTRA_BYTES:
        raise BadProof(2, f"extra data of {len(extra)} bytes, not 1 to {MAX_EXTRA_BYTES}")
    return extra


def _hashes(lines: list[str], start: int) -> tuple[bytes, ...]:
    found = []
    for number, line in enumerate(lines[start:], start + 1):
        try:
            found.append(parse_hash(line))
        except ValueError as error:
            raise BadProof(number, f"the hash is {error}") from None
    return tuple(found)
