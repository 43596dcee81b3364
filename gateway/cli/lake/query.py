"""`kubetape lake query`: one SELECT over the rows, answered by DuckDB."""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime
from itertools import islice
from pathlib import Path
from typing import Final, TypeAlias

import click
import msgspec

from gateway.cli.lake.csv_lines import render_csv
from gateway.cli.lake.opening import all_files, data_dir_rows, store_rows
from gateway.cli.lake.options import limits_from, resource_options, since_ns, store_from, store_options
from gateway.cli.output import Column, View, detect_style, render
from gateway.cli.sessions.filters import data_dir_option
from gateway.lake.engine import Answer, open_lake
from gateway.lake.files import LAKE_DIRECTORY
from storage.ansi import printable

FORMATS: Final = ("table", "json", "jsonl", "csv")

Cell: TypeAlias = "bool | int | float | str | list[Cell] | dict[str, Cell] | None"
Cells: TypeAlias = "tuple[Cell, ...]"


@click.command("query")
@click.argument("sql")
@data_dir_option
@store_options
@click.option("-o", "--output", "output_format", type=click.Choice(FORMATS), default="table", help="Format.")
@click.option("--no-headers", is_flag=True, help="No line of column names.")
@click.option(
    "--limit", type=click.IntRange(0), default=10_000, show_default=True, help="Rows at most; 0: all."
)
@resource_options
def query(
    sql: str,
    data_dir: Path,
    key: tuple[Path, ...],
    store: str | None,
    since: str | None,
    output_format: str,
    no_headers: bool,
    limit: int,
    memory: int,
    timeout: float,
) -> None:
    """Ask one SELECT of api_calls, stream_events and control_events.

    Times are UTC. `user` is a column here, and the name of the database user where no table is asked.

    \b
    Example: kubetape lake query "SELECT ts, user, command FROM stream_events WHERE text LIKE '%secret%'"
             kubetape lake query --store s3://audit/prod --since 2d -o csv "FROM api_calls WHERE verb = 'delete'"
    """
    rows = data_dir_rows(data_dir, key) if store is None else store_rows(store_from(store), since_ns(since))
    lake_dir = data_dir / LAKE_DIRECTORY if store is None else None
    limits = limits_from(memory, timeout)
    with rows as found, open_lake(all_files(found, lake_dir), limits) as lake:
        show(lake.query(sql), output_format, headers=not no_headers, limit=limit)


def show(answer: Answer, output_format: str, *, headers: bool, limit: int) -> None:
    """Print an answer; says on stderr when there was more of it."""
    columns = distinct(answer.columns)
    taken = 0

    def rows() -> Iterator[Cells]:
        nonlocal taken
        for row in islice(answer.rows, limit or None):
            taken += 1
            yield tuple(map(plain, row))

    for line in lines(columns, rows(), output_format, headers=headers):
        click.echo(line)
    if limit and taken == limit and next(answer.rows, None) is not None:
        click.echo(f"note: only the first {limit} rows are shown; --limit 0 shows all", err=True)


def lines(
    columns: Sequence[str], rows: Iterator[Cells], output_format: str, *, headers: bool
) -> Iterator[str]:
    if output_format == "csv":
        cells = (tuple(_scalar(cell) for cell in row) for row in rows)
        return render_csv(columns, cells, headers=headers)
    style = detect_style(output_format, headers=headers, colour="never", relative_to_ns=None)
    view: View[Cells] = View(
        columns=tuple(Column(name, _cell_at(index)) for index, name in enumerate(columns)),
        data=lambda row: dict(zip(columns, row, strict=True)),
        name=lambda row: "",
    )
    return render(rows, view, style)


def distinct(names: Sequence[str]) -> tuple[str, ...]:
    """Column names as keys: a second `a` is `a_2`, as JSON objects have each name once."""
    found: dict[str, None] = {}
    for name in map(printable, names):
        number, candidate = 2, name
        while candidate in found:
            number, candidate = number + 1, f"{name}_{number}"
        found[candidate] = None
    return tuple(found)


def plain(value: object) -> Cell:
    """A value of DuckDB as JSON has it: times as RFC 3339 in UTC, numbers JSON cannot hold as text."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**64 else str(value)
    if isinstance(value, float):
        return value if value - value == 0 else str(value)  # inf and nan are no JSON
    if isinstance(value, datetime):
        at = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
        return at.isoformat(timespec="microseconds") + "Z"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    return str(value)


def _scalar(cell: Cell) -> bool | int | float | str | None:
    return msgspec.json.encode(cell).decode() if isinstance(cell, list | dict) else cell


def _cell_at(index: int) -> Callable[[Cells], str]:
    def cell(row: Cells) -> str:
        value = _scalar(row[index])
        if value is None:
            return "-"
        return str(value).lower() if isinstance(value, bool) else str(value)

    return cell
