"""What the demo shows: text for a person as it happens, or one JSON document for a script at the end."""

import json
from typing import Final

import click

from storage.ansi import printable

MAX_LINES: Final = 14
MAX_COLUMNS: Final = 400


class Screen:
    """as_json: nothing but the document is printed."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._steps: list[dict[str, str]] = []

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
        self.say(f"{who}$ {command}")

    def end(self, who: str, command: str, output: str) -> None:
        """And this is what it printed."""
        self._steps.append({"who": who, "command": command, "output": output})
        lines = output.replace("\r\n", "\n").replace("\r", "\n").rstrip().split("\n")
        for line in lines[:MAX_LINES]:
            self.say(f"  {printable(line)[:MAX_COLUMNS]}")
        if len(lines) > MAX_LINES:
            self.say(f"  ... {len(lines) - MAX_LINES} more lines, all recorded")

    def document(self, **facts: object) -> None:
        """The end: everything that was shown, and `facts`."""
        if self._as_json:
            click.echo(json.dumps({"steps": self._steps, **facts}, indent=2))
