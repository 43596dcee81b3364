"""Command groups whose commands are imported when they are used, and not before.

`kubetape token` runs before every kubectl call, so the start of the program imports click and nothing
else. The table says the one line that `--help` shows, too: help imports nothing either. A command whose
module is not there is not offered.
"""

import importlib
import importlib.util
from typing import NamedTuple

import click


class Entry(NamedTuple):
    """Where a command lives, as "module:attribute", and its line in the help."""

    target: str
    summary: str


class LazyGroup(click.Group):
    """A group over a table name -> Entry."""

    def __init__(self, *args: object, table: dict[str, Entry], **settings: object) -> None:
        super().__init__(*args, **settings)  # type: ignore[arg-type]
        self._table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name, entry in self._table.items() if _exists(entry)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = self._table.get(cmd_name)
        if entry is None or not _exists(entry):
            return None
        module, _, attribute = entry.target.partition(":")
        command = getattr(importlib.import_module(module), attribute)
        if not isinstance(command, click.Command):
            raise AssertionError(f"{entry.target} is no command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, self._table[name].summary) for name in self.list_commands(ctx)])


def _exists(entry: Entry) -> bool:
    return importlib.util.find_spec(entry.target.partition(":")[0]) is not None
