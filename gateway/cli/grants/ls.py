"""`kubetape grants ls`: what is granted and asked for, and how long it lasts."""

import click

from gateway.cli.console.client import Client
from gateway.cli.console.options import Named, console_options
from gateway.cli.console.tables import grants_view
from gateway.cli.output import render
from gateway.cli.sessions.filters import output_options, style_from
from gateway.console.documents import GRANT_STATES, GrantList


@click.command("ls")
@click.option("--state", type=click.Choice(GRANT_STATES), help="Only those.")
@output_options
@console_options
def ls(
    named: Named, state: str | None, output_format: str, no_headers: bool, relative: bool, color: str
) -> None:
    """List the grants and requests that you may see: your own, and those you may decide.

    LEFT is what remains of a grant, or of the time in which a request can be decided.

    Example: kubetape grants ls --state active
    """
    style = style_from(output_format, no_headers, relative, color)
    path = "/api/v1/grants" + (f"?state={state}" if state else "")
    for line in render(Client(named).get(path, GrantList).items, grants_view(style), style):
        click.echo(line)
