"""One line of text with a cursor: what a person types into a line editor, or a program writes on a screen's line.

It knows moves and corrections, not what a key or a sequence is called: see `typed_lines`.
"""

from typing import Final

MAX_LINE_CHARS: Final = 16 * 1024
"""Longest line kept; what is typed beyond it is dropped and `is_cut` says so."""


class EditedLine:
    """A line. insert: a character typed in the middle moves what follows it, else it overwrites."""

    def __init__(self, *, insert: bool) -> None:
        self._insert = insert
        self._chars: list[str] = []
        self._cursor = 0
        self.is_cut = False

    @property
    def text(self) -> str:
        return "".join(self._chars)

    def clear(self) -> None:
        self._chars.clear()
        self._cursor, self.is_cut = 0, False

    def write(self, text: str) -> None:
        end = self._cursor if self._insert else self._cursor + len(text)
        if self._cursor + len(text) > MAX_LINE_CHARS or len(self._chars) > MAX_LINE_CHARS:
            self.is_cut = True
            return
        self._chars[self._cursor : end] = text
        self._cursor += len(text)

    def move(self, count: int) -> None:
        """count: to the right, negative to the left."""
        self.go_to(self._cursor + count)

    def go_to(self, column: int) -> None:
        """Behind the end of what is written there are blanks only where a screen is meant."""
        self._cursor = max(0, min(column, MAX_LINE_CHARS if not self._insert else len(self._chars)))
        self._chars += " " * (self._cursor - len(self._chars))

    def go_to_end(self) -> None:
        self._cursor = len(self._chars)

    def erase_left(self) -> None:
        """The backspace key."""
        if self._cursor:
            self._cursor -= 1
            del self._chars[self._cursor]

    def erase_right(self, count: int = 1) -> None:
        del self._chars[self._cursor : self._cursor + count]

    def insert_blanks(self, count: int) -> None:
        self._chars[self._cursor : self._cursor] = " " * min(count, MAX_LINE_CHARS - len(self._chars))

    def erase_to_end(self) -> None:
        del self._chars[self._cursor :]

    def erase_to_start(self) -> None:
        del self._chars[: self._cursor]
        self._cursor = 0

    def erase_word_left(self) -> None:
        start = self._cursor
        while start and self._chars[start - 1] == " ":
            start -= 1
        while start and self._chars[start - 1] != " ":
            start -= 1
        del self._chars[start : self._cursor]
        self._cursor = start
