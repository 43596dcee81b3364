"""`kubetape holds ls`: which holds are in force."""

from pathlib import Path

import click
import msgspec

from gateway.cli.directory import directory_option
from gateway.cli.holds.opening import FILES
from gateway.cli.keys.opening import check_data_dir
from gateway.cli.output import Column, Style, View, render
from gateway.cli.sessions.filters import output_options, style_from
from storage.retention.holds import Hold, describe_scope, utc_ns
from storage.retention.holds_file import read_holds


@click.command("ls")
@output_options
@directory_option
def ls(output_format: str, no_headers: bool, relative: bool, color: str, data_dir: Path) -> None:
    """List the legal holds in force, in the order in which they were made.

    Which segments they are on: kubetape store ls. Who made or lifted one, and why: DIR/holds.log.jsonl.

    Example: kubetape holds ls -o json
    """
    check_data_dir(data_dir)
    style = style_from(output_format, no_headers, relative, color)
    for line in render(read_holds(FILES, data_dir), _view(style), style):
        click.echo(line)


def _view(style: Style) -> View[Hold]:
    return View(
        (
            Column("ID", lambda hold: hold.id),
            Column("CREATED", lambda hold: style.time(utc_ns(hold.created_at))),
            Column("BY", lambda hold: hold.by),
            Column("HOLDS", lambda hold: describe_scope(hold.scope)),
            Column("REASON", lambda hold: hold.reason),
        ),
        data=msgspec.to_builtins,
        name=lambda hold: hold.id,
    )
