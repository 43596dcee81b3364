"""`kubetape grants bundles`: what may be asked for."""

import click

from gateway.cli.console.client import Client
from gateway.cli.console.options import Named, console_options
from gateway.cli.console.tables import bundles_view
from gateway.cli.output import render
from gateway.cli.sessions.filters import output_options, style_from
from gateway.console.documents import BundleList


@click.command("bundles")
@output_options
@console_options
def bundles(named: Named, output_format: str, no_headers: bool, relative: bool, color: str) -> None:
    """List the bundles of the policy that you may ask for, and who decides.

    Example: kubetape grants bundles
    """
    style = style_from(output_format, no_headers, relative, color)
    for line in render(Client(named).get("/api/v1/bundles", BundleList).items, bundles_view(), style):
        click.echo(line)
