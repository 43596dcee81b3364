"""An operator's word that a log goes on although records are gone: `loss-<n>.note`, signed with the log's key.

Translates between the statement and its bytes, and finds the statements of a log. It says which leaves of the tree
have nothing behind them any more; exactly those are excused, for ever shown, and nothing else. `start_check` makes
it, the notary puts its hash into the tree, `verify` shows it.

The trap: whoever can sign with the log's key can accept a loss. That is why it never makes a finding disappear: it is
the finding.
"""

import re
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Final

import msgspec

from storage.encryption.keys import read_small
from storage.errors import StorageError
from storage.files import FileOps
from storage.notary.statement import (
    MAX_STATEMENT_BYTES,
    BadStatement,
    encode_fields,
    open_statement,
    parse_fields,
    parse_number,
    parse_sha256,
    sign_statement,
)
from storage.tlog.note import Signer, VerifierKey

LOSS_LABEL: Final = "kubetape/loss/v1"
MAX_RANGES: Final = 40
"""More are joined into the last one: a disk that lost more places than that lost everything between them."""
_FILE: Final = re.compile(r"loss-([1-9][0-9]{0,8})\.note")
_RANGES: Final = re.compile(r"[0-9]{1,19}-[0-9]{1,19}(,[0-9]{1,19}-[0-9]{1,19})*")
_FIELDS: Final = (
    "origin",
    "tree_size",
    "root",
    "tree",
    "lost",
    "kept_number",
    "kept_blocks",
    "kept_offset",
    "kept_complete",
    "next_segment_number",
    "next_record_seq",
    "accepted_ns",
    "finding",
    "reason",
)
TREE_KEPT: Final = "kept"
TREE_LOST: Final = "lost"


class LossStatement(msgspec.Struct, frozen=True):
    """What is gone and where the log goes on.

    tree: TREE_KEPT, or TREE_LOST when the hash tree itself could not be rebuilt and a new one begins.
    lost: half-open ranges of leaf numbers. kept_*: the newest segment that is there, how far the tree has
    it rightly, and whether its last leaf too. next_*: above everything the tree knows, so that no number comes twice.
    """

    origin: str
    tree_size: int
    root: bytes
    tree: str
    lost: tuple[tuple[int, int], ...]
    kept_number: int  # 0: none
    kept_blocks: int
    kept_offset: int  # behind the last of them; 0: none
    kept_complete: bool
    next_segment_number: int
    next_record_seq: int
    accepted_ns: int  # UTC nanoseconds
    finding: str
    reason: str

    def excuses(self, index: int) -> bool:
        """Whether a leaf of the tree is one of the lost."""
        return any(start <= index < end for start, end in self.lost)


class AcceptedLoss(msgspec.Struct, frozen=True):
    """A statement with the file it was read from. sha256: of the file, as a LOSS_ACCEPTED leaf has it."""

    name: str
    sha256: bytes
    statement: LossStatement


def sign_loss(statement: LossStatement, signer: Signer) -> bytes:
    """The content of a `loss-<n>.note`. Raises BadStatement for a reason that is no line of plain text."""
    fields = msgspec.structs.asdict(statement)
    fields["lost"] = ",".join(f"{start}-{end}" for start, end in statement.lost) or "0-0"
    fields["kept_complete"] = "yes" if statement.kept_complete else "no"
    return sign_statement(encode_fields(LOSS_LABEL, fields), signer)


def open_loss(data: bytes, keys: Sequence[VerifierKey]) -> LossStatement:
    """A statement that one of these keys signed. Raises BadNote, BadSignature, NotSigned, BadStatement."""
    fields = parse_fields(LOSS_LABEL, _FIELDS, open_statement(data, keys))
    if fields["tree"] not in (TREE_KEPT, TREE_LOST) or fields["kept_complete"] not in ("yes", "no"):
        raise BadStatement("a loss whose line tree or kept_complete is not understood")
    return LossStatement(
        fields["origin"],
        parse_number(fields, "tree_size"),
        parse_sha256(fields, "root"),
        fields["tree"],
        _parse_ranges(fields["lost"]),
        parse_number(fields, "kept_number"),
        parse_number(fields, "kept_blocks"),
        parse_number(fields, "kept_offset"),
        fields["kept_complete"] == "yes",
        parse_number(fields, "next_segment_number"),
        parse_number(fields, "next_record_seq"),
        parse_number(fields, "accepted_ns"),
        fields["finding"],
        fields["reason"],
    )


def _parse_ranges(text: str) -> tuple[tuple[int, int], ...]:
    if _RANGES.fullmatch(text) is None:
        raise BadStatement("a loss whose line lost holds no ranges of leaves")
    ranges = []
    for part in text.split(","):
        start, _, end = part.partition("-")
        if int(start) > int(end):
            raise BadStatement(f"a loss whose range {part} ends before it begins")
        if start != end:
            ranges.append((int(start), int(end)))
    return tuple(ranges)


def join_ranges(indexes: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Ascending leaf numbers -> half-open ranges, at most MAX_RANGES."""
    ranges: list[tuple[int, int]] = []
    for index in indexes:
        if ranges and (ranges[-1][1] == index or len(ranges) == MAX_RANGES):
            ranges[-1] = (ranges[-1][0], index + 1)
        else:
            ranges.append((index, index + 1))
    return tuple(ranges)


def loss_number(file_name: str) -> int:
    """The n of `loss-<n>.note`; 0 for any other file."""
    match = _FILE.fullmatch(file_name)
    return int(match[1]) if match else 0


def next_loss_name(file_names: Sequence[str]) -> str:
    return f"loss-{max((loss_number(name) for name in file_names), default=0) + 1}.note"


def read_losses(
    files: FileOps, directory: Path, file_names: Sequence[str], keys: Sequence[VerifierKey]
) -> list[AcceptedLoss]:
    """The statements of a log that one of its keys signed, oldest first; others are as if they were not there
    (`verify` reports them). Raises OSError."""
    found = []
    for name in sorted(filter(loss_number, file_names), key=loss_number):
        try:
            data = read_small(files, directory / name, MAX_STATEMENT_BYTES)
            found.append(AcceptedLoss(name, sha256(data).digest(), open_loss(data, keys)))
        except StorageError:
            continue
    return found
