"""Checkpoints of c2sp.org/tlog-checkpoint, and cosignatures on them (c2sp.org/tlog-cosignature).

A checkpoint is a signed note whose text is origin, tree size and root. This module turns it into values and
back, signs it as the log, cosigns it as a witness, and says which keys signed. Whether those are enough is
decided by `storage.tlog.trust`; whether two checkpoints agree, by `storage.tlog.merkle`.

The trap: extension lines are signed by Ed25519 cosigners and not by ML-DSA ones. We write none, and read
them without giving them a meaning.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from storage.errors import StorageError
from storage.tlog.merkle import HASH_BYTES
from storage.tlog.note import (
    BadKey,
    KeyType,
    Note,
    Signature,
    Signer,
    VerifierKey,
    add_signatures,
    check_text,
    encode_base64,
    encode_note,
    open_note,
    parse_base64,
    parse_note,
    sign_text,
    signed_by,
)

MAX_SIZE: Final = (1 << 63) - 1
TIMESTAMP_BYTES: Final = 8
COSIGNATURE_TYPES: Final = frozenset({KeyType.COSIGNATURE, KeyType.MLDSA44})
_MLDSA_LABEL: Final = b"subtree/v1\n\0"
_MAX_MLDSA_NAME_BYTES: Final = 255


class BadCheckpoint(StorageError):
    """A note's text is not a checkpoint; `line` (from 1) says where. Refuse it."""

    def __init__(self, line: int, why: str) -> None:
        super().__init__(f"checkpoint, line {line}: {why}")
        self.line, self.why = line, why


class Checkpoint(msgspec.Struct, frozen=True):
    """The head of a log: `size` leaves under `root` (32 bytes)."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The note text."""
        lines = (self.origin, str(self.size), encode_base64(self.root), *self.extensions)
        return "".join(f"{line}\n" for line in lines)


def parse_decimal(text: str) -> int:
    """A number from 0 to 2^63 - 1 in ASCII without leading zeroes. Raises ValueError."""
    if not (text.isascii() and text.isdigit() and len(text) <= 19) or str(int(text)) != text:
        raise ValueError("not a decimal number without leading zeroes")
    if int(text) > MAX_SIZE:
        raise ValueError("a number beyond 2^63 - 1")
    return int(text)


def parse_hash(text: str) -> bytes:
    """The base64 of 32 bytes. Raises ValueError."""
    value = parse_base64(text)
    if len(value) != HASH_BYTES:
        raise ValueError(f"not a hash of {HASH_BYTES} bytes")
    return value


def parse_checkpoint(text: str) -> Checkpoint:
    """A checkpoint from a note's text. Raises BadCheckpoint."""
    lines = text.removesuffix("\n").split("\n")
    if len(lines) < 3 or not text.endswith("\n"):
        raise BadCheckpoint(len(lines), "a checkpoint has three lines: origin, size, root hash")
    if "" in lines:
        raise BadCheckpoint(lines.index("") + 1, "empty")
    try:
        size = parse_decimal(lines[1])
    except ValueError as error:
        raise BadCheckpoint(2, f"the tree size is {error}") from None
    try:
        root = parse_hash(lines[2])
    except ValueError as error:
        raise BadCheckpoint(3, f"the root hash is {error}") from None
    return Checkpoint(lines[0], size, root, tuple(lines[3:]))


def read_unverified(data: bytes) -> Checkpoint:
    """What a checkpoint note says, whoever signed it. Raises BadNote, BadCheckpoint.

    For our own files, where the tree itself is compared, and to look up whose keys to ask for.
    """
    return parse_checkpoint(parse_note(data).text)


def open_checkpoint(data: bytes, keys: Sequence[VerifierKey], *, origin: str | None = None) -> Checkpoint:
    """A checkpoint that one of these log keys signed.

    origin: which log it must be of, if known. Raises BadNote, BadSignature, NotSigned, BadCheckpoint.
    """
    checkpoint = parse_checkpoint(open_note(data, keys, check_signature).text)
    if origin is not None and checkpoint.origin != origin:
        raise BadCheckpoint(1, f"this is the log {checkpoint.origin!r}, not {origin!r}")
    return checkpoint


def sign_checkpoint(checkpoint: Checkpoint, signers: Sequence[Signer], timestamp_s: int = 0) -> bytes:
    """The signed note of a checkpoint, a line a signer.

    timestamp_s: POSIX time, for signers of the cosignature types. Raises what `cosign` raises.
    """
    text = checkpoint.text
    lines = tuple(
        cosign(text, signer, timestamp_s)
        if signer.verifier.type in COSIGNATURE_TYPES
        else sign_text(text, signer)
        for signer in signers
    )
    return encode_note(Note(text, lines))


# --- cosignatures ----------------------------------------------------------------------------------


def cosign(text: str, signer: Signer, timestamp_s: int) -> Signature:
    """A timestamped cosignature on a checkpoint's text. Raises BadCheckpoint, BadKey.

    The caller states with it that this is the largest consistent tree of that log it has seen.
    """
    key = signer.verifier
    if key.type not in COSIGNATURE_TYPES:
        raise BadKey(f"{key.name} is a note key (type 0x01); cosigning needs type 0x04 or 0x06")
    value = signer.sign(_cosigned_message(key, text, timestamp_s))
    return Signature(key.name, key.key_id, timestamp_s.to_bytes(TIMESTAMP_BYTES, "big") + value)


def check_signature(key: VerifierKey, text: str, value: bytes) -> bool:
    """Whether `value` is this key's signature, of whichever type, on a checkpoint's text."""
    if key.type not in COSIGNATURE_TYPES:
        return check_text(key, text, value)
    timestamp_s = int.from_bytes(value[:TIMESTAMP_BYTES], "big")
    if not 0 < timestamp_s <= MAX_SIZE:
        return False
    return key.verify(_cosigned_message(key, text, timestamp_s), value[TIMESTAMP_BYTES:])


def cosignatures(note: Note, keys: Sequence[VerifierKey]) -> dict[VerifierKey, int]:
    """Which of these cosigner keys cosigned the note: key -> POSIX time in seconds.

    Raises BadSignature when one of their lines does not verify, BadCheckpoint.
    """
    parse_checkpoint(note.text)
    found = signed_by(note, keys, check_signature)
    return {key: cosignature_time_s(signature) for key, signature in found.items()}


def cosignature_time_s(signature: Signature) -> int:
    """When a cosignature says it was made; POSIX seconds, worth as much as its cosigner."""
    return int.from_bytes(signature.value[:TIMESTAMP_BYTES], "big")


def with_cosignatures(data: bytes, more: Sequence[Signature]) -> bytes:
    """A checkpoint note with further signature lines; a newer line of a key replaces its older one."""
    return encode_note(add_signatures(parse_note(data), more))


def _cosigned_message(key: VerifierKey, text: str, timestamp_s: int) -> bytes:
    """The bytes a cosigner signs. Raises BadCheckpoint."""
    checkpoint = parse_checkpoint(text)
    if key.type is KeyType.COSIGNATURE:
        return f"cosignature/v1\ntime {timestamp_s}\n{text}".encode()
    name, origin = key.name.encode("utf-8"), checkpoint.origin.encode("utf-8")
    if len(origin) > _MAX_MLDSA_NAME_BYTES:
        raise BadCheckpoint(1, f"an ML-DSA cosigner takes an origin of {_MAX_MLDSA_NAME_BYTES} bytes at most")
    return b"".join(
        (
            _MLDSA_LABEL,
            bytes([len(name)]),
            name,
            timestamp_s.to_bytes(8, "big"),
            bytes([len(origin)]),
            origin,
            bytes(8),  # start: always the first leaf, since a checkpoint is the whole tree
            checkpoint.size.to_bytes(8, "big"),
            checkpoint.root,
        )
    )
