"""Rows -> what a person or a program reads: table, wide, json, jsonl, yaml, name.

A table is aligned and coloured on a terminal and is plain columns, separated by tabs, in a pipe.
Everything shown was recorded from strangers: cells are escaped (`printable`), and JSON carries no
control character, not even those that JSON itself would allow.
"""

import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, Final, Generic, NamedTuple, TypeVar

import click
import msgspec

from storage.ansi import printable

FORMATS: Final = ("table", "wide", "json", "jsonl", "yaml", "name")
COLOUR_CHOICES: Final = ("auto", "always", "never")

_COLOUR_OF: Final = {
    "ok": "green",
    "live": "cyan",
    "denied": "red",
    "deny": "red",
    "hold": "yellow",
    "unknown": "magenta",
    "failed": "red",
    "cut": "red",
}
_JSON_UNSAFE: Final = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")

Row = TypeVar("Row")


class Column(NamedTuple, Generic[Row]):
    """One column. width: its least width where rows are not known in advance (tail)."""

    header: str
    cell: Callable[[Row], str]
    wide: bool = False
    width: int = 0


class View(NamedTuple, Generic[Row]):
    """How one kind of row is shown in every format. data: plain lists and dicts for JSON and YAML."""

    columns: tuple[Column[Row], ...]
    data: Callable[[Row], object]
    name: Callable[[Row], str]


class Style(NamedTuple):
    """What the person asked for and what stdout is. relative_to_ns: now, if times are to be relative."""

    format: str = "table"
    headers: bool = True
    is_terminal: bool = False
    colour: bool = False
    width: int = 0  # columns of the terminal; 0: do not cut lines
    relative_to_ns: int | None = None

    def time(self, at_ns: int) -> str:
        if self.relative_to_ns is not None:
            return f"{duration((self.relative_to_ns - at_ns) // 1000)} ago"
        return rfc3339(at_ns)


def detect_style(format: str, *, headers: bool, colour: str, relative_to_ns: int | None) -> Style:
    """The style for the stdout this process has. NO_COLOR: see no-color.org."""
    is_terminal = sys.stdout.isatty()
    wanted = is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return Style(
        format=format,
        headers=headers,
        is_terminal=is_terminal,
        colour=colour == "always" or (colour == "auto" and wanted),
        width=shutil.get_terminal_size().columns if is_terminal and format == "table" else 0,
        relative_to_ns=relative_to_ns,
    )


def render(rows: Iterable[Row], view: View[Row], style: Style) -> Iterator[str]:
    """All rows, as lines without line ends."""
    if style.format == "json":
        yield encode_json([view.data(row) for row in rows], pretty=True)
    elif style.format == "jsonl":
        for row in rows:
            yield encode_json(view.data(row))
    elif style.format == "yaml":
        yield encode_yaml([view.data(row) for row in rows])
    elif style.format == "name":
        for row in rows:
            yield printable(view.name(row))
    else:
        yield from _render_table(list(rows), view, style)


def render_one_by_one(rows: Iterable[Row], view: View[Row], style: Style) -> Iterator[str]:
    """Rows as they come, for as long as they come: columns have the widths the view gives them."""
    if style.format not in ("table", "wide"):
        one_line = style._replace(format="jsonl") if style.format == "json" else style
        for row in rows:
            yield from render([row], view, one_line)
        return
    columns = _columns(view, style)
    widths = [max(column.width, len(column.header)) for column in columns]
    if style.headers:
        yield _line([column.header for column in columns], widths, style, is_header=True)
    for row in rows:
        yield _line([printable(column.cell(row)) for column in columns], widths, style)


def _columns(view: View[Row], style: Style) -> list[Column[Row]]:
    return [column for column in view.columns if style.format == "wide" or not column.wide]


def _render_table(rows: list[Row], view: View[Row], style: Style) -> Iterator[str]:
    columns = _columns(view, style)
    cells = [[printable(column.cell(row)) for column in columns] for row in rows]
    widths = [
        max([len(column.header), *(len(line[at]) for line in cells)]) for at, column in enumerate(columns)
    ]
    if style.headers:
        yield _line([column.header for column in columns], widths, style, is_header=True)
    for line in cells:
        yield _line(line, widths, style)


def _line(cells: list[str], widths: list[int], style: Style, *, is_header: bool = False) -> str:
    if not style.is_terminal:
        return "\t".join(_coloured(cell, cell, style) for cell in cells)
    padded = [cell.ljust(width) for cell, width in zip(cells, widths, strict=True)]
    line = "  ".join(padded).rstrip()
    if style.width and len(line) > style.width:
        return line[: style.width - 1] + "…"
    if is_header:
        return line
    return "  ".join(_coloured(cell, pad, style) for cell, pad in zip(cells, padded, strict=True)).rstrip()


def _coloured(cell: str, shown: str, style: Style) -> str:
    colour = _COLOUR_OF.get(cell.split(" ", 1)[0])
    return click.style(shown, fg=colour) if style.colour and colour else shown


def encode_json(data: object, *, pretty: bool = False) -> str:
    """JSON that may be shown: every control character in it is escaped."""
    encoded = msgspec.json.encode(data)
    if pretty:
        encoded = msgspec.json.format(encoded, indent=2)
    return _JSON_UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", encoded.decode())


def encode_yaml(data: object) -> str:
    import yaml  # a tenth of a second that only this format pays

    dumped: Any = yaml.safe_dump(data, sort_keys=False, allow_unicode=False, default_flow_style=False)
    return str(dumped).rstrip("\n")


# --- cells ------------------------------------------------------------------------------------


def rfc3339(at_ns: int) -> str:
    """UTC nanoseconds -> 2026-01-31T10:00:00.123Z."""
    at = datetime.fromtimestamp(at_ns // 1_000_000_000, UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at_ns // 1_000_000 % 1000:03d}Z"


def duration(us: int) -> str:
    """Microseconds as people read them: 850us, 4ms, 1.2s, 3m20s, 2h5m, 3d4h."""
    if us < 1000:
        return f"{max(us, 0)}us"
    if us < 1_000_000:
        return f"{us // 1000}ms"
    seconds = us // 1_000_000
    if seconds < 60:
        return f"{us / 1_000_000:.1f}s"
    for unit, size, next_unit, next_size in (("d", 86_400, "h", 3600), ("h", 3600, "m", 60)):
        if seconds >= size:
            return f"{seconds // size}{unit}{seconds % size // next_size}{next_unit}"
    return f"{seconds // 60}m{seconds % 60}s"


def size(count: int) -> str:
    """Bytes as people read them: 512B, 1.5KiB, 3.0MiB."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024 or unit == "GiB":
            break
        amount /= 1024
    return f"{count}B" if unit == "B" else f"{amount:.1f}{unit}"
