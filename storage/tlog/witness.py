"""What a witness is asked and what it answers: `add-checkpoint` of c2sp.org/tlog-witness. Pure.

A witness remembers the last checkpoint it cosigned of every log it knows, and cosigns the next only if that
one continues it: so a log that shows two histories, or goes back, finds no cosigner for the second.

The trap: `decide` grants; it does not cosign. The new head must be durable before a cosignature is given away,
and no other request of that log may be decided in between, or a rollback gets signed.
"""

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Final

import msgspec

from storage.errors import StorageError
from storage.tlog.checkpoint import (
    BadCheckpoint,
    Checkpoint,
    check_signature,
    parse_checkpoint,
    parse_decimal,
    parse_hash,
)
from storage.tlog.merkle import EMPTY_ROOT, MAX_PROOF_HASHES, ProofMismatch, verify_consistency
from storage.tlog.note import (
    BadNote,
    BadSignature,
    Note,
    VerifierKey,
    encode_base64,
    parse_note,
    signed_by,
)

MAX_REQUEST_BYTES: Final = 256 * 1024
"""63 hashes, a checkpoint, and as many ML-DSA signatures as anyone has witnesses."""
SIZE_CONTENT_TYPE: Final = "text/x.tlog.size"
TEXT_CONTENT_TYPE: Final = "text/plain; charset=utf-8"


class BadRequest(StorageError):
    """Bytes are not an add-checkpoint request. Answer 400."""


class Outcome(Enum):
    """Why a checkpoint is not cosigned; the value is the HTTP status."""

    UNREADABLE = 400
    NOT_SIGNED = 403
    UNKNOWN_LOG = 404
    STALE = 409
    INCONSISTENT = 422


class AddCheckpoint(msgspec.Struct, frozen=True):
    """old_size: of the head the proof starts from. checkpoint: a signed note, verbatim."""

    old_size: int
    proof: tuple[bytes, ...]
    checkpoint: bytes


class Head(msgspec.Struct, frozen=True):
    """The last checkpoint of a log that the witness cosigned."""

    size: int = 0
    root: bytes = EMPTY_ROOT


class Grant(msgspec.Struct, frozen=True):
    """Make `head` durable, then give away the cosignature on `note.text`. note: with the log's verified signatures only."""

    checkpoint: Checkpoint
    head: Head
    note: Note


class Refusal(msgspec.Struct, frozen=True):
    """Do not cosign. body: what to answer. origin: of a log whose own key signed it, so keep the request:
    an INCONSISTENT one proves that the log misbehaves."""

    outcome: Outcome
    body: str
    content_type: str = TEXT_CONTENT_TYPE
    origin: str | None = None

    @property
    def status(self) -> int:
        return self.outcome.value


def encode_request(request: AddCheckpoint) -> bytes:
    lines = [f"old {request.old_size}", *map(encode_base64, request.proof)]
    return ("\n".join(lines) + "\n\n").encode("ascii") + request.checkpoint


def parse_request(body: bytes) -> AddCheckpoint:
    """Raises BadRequest. The checkpoint within is not looked at."""
    if len(body) > MAX_REQUEST_BYTES:
        raise BadRequest(f"the request is longer than {MAX_REQUEST_BYTES} bytes")
    head, separator, checkpoint = body.partition(b"\n\n")
    if not separator:
        raise BadRequest("no empty line between the proof and the checkpoint")
    try:
        lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError:
        raise BadRequest("old size and proof are not ASCII") from None
    if len(lines) - 1 > MAX_PROOF_HASHES:
        raise BadRequest(f"more than {MAX_PROOF_HASHES} proof lines")
    try:
        if not lines[0].startswith("old "):
            raise ValueError("not `old <size>`")
        old_size = parse_decimal(lines[0].removeprefix("old "))
    except ValueError as error:
        raise BadRequest(f"line 1: {error}") from None
    proof = []
    for number, line in enumerate(lines[1:], 2):
        try:
            proof.append(parse_hash(line))
        except ValueError as error:
            raise BadRequest(f"line {number}: {error}") from None
    return AddCheckpoint(old_size, tuple(proof), checkpoint)


def requested_origin(request: AddCheckpoint) -> str:
    """Which log a request is about, by its own unverified word; "" when it does not say."""
    return request.checkpoint.partition(b"\n")[0].decode("utf-8", "replace")


def decide(
    request: AddCheckpoint, logs: Mapping[str, Sequence[VerifierKey]], head: Head | None
) -> Grant | Refusal:
    """Decide one request. logs: origin -> its keys. head: what was cosigned last of the log it names."""
    try:
        note = parse_note(request.checkpoint)
        checkpoint = parse_checkpoint(note.text)
    except (BadNote, BadCheckpoint) as error:
        return Refusal(Outcome.UNREADABLE, f"{error}\n")
    keys = logs.get(checkpoint.origin)
    if keys is None:
        return Refusal(Outcome.UNKNOWN_LOG, "this witness does not know that log\n")
    try:
        signatures = signed_by(note, keys, check_signature)
    except BadSignature as error:
        return Refusal(Outcome.NOT_SIGNED, f"{error}\n")
    if not signatures:
        return Refusal(Outcome.NOT_SIGNED, "no signature of a key this witness knows for that log\n")
    known = head or Head()
    if request.old_size > checkpoint.size:
        return Refusal(Outcome.UNREADABLE, "the old size is larger than the checkpoint's\n")
    if request.old_size != known.size:
        return Refusal(Outcome.STALE, f"{known.size}\n", SIZE_CONTENT_TYPE, checkpoint.origin)
    try:
        verify_consistency(known.size, checkpoint.size, request.proof, known.root, checkpoint.root)
    except ProofMismatch as error:
        return Refusal(Outcome.INCONSISTENT, f"{error}\n", origin=checkpoint.origin)
    verified = Note(note.text, tuple(signatures.values()))
    return Grant(checkpoint, Head(checkpoint.size, checkpoint.root), verified)
