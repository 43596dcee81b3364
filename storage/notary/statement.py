"""Signed statements of a log about itself: a label, then one `<name> <value>` line a field, in a signed note.

Translates between ordered fields and note text; what a statement means is said where it is defined
(`tombstone`, `loss`). One spelling each: the same fields in the same order, or it is refused.

The trap: the log's key signs checkpoints too. The label is the first line, where a checkpoint has its origin, and the
second line is no number, so that neither can ever be taken for the other.
Source: c2sp.org/signed-note for the envelope.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from storage.errors import StorageError
from storage.tlog.note import Note, Signer, VerifierKey, encode_note, open_note, parse_note, sign_text

MAX_STATEMENT_BYTES: Final = 16 * 1024
MAX_TEXT_CHARACTERS: Final = 1000
"""Of a reason somebody typed."""
_DECIMAL: Final = re.compile(r"0|[1-9][0-9]{0,19}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


class BadStatement(StorageError):
    """A note is signed or not, but it does not say what such a statement must say. Refuse it."""


def encode_fields(label: str, fields: Mapping[str, str | int | bytes]) -> str:
    """The text of a statement. Values: text without line breaks, numbers, or hashes.

    Raises BadStatement for text that is empty, longer than MAX_TEXT_CHARACTERS or holds control characters.
    """
    lines = [label]
    for name, value in fields.items():
        text = value.hex() if isinstance(value, bytes) else str(value)
        if not _is_plain(text):
            raise BadStatement(
                f"{name}: write 1 to {MAX_TEXT_CHARACTERS} characters, in one line, without spaces around them"
            )
        lines.append(f"{name} {text}")
    return "".join(f"{line}\n" for line in lines)


def parse_fields(label: str, names: Sequence[str], text: str) -> dict[str, str]:
    """The fields of a statement by name: exactly these, in this order. Raises BadStatement."""
    first, *lines = text.removesuffix("\n").split("\n")
    if first != label:
        raise BadStatement(f"this is {first[:80]!r}, not {label!r}")
    if [line.partition(" ")[0] for line in lines] != list(names):
        raise BadStatement(f"a statement {label!r} has the lines {', '.join(names)}, in this order")
    fields = {line.partition(" ")[0]: line.partition(" ")[2] for line in lines}
    for name, value in fields.items():
        if not _is_plain(value):
            raise BadStatement(f"{label}: the line {name} holds no plain text")
    return fields


def _is_plain(text: str) -> bool:
    return 0 < len(text) <= MAX_TEXT_CHARACTERS and text.isprintable() and text == text.strip()


def parse_number(fields: Mapping[str, str], name: str) -> int:
    """A field that is a number from 0 to 2^64 - 1. Raises BadStatement."""
    value = fields[name]
    if _DECIMAL.fullmatch(value) is None or int(value) >= 1 << 64:
        raise BadStatement(f"the line {name} holds no number")
    return int(value)


def parse_sha256(fields: Mapping[str, str], name: str) -> bytes:
    """A field that is a SHA-256 in hex. Raises BadStatement."""
    if _SHA256.fullmatch(fields[name]) is None:
        raise BadStatement(f"the line {name} holds no SHA-256")
    return bytes.fromhex(fields[name])


def sign_statement(text: str, signer: Signer) -> bytes:
    """The signed note of a statement's text. Raises BadKey."""
    return encode_note(Note(text, (sign_text(text, signer),)))


def open_statement(data: bytes, keys: Sequence[VerifierKey]) -> str:
    """The text of a statement that one of these keys signed. Raises BadStatement (too long), BadNote,
    BadSignature, NotSigned."""
    _bound(data)
    return open_note(data, keys).text


def read_unsigned(data: bytes) -> str:
    """The text of a statement, whoever signed it. Raises BadStatement, BadNote."""
    _bound(data)
    return parse_note(data).text


def _bound(data: bytes) -> None:
    if len(data) > MAX_STATEMENT_BYTES:
        raise BadStatement(f"a statement has at most {MAX_STATEMENT_BYTES} bytes, this one {len(data)}")
