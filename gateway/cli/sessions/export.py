"""`kubetape sessions export ID`: a recording as text, JSON or asciicast, to stdout or a file."""

import os
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Final

import click

from gateway.cli.output import Style, encode_json
from gateway.cli.sessions.choosing import STREAM_KINDS, choose_stream
from gateway.cli.sessions.filters import record_option
from gateway.cli.sessions.get import command_lines, detail_data
from gateway.cli.sessions.opening import Library, with_library
from gateway.cli.sessions.record_json import record_data
from storage.ansi import printable
from storage.cast import CastHeader, encode_cast, terminal_events
from storage.index_schema import CallRow
from storage.search_rows import describe
from storage.timeline import read_call, read_detail, transcript

FORMATS: Final = ("text", "json", "jsonl", "cast", "cast2", "cast3")


@click.command("export")
@click.argument("id")
@click.option(
    "--format",
    type=click.Choice(FORMATS),
    default="text",
    show_default=True,
    help="cast is cast3: asciicast v3.",
)
@click.option(
    "-f", "--file", type=click.Path(path_type=Path, dir_okay=False), help="Write here instead of to stdout."
)
@click.option("--force", is_flag=True, help="Overwrite that file if it exists.")
@click.option(
    "--raw", is_flag=True, help="cast: keep recorded bytes as they are. They may attack a terminal."
)
@record_option
def export(
    id: str, format: str, file: Path | None, force: bool, raw: bool, data_dir: str, key: tuple[Path, ...]
) -> None:
    """Write a recording in a form that other programs read.

    text: what a person saw of exec, attach or logs, without colours; any other calls as `get --bodies`
    shows them. json: all calls with their bodies. jsonl: every record, one a line. cast2, cast3: exec,
    attach or logs for asciinema players.

    Example: kubetape sessions export k3f9a2b1c04 --format cast3 -f incident.cast
    """

    def use(library: Library) -> None:
        lines = _lines(library, id, format, raw)
        if file is None:
            for line in lines:
                click.echo(line)
        else:
            _write_file(lines, file, force)

    with_library(data_dir, key, use)


def _write_file(lines: Iterator[str], file: Path, force: bool) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | (os.O_TRUNC if force else os.O_EXCL)
    first = next(lines, "")  # what can fail has failed now, and no empty file is left behind
    try:
        fd = os.open(file, flags, 0o600)
    except FileExistsError:
        raise click.ClickException(f"{file} exists; --force overwrites it") from None
    with open(fd, "w", encoding="utf-8", newline="\n") as out:
        for line in chain([first], lines):
            out.write(line + "\n")


def _lines(library: Library, id: str, format: str, raw: bool) -> Iterator[str]:
    if format.startswith("cast"):
        return _cast_lines(library, choose_stream(library.archive, id), format, raw)
    rows = library.archive.calls_of(library.archive.resolve(id))
    if format == "json":
        return _json_lines(library, rows)
    if format == "jsonl":
        return _record_lines(library, rows)
    streams = [row for row in rows if row.kind in STREAM_KINDS]
    if len(streams) == 1:
        return _text_lines(library, streams[0])
    return iter(command_lines(library, id, bodies=True, style=Style()))


def _cast_lines(library: Library, row: CallRow, format: str, raw: bool) -> Iterator[str]:
    records = (record for _, record in read_call(library.source, library.archive, row))
    command = printable(describe(row))
    header = CastHeader(row.at_ns, title=f"{printable(row.user)}: {command}", command=command)
    events = terminal_events(records, neutralise=not raw)
    return encode_cast(events, header, version=2 if format == "cast2" else 3)


def _text_lines(library: Library, row: CallRow) -> Iterator[str]:
    records = (record for _, record in read_call(library.source, library.archive, row))
    for text in transcript(records):
        yield text.removesuffix("\n")


def _json_lines(library: Library, rows: list[CallRow]) -> Iterator[str]:
    details = [detail_data(read_detail(library.source, library.archive, row), True) for row in rows]
    yield encode_json(details, pretty=True)


def _record_lines(library: Library, rows: list[CallRow]) -> Iterator[str]:
    for row in rows:
        for position, record in read_call(library.source, library.archive, row):
            yield encode_json(record_data(row.log, position, record))
