"""`kubetape grants deny`: refuse a request, with words."""

import click

from gateway.cli.console.client import Client
from gateway.cli.console.options import Named, api_id, console_options
from gateway.console.documents import GrantDocument
from storage.ansi import printable


@click.command("deny")
@click.argument("grant_id", metavar="ID", callback=api_id)
@click.option("--note", required=True, metavar="TEXT", help="Why; whoever asked reads it.")
@console_options
def deny(named: Named, grant_id: str, note: str) -> None:
    """Deny a request. One denial ends it, whatever the quorum.

    Example: kubetape grants deny 8F3K --note "use staging"
    """
    grant = Client(named).post(f"/api/v1/grants/{grant_id}/deny", {"note": note}, GrantDocument)
    click.echo(printable(f"denied {grant.short_id} {grant.requester.user}: {grant.bundle}"))
