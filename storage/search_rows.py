"""What a question to the index gives: rows of calls taken together, places of words, one call in words.

Pure: no SQL, no files. Nothing here is printable yet; whoever shows it escapes it.
"""

import re
import shlex
from typing import Final, Literal, TypeAlias

import msgspec

from storage.index_schema import CallRow
from storage.query import TextMatch

_SNIPPET_CHARS: Final = 60
"""Shown on each side of a word: a line of a terminal."""

IdKind: TypeAlias = Literal["session", "command", "call"]


class Found(msgspec.Struct, frozen=True):
    """What an id names, and the id in full."""

    kind: IdKind
    id: str


class Facts(msgspec.Struct, frozen=True):
    """What is true of several calls together. Times: UTC nanoseconds; bytes: of bodies and streams."""

    first_ns: int
    last_ns: int
    calls: int
    denied: int
    held: int
    errors: int  # status 400 and above, denied ones included
    unknown: int
    sent_bytes: int
    received_bytes: int
    masked: int = 0  # values
    live: int = 0


class CommandRow(msgspec.Struct, frozen=True):
    """One kubectl run, or one connection of another client. main: the call it is about."""

    id: str
    facts: Facts
    main: CallRow


class SessionRow(msgspec.Struct, frozen=True):
    """What one principal did under one credential. main: its last call."""

    id: str
    facts: Facts
    main: CallRow
    method: str = ""
    issuer: str = ""
    expires_ns: int | None = None


class Hit(msgspec.Struct, frozen=True):
    """Where the words were found: text[start:end] of a piece of a call.

    kind: call, request, response, log, stdin, stdout, stderr, forward-error, typed, file. at_us: since the call
    began.
    """

    call: CallRow
    kind: str
    at_us: int
    text: str
    start: int
    end: int


def joined(one: Facts | None, other: Facts) -> Facts:
    """Facts of two days of the same thing."""
    if one is None:
        return other
    sums = (getattr(one, name) + getattr(other, name) for name in Facts.__struct_fields__[2:])
    return Facts(min(one.first_ns, other.first_ns), max(one.last_ns, other.last_ns), *sums)


def describe(row: CallRow) -> str:
    """One call in words: `delete pods/web -n prod`, `exec pods/web -n prod -- sh -c ls`. Not yet printable."""
    if not row.resource:
        return f"{row.method} {row.target}"
    verb = row.kind if row.kind in ("exec", "attach", "portforward") else row.verb
    what = f"{row.resource}.{row.api_group}" if row.api_group else row.resource
    if row.subresource and row.subresource != verb:
        what += f"/{row.subresource}" if not row.name else f"/{row.name}/{row.subresource}"
    elif row.name:
        what += f"/{row.name}"
    place = f" -n {row.namespace}" if row.namespace else ""
    argv = msgspec.json.decode(row.argv, type=list[str])
    return f"{verb} {what}{place}" + (f" -- {shlex.join(argv)}" if argv else "")


def snippet(row: CallRow, kind: str, at_us: int, text: str, wanted: list[TextMatch]) -> Hit:
    """The first of the words with what stands around it, on one line."""
    start = end = 0
    for match in wanted:
        found = _pattern(match).search(text)
        if found is not None:
            start, end = found.span()
            break
    before, word, after = (
        re.sub(r"\s+", " ", part)
        for part in (
            text[max(0, start - _SNIPPET_CHARS) : start],
            text[start:end],
            text[end : end + _SNIPPET_CHARS],
        )
    )
    before = before.lstrip()
    return Hit(row, kind, at_us, before + word + after.rstrip(), len(before), len(before) + len(word))


def _pattern(match: TextMatch) -> re.Pattern[str]:
    words = re.findall(r"[^\W_]+", match.text)
    return re.compile(
        r"\b" + r"[\W_]+".join(map(re.escape, words)) + ("" if match.prefix else r"\b"), re.IGNORECASE
    )
