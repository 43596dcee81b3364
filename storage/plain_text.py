"""Terminal bytes -> lines of plain text, for search and for transcripts.

A small model of one line: text overwrites, backspace and carriage return move, erasing erases, so a
command typed with corrections reads as it was run. With `everything`, nothing can be hidden from
search by these means: a line that is about to lose characters comes out first as it was, and the
content of titles and other strings comes out as words. Only whole lines come out, so a word is never
cut by the way chunks were cut; a line longer than MAX_LINE_CHARS comes out in pieces, between words.
"""

import re
from typing import Final

import msgspec

from storage.ansi import Scanner, ScannerState, Token, TokenKind

MAX_LINE_CHARS: Final = 4096
"""Longest unfinished line kept: more than any screen is wide; output without line ends is cut here."""

_WORD_BREAK: Final = re.compile(r"[^\w.@/-](?=[\w.@/-]*\Z)")
_LONGEST_WORD: Final = 256
_LEAVES_LINE: Final = frozenset("ABEFHJdf")
"""Control sequences that put the cursor elsewhere: what was written so far is a line of its own."""


class PlainTextState(msgspec.Struct, array_like=True):
    """All that is remembered between two chunks; can be stored."""

    scanner: ScannerState = msgspec.field(default_factory=ScannerState)
    line: str = ""
    column: int = 0
    grown: bool = False  # characters were written since the line last came out as it was
    run: str | None = None  # the line before the run of characters being written, None between runs
    run_grown: bool = False  # `grown` at that moment, until the line came out
    run_wrote: bool = False  # the run has written something besides blanks


class PlainText:
    """One stream of terminal bytes; `feed` gives the text of all lines that are complete.

    everything: nothing can be hidden (for search), else the text as a person saw it. typed: what came
    from a keyboard, where carriage return is the Enter key.
    """

    def __init__(self, *, everything: bool, typed: bool = False, state: PlainTextState | None = None) -> None:
        state = state or PlainTextState()
        self._everything, self._typed = everything, typed
        self._scanner = Scanner(state.scanner)
        self._line, self._column, self._grown = state.line, state.column, state.grown
        self._run, self._run_grown, self._run_wrote = state.run, state.run_grown, state.run_wrote
        self._out: list[str] = []

    def state(self) -> PlainTextState:
        return PlainTextState(
            self._scanner.state(),
            self._line,
            self._column,
            self._grown,
            self._run,
            self._run_grown,
            self._run_wrote,
        )

    @property
    def holds_text(self) -> bool:
        """True while an unfinished line is held back."""
        return bool(self._line)

    def feed(self, data: bytes) -> str:
        for token in self._scanner.feed(data):
            self._take(token)
            while len(self._line) > MAX_LINE_CHARS:
                self._cut_long_line()
        return self._drain()

    def finish(self) -> str:
        """The stream is over: the last, unfinished line comes out."""
        for token in self._scanner.finish():
            self._take(token)
        self._out.append(self._line)
        self._line, self._column, self._grown, self._run = "", 0, False, None
        return self._drain()

    def _drain(self) -> str:
        text = "".join(self._out)
        self._out.clear()
        return text

    def _take(self, token: Token) -> None:
        if token.kind is TokenKind.TEXT:
            self._write(token.body)
            return
        self._run = None
        if token.kind is TokenKind.CONTROL:
            self._control(token.final)
        elif token.kind is TokenKind.CSI:
            self._move(token)
        elif token.kind is TokenKind.ESCAPE and token.final in "DEM":
            self._end_line()
        elif token.kind is TokenKind.STRING and self._everything and token.body:
            self._out.append(" ".join(token.body.split()) + "\n")

    def _write(self, text: str) -> None:
        *lines, rest = text.split("\n")
        for line in lines:
            self._overwrite(line)
            self._end_line()
        self._overwrite(rest)

    def _overwrite(self, text: str) -> None:
        """Write at the cursor. What is lost comes out once a run, as it was before the run: however the bytes
        were cut, the same."""
        if not text:
            return
        if self._run is None:
            self._run, self._run_grown, self._run_wrote = self._line, self._grown, False
        end = self._column + len(text)
        lost = self._line[self._column : end]
        if self._everything and self._run_grown and _loses(lost, text):
            self._out.append(self._run + "\n")
            self._run_grown, self._grown = False, self._run_wrote
        self._line = self._line[: self._column] + text + self._line[end:]
        self._column = end
        self._run_wrote = self._run_wrote or not text.isspace()
        self._grown = self._grown or not text.isspace()

    def _control(self, char: str) -> None:
        if char == "\r":
            if self._typed:
                self._end_line()
            self._column = 0
        elif char in "\b\x7f":  # DEL: what the backspace key sends, in recorded input
            self._column = max(0, self._column - 1)
            if char == "\x7f":
                self._erase(self._column, self._column + 1)
        elif char in "\x0b\x0c\x84\x85\x8d":
            self._end_line()

    def _move(self, token: Token) -> None:
        final = token.final
        if final in _LEAVES_LINE:
            self._end_line()
            return
        first = token.body.split(";")[0]
        number = min(int(first[:5]), MAX_LINE_CHARS) if first.isascii() and first.isdigit() else 0
        count = max(1, number)
        if final == "C":
            self._goto(self._column + count)
        elif final == "D":
            self._goto(self._column - count)
        elif final in "G`":
            self._goto(count - 1)
        elif final == "K":
            if number == 1:
                self._blank(0, self._column)
            else:
                self._erase(0 if number else self._column, len(self._line))
        elif final == "P":
            self._erase(self._column, self._column + count)
        elif final == "X":
            self._blank(self._column, self._column + count)
        elif final == "@":
            self._line = self._line[: self._column] + " " * count + self._line[self._column :]

    def _goto(self, column: int) -> None:
        self._column = min(max(0, column), MAX_LINE_CHARS)
        self._line = self._line.ljust(self._column)

    def _erase(self, start: int, end: int) -> None:
        """Take characters out; what follows moves up."""
        self._keep(self._line[start:end])
        self._line = self._line[:start] + self._line[end:]
        self._column = min(self._column, len(self._line))

    def _blank(self, start: int, end: int) -> None:
        """Put blanks where characters were."""
        lost = self._line[start:end]
        self._keep(lost)
        self._line = self._line[:start] + " " * len(lost) + self._line[end:]

    def _keep(self, lost: str) -> None:
        if self._everything and self._grown and lost.strip():
            self._out.append(self._line + "\n")
            self._grown = False

    def _end_line(self) -> None:
        if self._line or not self._everything:
            self._out.append(self._line.rstrip(" ") + "\n")
        self._line, self._column, self._grown, self._run = "", 0, False, None

    def _cut_long_line(self) -> None:
        head = self._line[:MAX_LINE_CHARS]
        found = _WORD_BREAK.search(head, MAX_LINE_CHARS - _LONGEST_WORD)
        cut = found.end() if found else MAX_LINE_CHARS
        self._out.append(self._line[:cut])
        self._line, self._run = self._line[cut:], None
        self._column = max(0, self._column - cut)


def _loses(old: str, new: str) -> bool:
    """Whether a character that could be seen is replaced by another."""
    return old != new[: len(old)] and any(
        was != now and not was.isspace() for was, now in zip(old, new, strict=False)
    )
