"""What stands where a deleted segment was: `<segment>.tombstone`, a note signed with the log's key.

Translates between the statement and its bytes. Who deletes, and when, is retention's business; that the tree knows of
it is the notary's (a TOMBSTONE leaf holds the SHA-256 of the file). With a tombstone a gap is policy, without one it
is theft, and `verify` tells them apart.

The trap: the note must be durable before the segment is unlinked, and the tree must have its leaf and be synced; else
a crash in between looks like theft.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from storage.notary.statement import (
    BadStatement,
    encode_fields,
    open_statement,
    parse_fields,
    parse_number,
    parse_sha256,
    read_unsigned,
    sign_statement,
)
from storage.tlog.note import Signer, VerifierKey

TOMBSTONE_LABEL: Final = "kubetape/tombstone/v1"
_FIELDS: Final = (
    "origin",
    "segment",
    "segment_id",
    "number",
    "size",
    "sha256",
    "first_record_seq",
    "next_record_seq",
    "deleted_ns",
    "reason",
)


class Tombstone(msgspec.Struct, frozen=True):
    """A segment that was deleted. size and sha256: of the whole file, as its SEALED leaf says; of a recovered
    segment, of its file as it was."""

    origin: str  # of the log
    segment: str  # the stem of its file name
    segment_id: str
    number: int
    size: int  # bytes
    sha256: bytes
    first_record_seq: int
    next_record_seq: int  # one more than its last record
    deleted_ns: int  # UTC nanoseconds
    reason: str  # "retention 30d"


def encode_tombstone(tombstone: Tombstone) -> str:
    """The text of the note. Raises BadStatement for a reason that is not one line of plain text."""
    fields = msgspec.structs.asdict(tombstone)
    return encode_fields(TOMBSTONE_LABEL, fields)


def parse_tombstone(text: str) -> Tombstone:
    """The tombstone of a note's text. Raises BadStatement."""
    fields = parse_fields(TOMBSTONE_LABEL, _FIELDS, text)
    tombstone = Tombstone(
        fields["origin"],
        fields["segment"],
        fields["segment_id"],
        parse_number(fields, "number"),
        parse_number(fields, "size"),
        parse_sha256(fields, "sha256"),
        parse_number(fields, "first_record_seq"),
        parse_number(fields, "next_record_seq"),
        parse_number(fields, "deleted_ns"),
        fields["reason"],
    )
    if tombstone.next_record_seq < tombstone.first_record_seq:
        raise BadStatement("a tombstone whose records end before they begin")
    return tombstone


def sign_tombstone(tombstone: Tombstone, signer: Signer) -> bytes:
    """The content of `<segment>.tombstone`. Raises BadStatement, BadKey."""
    return sign_statement(encode_tombstone(tombstone), signer)


def open_tombstone(data: bytes, keys: Sequence[VerifierKey]) -> Tombstone:
    """A tombstone that one of these keys (of the log) signed. Raises BadNote, BadSignature, NotSigned,
    BadStatement."""
    return parse_tombstone(open_statement(data, keys))


def read_tombstone(data: bytes) -> Tombstone:
    """What a tombstone says, whoever signed it: for messages to people, never for a decision. Raises BadNote,
    BadStatement."""
    return parse_tombstone(read_unsigned(data))
