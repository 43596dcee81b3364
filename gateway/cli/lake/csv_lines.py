"""Rows as CSV (RFC 4180) that a spreadsheet may open.

What was recorded comes from strangers, and a spreadsheet runs a text that begins with = + - @ as a formula.
Such texts get a ' in front, which the spreadsheet shows as text. Numbers stay numbers, the negative too.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from storage.ansi import printable

_FORMULA: Final = ("=", "+", "-", "@")


def render_csv(columns: Sequence[str], rows: Iterable[Sequence[object]], *, headers: bool) -> Iterator[str]:
    """Lines without line ends. A cell is None (empty), bool, int, float or text."""
    if headers:
        yield _line([_cell(column) for column in columns])
    for row in rows:
        yield _line([_cell(value) for value in row])


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        shown = printable(value)
        # a blank in front does not stop every spreadsheet
        return "'" + shown if shown.lstrip().startswith(_FORMULA) else shown
    return str(value).lower() if isinstance(value, bool) else str(value)


def _line(cells: list[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(cells)
    return line.getvalue()
