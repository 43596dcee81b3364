"""The text of one exchange on its way to the full-text index: bytes in, pieces of plain text out. Pure.

A stream of a terminal or a log comes out line by line as it grows. A body is held back until it is whole, or until
what was taken so far must be searchable: most bodies end within a step of the indexer, and most of those were there
before (discovery documents, an object that somebody polls). One that the day file has already is not turned into
words again: its pieces only name those that have the same text.

The trap: everything is bounded, and text beyond a limit is counted as cut, never silently dropped.
"""

import hashlib
import re
from functools import cached_property
from typing import Final, NamedTuple

import msgspec

from storage.plain_text import PlainText, PlainTextState

MAX_PIECE_CHARS: Final = 8192
"""Longest stretch of text found as one: some screens of output."""

PIECE_SPAN_US: Final = 1_000_000
"""A hit tells the moment to one second."""

MIN_JUDGED_BYTES: Final = 1024
"""Shorter chunks are indexed whatever they hold: typing, prompts, and what a person could have read."""

MAX_KNOWN: Final = 4096
"""Texts of a day that are recognised when they come again: about 1 MiB of memory."""

_UNPRINTED: Final = bytes((*range(0x01, 0x07), *range(0x0E, 0x1A), *range(0x1C, 0x20), 0x7F))
"""Control bytes that no text and hardly a terminal uses: 9 % of random or compressed bytes. NUL is none of
them: it pads tar archives of text."""

_SOME_PADDING: Final = bytes(16)
_PADDING: Final = re.compile(rb"\0{16,}")


class Piece(NamedTuple):
    """A stretch of text. kind: call, request, response, log, stdin, stdout, stderr, forward-error, typed.

    same_as: the number of an earlier piece of the same day that has this text; `text` is "" then. 0: none.
    """

    call: int
    kind: str
    at_us: int
    text: str
    same_as: int = 0


class KnownTexts:
    """The texts a day file has, by SHA-256 of the bytes they were made of -> numbers of their pieces.

    Only in memory, and the longest unseen are forgotten: then a text is indexed once more, and nothing else changes.
    first_piece: the number that the first of the pieces being collected will have.
    """

    def __init__(self, first_piece: int) -> None:
        self.first_piece = first_piece
        self._numbers: dict[bytes, range] = {}

    def numbers(self, digest: bytes) -> range | None:
        found = self._numbers.pop(digest, None)
        if found is not None:
            self._numbers[digest] = found  # the last seen is the last to go
        return found

    def note(self, digest: bytes, start: int, end: int) -> None:
        """These of the pieces being collected are made of it."""
        if len(self._numbers) >= MAX_KNOWN:
            del self._numbers[next(iter(self._numbers))]
        self._numbers[digest] = range(self.first_piece + start, self.first_piece + end)


class StreamState(msgspec.Struct, array_like=True):
    """What a stream keeps between two runs of the indexer."""

    plain: PlainTextState
    line_us: int
    taken_bytes: int


class Stream:
    """One direction of one exchange on its way to pieces."""

    def __init__(self, call: int, kind: str, limit_bytes: int, state: StreamState | None = None) -> None:
        self._call, self._kind, self._limit_bytes = call, kind, limit_bytes
        self._resumed = state.plain if state else None
        self._line_us = state.line_us if state else 0  # when the last part of the unfinished line came
        self._taken_bytes = state.taken_bytes if state else 0
        self._text: list[str] = []
        self._chars = 0
        self._text_us = 0

    @cached_property
    def _plain(self) -> PlainText:
        return PlainText(everything=True, typed=self._kind == "stdin", state=self._resumed)

    def state(self) -> StreamState:
        """To be asked for after a `flush`."""
        return StreamState(self._plain.state(), self._line_us, self._taken_bytes)

    def take(self, at_us: int, data: bytes, pieces: list[Piece]) -> bool:
        """False if some of it was not taken: it is no text, or the limit is reached."""
        room = max(0, self._limit_bytes - self._taken_bytes)
        if not room or is_binary(data):
            return not data
        if _SOME_PADDING in data:  # the search for nothing is fast, the expression is not
            data = _PADDING.sub(b"\0", data)
        taken = data[:room]
        self._taken_bytes += len(taken)
        self._accept(at_us, taken, pieces)
        return len(data) <= room

    def _accept(self, at_us: int, data: bytes, pieces: list[Piece]) -> None:
        if self._chars and at_us - self._text_us >= PIECE_SPAN_US:
            self.flush(pieces)
        # a prompt may wait for hours: the command typed behind it has the time of the command
        if not self._plain.holds_text or at_us - self._line_us >= PIECE_SPAN_US:
            self._line_us = at_us
        self._add(at_us, self._plain.feed(data))
        if self._chars >= MAX_PIECE_CHARS:
            self.flush(pieces)

    def finish(self, at_us: int, pieces: list[Piece], known: KnownTexts | None) -> None:
        """Nothing more comes. known: of the day file that the pieces are for."""
        self._add(at_us, self._plain.finish())
        self.flush(pieces)

    def _add(self, at_us: int, text: str) -> None:
        if text:
            if not self._chars:
                self._text_us = self._line_us
            self._line_us = at_us
            self._text.append(text)
            self._chars += len(text)

    def flush(self, pieces: list[Piece]) -> None:
        """Give out the complete lines held so far."""
        text = "".join(self._text)
        self._text.clear()
        self._chars = 0
        while text.strip():
            head = text[:MAX_PIECE_CHARS]
            # between lines, else where the plain text was cut, else anywhere: never in a word if avoidable
            cut = len(head) if len(head) == len(text) else max(head.rfind("\n"), head.rfind(" "), -1) + 1
            cut = cut or len(head)
            pieces.append(Piece(self._call, self._kind, self._text_us, text[:cut]))
            text = text[cut:]


class Body(Stream):
    """A body of request or response: held back as it came while it may still turn out to be one that is known."""

    def __init__(self, call: int, kind: str, limit_bytes: int, state: StreamState | None = None) -> None:
        super().__init__(call, kind, limit_bytes, state)
        self._held: list[bytes] = []
        self._held_us = 0  # when the first part came
        self._may_be_known = state is None

    def _accept(self, at_us: int, data: bytes, pieces: list[Piece]) -> None:
        if self._may_be_known:
            self._held_us = self._held_us if self._held else at_us
            if at_us - self._held_us < PIECE_SPAN_US:
                self._held.append(data)
                return
        self._let_go(pieces)
        super()._accept(at_us, data, pieces)

    def flush(self, pieces: list[Piece]) -> None:
        self._let_go(pieces)
        super().flush(pieces)

    def finish(self, at_us: int, pieces: list[Piece], known: KnownTexts | None) -> None:
        if known is None or not self._held:
            self._finish(at_us, pieces)
            return
        digest = hashlib.sha256(b"".join(self._held)).digest()
        numbers = known.numbers(digest)
        if numbers is not None:
            pieces += [Piece(self._call, self._kind, self._held_us, "", number) for number in numbers]
            return
        start = len(pieces)
        self._finish(at_us, pieces)
        known.note(digest, start, len(pieces))

    def _finish(self, at_us: int, pieces: list[Piece]) -> None:
        self._let_go(pieces)
        super().finish(at_us, pieces, None)

    def _let_go(self, pieces: list[Piece]) -> None:
        """What was held is text like any other from now on."""
        self._may_be_known = False
        if self._held:
            held, self._held = b"".join(self._held), []
            super()._accept(self._held_us, held, pieces)


def is_binary(data: bytes) -> bool:
    """Whether a chunk is no text: a file copied through exec costs the index no more than this look at it."""
    if len(data) < MIN_JUDGED_BYTES:
        return False
    return len(data) - len(data.translate(None, _UNPRINTED)) > len(data) // 20
