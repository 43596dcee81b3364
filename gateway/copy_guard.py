"""What `kubectl cp` carries through an exec: each file recorded with name, size and hash, and held against the rules.

A member is judged by its header, before any of its bytes go on. Where there are no rules, bytes that are no archive
pass: they are recorded like any other stream.
"""

import hashlib

from gateway.errors import FORBIDDEN, Refusal
from gateway.policy.files import FileJudge, FileRefusal, parse_copy
from gateway.policy.masking.masker import Masker
from gateway.policy.model import FileRule
from gateway.tape import Tape
from protocol.apicall import Call
from protocol.tar_stream import MemberData, MemberEnded, MemberStarted, NotTar, TarReader
from storage.records import FileCopied


class CopyGuard:
    """The archive of one copy. direction: "up" (stdin) or "down" (stdout)."""

    def __init__(self, direction: str, judge: FileJudge, tape: Tape, masker: Masker) -> None:
        self._direction, self._judge, self._tape, self._masker = direction, judge, tape, masker
        self._reader: TarReader | None = TarReader()
        self._member: MemberStarted | None = None
        self._hash = hashlib.sha256()
        _refuse(judge.judge_start())

    def uploaded(self, data: bytes) -> None:
        """Bytes of stdin, before they go on. Raises Refusal."""
        if self._direction == "up":
            self._passes(data)

    def downloaded(self, data: bytes) -> None:
        """Bytes of stdout, before they go on. Raises Refusal."""
        if self._direction == "down":
            self._passes(data)

    def finish(self) -> None:
        """Nothing more comes: a file that was cut short is recorded without a hash."""
        if self._member is not None:
            self._note(b"")

    def _passes(self, data: bytes) -> None:
        if self._reader is None or not data:
            return  # an empty message says nothing; to the reader it would say that the archive is over
        for event in self._reader.receive(data):
            match event:
                case MemberStarted():
                    _refuse(self._judge.judge_member(event))
                    self._member, self._hash = event, hashlib.sha256()
                case MemberData():
                    self._hash.update(event.data)
                case MemberEnded():
                    self._note(self._hash.digest())
                case NotTar():
                    _refuse(self._judge.judge_end(event))
                    self._reader = None
                case _:
                    pass

    def _note(self, sha256: bytes) -> None:
        member, self._member = self._member, None
        if member is None:
            return
        tape = self._tape
        name = self._masker.text(member.name)
        tape.append(
            FileCopied(
                tape.exchange,
                tape.at_us(),
                self._direction,
                name,
                member.size_bytes,
                member.kind.value,
                sha256,
            )
        )


def open_copy_guard(call: Call, rules: tuple[FileRule, ...], tape: Tape, masker: Masker) -> CopyGuard | None:
    """The guard of an exec that is a copy; None: it is none. Raises Refusal where it may not begin."""
    copy = parse_copy(call.argv) if call.stream_kind == "exec" else None
    return CopyGuard(copy.direction, FileJudge(rules, copy), tape, masker) if copy is not None else None


def _refuse(refusal: FileRefusal | None) -> None:
    if refusal is not None:
        raise Refusal(FORBIDDEN, f"kubetape policy {refusal.rule}: {refusal.reason}")
