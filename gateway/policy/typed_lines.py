"""The lines a person types on a terminal, out of the bytes of stdin and of the echo in stdout.

Keys are followed as readline takes them. What keys alone cannot tell (history, completion, search) makes a line
uncertain, and then the screen says what it is: the text behind the prompt. A line that the terminal did not echo is a
password or came faster than its echo: it may be judged, and must not be written down as typed text.

Best effort by nature: an editor, a script, another keyboard layout of the line editor or a program that reads raw keys
is not followed. docs/exec-guardrails.md has the limits. The trap: every CR and LF is a place to stop, also inside a
bracketed paste: whether the program honours the brackets only it knows.
"""

import codecs
import re
from typing import Final, TypeAlias

import msgspec

from gateway.policy.edited_line import MAX_LINE_CHARS, EditedLine
from gateway.policy.screen_line import MAX_SEQUENCE_BYTES, SEQUENCE, TEXT, ScreenLine

_LINE_ENDS: Final = b"\r\n\x0f"  # ^O: readline runs the line and fetches the next one of the history
_LINE_END: Final = re.compile(rb"[\r\n\x0f]")


class Forward(msgspec.Struct, frozen=True):
    """Bytes that may go on now."""

    data: bytes


class LineReady(msgspec.Struct, frozen=True):
    """A line is complete: judge it before `end` goes on.

    line: as typed, or from the screen where keys cannot tell. joined: with the lines before it that ended in a
    backslash. is_uncertain: the line may be another. is_echoed: the person saw it, it may be recorded as typed text.
    """

    line: str
    end: bytes
    joined: str
    is_uncertain: bool = False
    is_echoed: bool = False


Piece: TypeAlias = Forward | LineReady


class TypedLines:
    """One terminal, or without `tty` the lines that a shell reads from stdin."""

    def __init__(self, tty: bool) -> None:
        self._tty = tty
        self._keys = EditedLine(insert=True)
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._screen = ScreenLine()
        self._prompt: str | None = None  # what stood on the screen's line when the typing began
        self._is_uncertain = self._is_literal = False
        self._sequence = b""  # the first part of an escape sequence
        self._continued = ""

    def receive_output(self, data: bytes) -> None:
        """Take in what the terminal shows (stdout)."""
        if self._tty:
            self._screen.receive(data)

    def shows(self, text: str) -> bool:
        """Whether the terminal's line has this in it now: an echo that came later than the end of its line."""
        return bool(text.strip()) and text in self._screen.text

    def receive_input(self, data: bytes) -> list[Piece]:
        """Take in bytes of stdin; all of them come out again, in order, with a stop at each end of a line."""
        pieces: list[Piece] = []
        start = at = 0
        while at < len(data):
            if data[at] in _LINE_ENDS:
                if at > start:
                    pieces.append(Forward(data[start:at]))
                pieces.append(self._line_ready(data[at : at + 1]))
                start = at = at + 1
            else:
                at = self._key(data, at)
        if at > start:
            pieces.append(Forward(data[start:at]))
        return pieces

    def _line_ready(self, end: bytes) -> LineReady:
        line, is_uncertain = self._keys.text, self._is_uncertain or self._keys.is_cut or end == b"\x0f"
        shown = self._shown()
        is_echoed = not self._tty or (
            bool(shown.strip()) and (is_uncertain or line.startswith(shown.rstrip()) or line in shown)
        )
        if is_uncertain and shown:
            line = shown
        joined = self._continued + line
        self._continued = joined[:-1] + " " if line.endswith("\\") and len(joined) < MAX_LINE_CHARS else ""
        self._forget_line()
        self._sequence, self._is_literal = b"", False
        return LineReady(line, end, joined, is_uncertain, is_echoed)

    def _shown(self) -> str:
        prompt = self._prompt or ""
        shown = self._screen.text
        return shown[len(prompt) :] if shown.startswith(prompt) else shown

    def _forget_line(self) -> None:
        self._keys.clear()
        self._prompt, self._is_uncertain = None, False

    # --- keys -------------------------------------------------------------------------------------

    def _key(self, data: bytes, at: int) -> int:
        """One key or run of text at `at`; where the next one begins."""
        if self._prompt is None:
            self._prompt = self._screen.text
        if self._sequence or (self._tty and data[at] == 0x1B):
            return self._escape(data, at)
        text = TEXT.match(data, at)
        if text is not None:
            self._is_literal = False
            self._keys.write(self._decoder.decode(text[0]))
            return text.end()
        if self._tty and not self._is_literal:
            self._control(data[at])
        elif data[at] >= 9:  # a tab, or a control character typed behind ^V
            self._keys.write(chr(data[at]))
        self._is_literal = self._tty and not self._is_literal and data[at] == 0x16
        return at + 1

    def _control(self, key: int) -> None:
        keys = self._keys
        if key in (0x08, 0x7F):
            keys.erase_left()
        elif key == 0x15:  # ^U
            keys.erase_to_start()
        elif key == 0x17:  # ^W
            keys.erase_word_left()
        elif key == 0x0B:  # ^K
            keys.erase_to_end()
        elif key == 0x01:  # ^A
            keys.go_to(0)
        elif key == 0x05:  # ^E
            keys.go_to_end()
        elif key in (0x02, 0x06):  # ^B, ^F
            keys.move(1 if key == 0x06 else -1)
        elif key == 0x04:  # ^D
            keys.erase_right()
        elif key in (0x03, 0x1A, 0x1C):  # ^C, ^Z, ^\
            self._continued = ""
            self._forget_line()
        elif key != 0x16:  # completion, history, search, yank, undo, ...
            self._is_uncertain = True

    def _escape(self, data: bytes, at: int) -> int:
        """An escape sequence, perhaps begun in the bytes before."""
        begun = self._sequence
        line_end = _LINE_END.search(data, at)
        stop = line_end.start() if line_end else len(data)
        keys = begun + data[at : min(stop, at + MAX_SEQUENCE_BYTES)]
        found = SEQUENCE.match(keys)
        if found is not None:
            self._sequence = b""
            self._cursor_key(found)
            return at + found.end() - len(begun)
        is_whole = stop < len(data) or len(keys) >= MAX_SEQUENCE_BYTES
        self._sequence = b"" if is_whole else keys
        self._is_uncertain = self._is_uncertain or is_whole
        return stop if stop < len(data) else min(stop, at + MAX_SEQUENCE_BYTES)

    def _cursor_key(self, found: re.Match[bytes]) -> None:
        name = (found[1] or b"") + (found[2] or found[3] or b"?")
        if name in (b"C", b"D"):
            self._keys.move(1 if name == b"C" else -1)
        elif name in (b"H", b"1~", b"7~"):
            self._keys.go_to(0)
        elif name in (b"F", b"4~", b"8~"):
            self._keys.go_to_end()
        elif name == b"3~":
            self._keys.erase_right()
        elif name not in (b"200~", b"201~"):  # arrows to the history, meta keys
            self._is_uncertain = True
