"""`kubetape sessions search`: words in command lines, output and bodies."""

from pathlib import Path

import click

from gateway.cli.output import render
from gateway.cli.sessions.filters import (
    FilterCommand,
    filter_options,
    output_options,
    query_from,
    record_option,
    style_from,
)
from gateway.cli.sessions.opening import with_library
from gateway.cli.sessions.views import hit_view
from storage.query import FIELDS

_FIELDS_HELP = "\b\nFields:\n" + "\n".join(f"  {name + ':':<11}{text}" for name, text in FIELDS.items())


@click.command("search", cls=FilterCommand, epilog=_FIELDS_HELP)
@click.argument("filter", nargs=-1, required=True)
@filter_options
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="Places at most."
)
@output_options
@record_option
def search(
    filter: tuple[str, ...],
    limit: int,
    output_format: str,
    no_headers: bool,
    relative: bool,
    color: str,
    data_dir: str,
    key: tuple[Path, ...],
    **flags: str | None,
) -> None:
    """Find words in what was typed, printed, sent and answered.

    FILTER is one expression: words (all must occur in a call, in any order), "exact words", pre*, -not,
    and fields. AT is the moment in the recording: play it from there with --seek. A word to leave out goes
    into the quotes of the expression, or behind --.

    Example: kubetape sessions search '"connection refused" ns:prod -user:ci since:1d'
    """
    query = query_from(filter, flags)
    style = style_from(output_format, no_headers, relative, color)

    hits = with_library(data_dir, key, lambda library: library.archive.search(query, limit=limit))
    if style.format == "name":  # one call may have several places
        hits = list({hit.call.exchange: hit for hit in hits}.values())
    for line in render(hits, hit_view(style), style):
        click.echo(line)
