"""`kubetape revoke ls`: the revocations in force."""

import click

from gateway.cli.console.client import Client
from gateway.cli.console.options import Named, console_options
from gateway.cli.console.tables import revocations_view
from gateway.cli.output import render
from gateway.cli.sessions.filters import output_options, style_from
from gateway.console.documents import RevocationList


@click.command("ls")
@output_options
@console_options
def ls(named: Named, output_format: str, no_headers: bool, relative: bool, color: str) -> None:
    """List the revocations in force that you may see: as an admin all, else those of yourself.

    Example: kubetape revoke ls
    """
    style = style_from(output_format, no_headers, relative, color)
    found = Client(named).get("/api/v1/revocations", RevocationList).items
    for line in render(found, revocations_view(style), style):
        click.echo(line)
