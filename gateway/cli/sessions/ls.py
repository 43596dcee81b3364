"""`kubetape sessions ls`: one row per kubectl command, session or call."""

from pathlib import Path

import click

from gateway.cli.output import Style, render
from gateway.cli.sessions.filters import (
    FilterCommand,
    filter_options,
    output_options,
    query_from,
    record_option,
    style_from,
)
from gateway.cli.sessions.opening import Library, with_library
from gateway.cli.sessions.views import call_view, command_view, session_view
from storage.query import Query


@click.command("ls", cls=FilterCommand)
@click.argument("filter", nargs=-1)
@click.option("--sessions", "level", flag_value="sessions", help="One row per session instead.")
@click.option("--calls", "level", flag_value="calls", help="One row per API call instead.")
@filter_options
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="Rows at most.")
@output_options
@record_option
def ls(
    filter: tuple[str, ...],
    level: str | None,
    limit: int,
    output_format: str,
    no_headers: bool,
    relative: bool,
    color: str,
    data_dir: str,
    key: tuple[Path, ...],
    **flags: str | None,
) -> None:
    """List what was recorded, the latest first.

    One row is one kubectl command with all its API calls, or one connection of another client. FILTER
    narrows the list: field:value, field:one,two, -field:value, words, "exact words", pre*; the flags
    below say the same. A command is listed if one of its calls matches.

    Example: kubetape sessions ls --ns prod --since 1d verb:delete -user:ci
    """
    query = query_from(filter, flags)
    style = style_from(output_format, no_headers, relative, color)
    for line in with_library(data_dir, key, lambda library: _lines(library, query, level, limit, style)):
        click.echo(line)


def _lines(library: Library, query: Query, level: str | None, limit: int, style: Style) -> list[str]:
    archive = library.archive
    if level == "sessions":
        return list(render(archive.sessions(query, limit=limit), session_view(style), style))
    if level == "calls":
        return list(render(archive.calls(query, limit=limit), call_view(style), style))
    return list(render(archive.commands(query, limit=limit), command_view(style), style))
