"""`kubetape approvals ls`: what waits for a person."""

import click

from gateway.cli.console.client import Client
from gateway.cli.console.options import Named, console_options
from gateway.cli.console.tables import approvals_view
from gateway.cli.output import render
from gateway.cli.sessions.filters import output_options, style_from
from gateway.console.documents import HOLD_STATES, ApprovalList


@click.command("ls")
@click.option(
    "--state", type=click.Choice(HOLD_STATES), default="pending", show_default=True, help="Only those."
)
@click.option("--all", "everything", is_flag=True, help="All of the last hour, whatever became of them.")
@output_options
@console_options
def ls(
    named: Named,
    state: str,
    everything: bool,
    output_format: str,
    no_headers: bool,
    relative: bool,
    color: str,
) -> None:
    """List the calls that wait and that you may see: your own, and those you may decide.

    Example: kubetape approvals ls
    """
    style = style_from(output_format, no_headers, relative, color)
    path = "/api/v1/approvals" + ("" if everything else f"?state={state}")
    found = Client(named).get(path, ApprovalList).items
    for line in render(found, approvals_view(style), style):
        click.echo(line)
    if not found:
        click.echo("none in the last hour" if everything else f"none is {state}", err=True)
