"""What the demo shows: text for a person as it happens, or one JSON document for a script at the end."""

import json
from typing import Final

import click

from storage.ansi import printable

MAX_LINES: Final = 14
LAST_LINES: Final = 2
"""Shown even of what is too long: how it ended."""
MAX_COLUMNS: Final = 400
MAX_CELL: Final = 40
"""Wider ones push what is behind them to the right."""


class Screen:
    """as_json: nothing but the document is printed."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._steps: list[dict[str, str]] = []
        self._last = ("", "")

    @property
    def is_for_people(self) -> bool:
        return not self._as_json

    def title(self, text: str) -> None:
        self.say(f"\n=== {text}")

    def say(self, text: str) -> None:
        """One line about the demo itself."""
        if not self._as_json:
            click.echo(text)

    def begin(self, who: str, command: str, why: str = "") -> None:
        """A command is given now; it may take its time."""
        if why:
            self.say(f"\n# {why}")
        self._last = (who, command)
        self.say(f"{who}$ {command}")

    def end(self, who: str, command: str, output: str) -> None:
        """And this is what it printed."""
        self._steps.append({"who": who, "command": command, "output": output})
        if self._last != (who, command):  # something else was begun meanwhile
            self.say(f"[{who}: {command}]")
            self._last = (who, command)
        lines = _aligned(output.replace("\r\n", "\n").replace("\r", "\n").rstrip().split("\n"))
        left_out = len(lines) - MAX_LINES
        for number, line in enumerate(lines):
            if left_out <= 0 or not MAX_LINES - LAST_LINES <= number < len(lines) - LAST_LINES:
                self.say(f"  {printable(line)[:MAX_COLUMNS]}")
            elif number == MAX_LINES - LAST_LINES:
                self.say(f"  ... {left_out} more lines")

    def document(self, **facts: object) -> None:
        """The end: everything that was shown, and `facts`."""
        if self._as_json:
            click.echo(json.dumps({"steps": self._steps, **facts}, indent=2))


def _aligned(lines: list[str]) -> list[str]:
    """Columns that a program separated with tabs, as a terminal would get them."""
    rows = [line.split("\t") for line in lines]
    widths: dict[tuple[int, int], int] = {}  # (number of columns, column) -> width
    for row in rows:
        for column, text in enumerate(row):
            place = (len(row), column)
            widths[place] = max(widths.get(place, 0), min(len(text), MAX_CELL))
    return [
        "  ".join(text.ljust(widths[len(row), column]) for column, text in enumerate(row)).rstrip()
        for row in rows
    ]
