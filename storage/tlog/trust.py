"""Trust policies of c2sp.org/tlog-policy: which logs, which witnesses, and how many of them are enough.

Text in, `Policy` out; `Policy.judge` decides whether a checkpoint may be believed. Knows nothing of files.

The trap: the spec reads a policy as octets. Names are compared byte by byte (never normalised), which the
surrogateescape decoding keeps. A witness counts in one place only, so each name is a member at most once.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from storage.errors import StorageError
from storage.tlog.checkpoint import (
    COSIGNATURE_TYPES,
    Checkpoint,
    check_signature,
    cosignatures,
    open_checkpoint,
)
from storage.tlog.note import BadKey, VerifierKey, parse_note, parse_vkey, signed_by

MAX_POLICY_BYTES: Final = 1 << 20
MAX_LINES: Final = 10_000
NO_QUORUM: Final = "none"


class BadPolicy(StorageError):
    """A policy file cannot be used; `line` (from 1, 0: the file as a whole) says where to correct it."""

    def __init__(self, line: int, why: str) -> None:
        super().__init__(f"policy, line {line}: {why}" if line else f"policy: {why}")
        self.line, self.why = line, why


class PolicyNotMet(StorageError):
    """A checkpoint lacks cosignatures the policy wants. Get them, or do not believe it."""


class TrustedLog(msgspec.Struct, frozen=True):
    key: VerifierKey
    url: str = ""


class TrustedWitness(msgspec.Struct, frozen=True):
    name: str
    key: VerifierKey
    url: str = ""


class Group(msgspec.Struct, frozen=True):
    """threshold: how many members (names of witnesses or groups) it takes."""

    name: str
    threshold: int
    members: tuple[str, ...]


class Judgement(msgspec.Struct, frozen=True):
    """A checkpoint that met its policy. cosigned_at_s: witness name -> POSIX time of its cosignature."""

    checkpoint: Checkpoint
    log_key: VerifierKey | None
    cosigned_at_s: Mapping[str, int]


class Policy(msgspec.Struct, frozen=True):
    """quorum: name of a witness or group, or "none"."""

    logs: tuple[TrustedLog, ...]
    witnesses: tuple[TrustedWitness, ...]
    groups: tuple[Group, ...]
    quorum: str

    def judge(self, note: bytes) -> Judgement:
        """Decide whether a checkpoint note may be believed.

        Raises BadNote, BadCheckpoint, BadSignature, NotSigned, PolicyNotMet.
        """
        keys = [log.key for log in self.logs]
        checkpoint = open_checkpoint(note, keys)
        parsed = parse_note(note)
        # A log key speaks for the log of its own name only.
        mine = [key for key in signed_by(parsed, keys, check_signature) if key.name == checkpoint.origin]
        if not mine:
            raise PolicyNotMet(f"the log {checkpoint.origin!r} is signed by the key of another log only")
        return self._judged(checkpoint, mine[0], note)

    def judge_cosignatures(self, note: bytes, checkpoint: Checkpoint) -> Judgement:
        """The quorum alone, for a checkpoint whose log signature was verified otherwise."""
        return self._judged(checkpoint, None, note)

    def _judged(self, checkpoint: Checkpoint, key: VerifierKey | None, note: bytes) -> Judgement:
        times = cosignatures(parse_note(note), [witness.key for witness in self.witnesses])
        found = {w.name: times[w.key] for w in self.witnesses if w.key in times}
        reached = set(found)
        for group in self.groups:  # members come before their group, so one pass is enough
            if sum(member in reached for member in group.members) >= group.threshold:
                reached.add(group.name)
        if self.quorum != NO_QUORUM and self.quorum not in reached:
            have = ", ".join(sorted(found)) or "none"
            raise PolicyNotMet(
                f"checkpoint of {checkpoint.origin!r} at size {checkpoint.size}: quorum {self.quorum!r} is "
                f"not reached (cosigned by: {have})"
            )
        return Judgement(checkpoint, key, found)


def parse_policy(data: bytes) -> Policy:
    """A policy from the bytes of its file. Raises BadPolicy."""
    if len(data) > MAX_POLICY_BYTES:
        raise BadPolicy(0, f"longer than {MAX_POLICY_BYTES} bytes")
    lines = data.decode("utf-8", "surrogateescape").split("\n")
    if len(lines) > MAX_LINES:
        raise BadPolicy(0, f"more than {MAX_LINES} lines")
    reader = _PolicyReader()
    for number, line in enumerate(lines, 1):
        for character in line:
            if (character < " " and character != "\t") or character == "\x7f":
                raise BadPolicy(number, f"the octet 0x{ord(character):02x} is not allowed")
        words = line.replace("\t", " ").strip(" ").split(" ")
        reader.read(number, [word for word in words if word])
    return reader.policy()


class _PolicyReader:
    """Line after line; every name is defined before it is used."""

    def __init__(self) -> None:
        self._logs: list[TrustedLog] = []
        self._witnesses: list[TrustedWitness] = []
        self._groups: list[Group] = []
        self._names: set[str] = set()
        self._members: set[str] = set()
        self._quorum: str | None = None

    def read(self, number: int, words: list[str]) -> None:
        if not words or words[0].startswith("#"):
            return
        readers = {
            "log": self._log,
            "witness": self._witness,
            "group": self._group,
            "quorum": self._quorum_line,
        }
        reader = readers.get(words[0])
        if reader is None:
            raise BadPolicy(number, f"{_shown(words[0])} is none of log, witness, group, quorum")
        reader(number, words[1:])

    def policy(self) -> Policy:
        if self._quorum is None:
            raise BadPolicy(0, "no quorum line; `quorum none` asks for no witness")
        return Policy(tuple(self._logs), tuple(self._witnesses), tuple(self._groups), self._quorum)

    def _log(self, number: int, words: list[str]) -> None:
        if len(words) not in (1, 2):
            raise BadPolicy(number, "write `log <vkey> [<url>]`")
        key = _key(number, words[0])
        if any(known.key.public == key.public for known in self._logs):
            raise BadPolicy(number, "this log key is listed twice")
        self._logs.append(TrustedLog(key, *words[1:]))

    def _witness(self, number: int, words: list[str]) -> None:
        if len(words) not in (2, 3):
            raise BadPolicy(number, "write `witness <name> <vkey> [<url>]`")
        self._define(number, words[0])
        key = _key(number, words[1])
        if key.type not in COSIGNATURE_TYPES:
            raise BadPolicy(
                number, f"a witness needs a cosignature key (type 0x04 or 0x06), not 0x{key.type:02x}"
            )
        if any(known.key.public == key.public for known in self._witnesses):
            raise BadPolicy(number, "this witness key is listed twice")
        self._witnesses.append(TrustedWitness(words[0], key, *words[2:]))

    def _group(self, number: int, words: list[str]) -> None:
        if len(words) < 3:
            raise BadPolicy(number, "write `group <name> <number, any or all> <member>...`")
        name, count, *members = words
        threshold = {"any": "1", "all": str(len(members))}.get(count, count)
        decimal = threshold.isascii() and threshold.isdigit() and len(threshold) <= 6
        if not decimal or not 1 <= int(threshold) <= len(members):
            raise BadPolicy(number, f"{_shown(count)} of {len(members)} members is impossible")
        for member in members:
            if member not in self._names:
                raise BadPolicy(number, f"{_shown(member)} is not defined above")
            if member in self._members:
                raise BadPolicy(number, f"{_shown(member)} is a member already; each counts once")
            self._members.add(member)
        self._define(number, name)
        self._groups.append(Group(name, int(threshold), tuple(members)))

    def _quorum_line(self, number: int, words: list[str]) -> None:
        if len(words) != 1:
            raise BadPolicy(number, "write `quorum <name or none>`")
        if self._quorum is not None:
            raise BadPolicy(number, "a second quorum line")
        if words[0] != NO_QUORUM and words[0] not in self._names:
            raise BadPolicy(number, f"{_shown(words[0])} is not defined above")
        self._quorum = words[0]

    def _define(self, number: int, name: str) -> None:
        if name == NO_QUORUM:
            raise BadPolicy(number, "the name none is taken")
        if name in self._names:
            raise BadPolicy(number, f"the name {_shown(name)} is defined twice")
        self._names.add(name)


def _key(number: int, text: str) -> VerifierKey:
    try:
        return parse_vkey(text)
    except BadKey as error:
        raise BadPolicy(number, str(error)) from None


def _shown(name: str) -> str:
    """A name of the file for an error message: no surrogates, no flood."""
    return repr(name[:60].encode("utf-8", "surrogateescape").decode("utf-8", "replace"))
