"""`kubetape approvals watch`: what waits, as soon as it does."""

import click

from gateway.cli import EXIT_UNREACHABLE
from gateway.cli.console.client import ApiFailure, Client
from gateway.cli.console.options import Named, console_options
from gateway.cli.console.tables import approvals_view
from gateway.cli.output import render_one_by_one
from gateway.cli.sessions.filters import output_options, style_from
from gateway.console.documents import ApprovalDocument


@click.command("watch")
@click.option("--all", "everything", is_flag=True, help="Also what was decided before this began.")
@output_options
@console_options
def watch(
    named: Named, everything: bool, output_format: str, no_headers: bool, relative: bool, color: str
) -> None:
    """Print every call that waits and that you may see, at once, and again when it is decided. Ctrl-C ends it.

    Example: kubetape approvals watch -o jsonl
    """
    style = style_from(output_format, no_headers, relative, color)
    path = "/api/v1/approvals?watch=true" + ("" if everything else "&state=pending")
    for line in render_one_by_one(Client(named).lines(path, ApprovalDocument), approvals_view(style), style):
        click.echo(line)
    raise ApiFailure(
        "the gateway ended the watch: it stops, or your access did; start it again", EXIT_UNREACHABLE
    )
