"""What verifying a log can find, how grave it is, and where. Values only; `verify` makes them, the command line shows.

A finding is one of six kinds, each with its exit code; everything else is a note and leaves the exit code 0. Of several
findings the gravest decides: a forged signature says more than the corruption that came with it.
"""

from enum import StrEnum
from typing import Final

import msgspec


class Kind(StrEnum):
    """Findings first, the gravest first; then notes."""

    FORGED = "forged"
    """A signature does not verify, or is by a key that is not trusted."""
    REWRITE = "rewrite"
    """Valid in itself, and not what was signed, here or in a checkpoint held elsewhere: history was changed."""
    ROLLBACK = "rollback"
    """A checkpoint knows of more than is here: the end was cut, or an old copy put back."""
    MISSING = "missing"
    """A segment is gone and left no tombstone."""
    CORRUPT = "corrupt"
    """Bytes are not what was signed, or not what their own checksums say."""
    UNVERIFIABLE = "unverifiable"
    """There is nothing to compare with, or it cannot be read."""

    LOSS_ACCEPTED = "loss-accepted"
    """An operator let the log go on over records that were gone."""
    TORN_TAIL = "torn-tail"
    """The last segment ends in an unfinished commit, which nobody was told was durable."""
    NOT_COVERED = "not-covered"
    """Newer than the last checkpoint: consistent in itself, and not signed yet."""
    NOT_HERE_YET = "not-here-yet"
    """In a store: signed moments before the last checkpoint, and not uploaded yet."""
    SILENCE = "silence"
    """Nothing was written for minutes, though the gateway ran and writes heartbeats."""
    DELETED = "deleted"
    """Segments that retention deleted: each left a tombstone that the tree knows."""
    SHREDDED = "shredded"
    """Segments whose key was destroyed: provable, not readable."""
    KEYS_MISSING = "keys-missing"
    """Encrypted segments without their wrapped key and without a word why: provable, not readable."""
    TRUST = "trust"
    """What the result rests on, when that is less than it could be."""


EXIT_CODES: Final = {
    Kind.FORGED: 14,
    Kind.REWRITE: 13,
    Kind.ROLLBACK: 12,
    Kind.MISSING: 11,
    Kind.CORRUPT: 10,
    Kind.UNVERIFIABLE: 15,
}
"""In order of gravity."""


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing found. segment: the stem of its file name, "" for the log as a whole. offset: byte in that file.
    record: number of the first record concerned."""

    kind: Kind
    why: str
    log: str = ""
    segment: str = ""
    offset: int | None = None
    record: int | None = None

    @property
    def is_note(self) -> bool:
        return self.kind not in EXIT_CODES

    @property
    def place(self) -> str:
        """`0/1790000000123-000001-00000002-deadbeef at byte 4096, record 7`"""
        place = "/".join(part for part in (self.log, self.segment) if part)
        if self.offset is not None:
            place += f" at byte {self.offset}"
        if self.record is not None:
            place += f", record {self.record}"
        return place


class LogReport(msgspec.Struct, frozen=True):
    """One log. size, root: of the signed tree. covered_records: under it; the numbers count what was read."""

    log: str
    origin: str = ""
    size: int = 0
    root: str = ""  # hex
    checkpoints: int = 0  # that were compared, the newest included
    segments: int = 0
    frames: int = 0
    records: int = 0
    read_bytes: int = 0
    next_record_seq: int = 1
    findings: tuple[Finding, ...] = ()


class Report(msgspec.Struct, frozen=True):
    """All logs of a directory. findings: what concerns none of them in particular."""

    logs: tuple[LogReport, ...]
    findings: tuple[Finding, ...] = ()
    took_s: float = 0.0

    @property
    def all_findings(self) -> list[Finding]:
        """Findings and notes, the gravest first, then as they came."""
        order = {kind: at for at, kind in enumerate(Kind)}
        found = [*self.findings, *(finding for log in self.logs for finding in log.findings)]
        return sorted(found, key=lambda finding: order[finding.kind])

    @property
    def exit_code(self) -> int:
        kinds = {finding.kind for finding in self.all_findings}
        return next((code for kind, code in EXIT_CODES.items() if kind in kinds), 0)
