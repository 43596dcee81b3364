"""`kubetape grants revoke`: end a grant at once."""

import click

from gateway.cli.console.client import Client
from gateway.cli.console.options import Named, api_id, console_options
from gateway.console.documents import GrantDocument
from storage.ansi import printable


@click.command("revoke")
@click.argument("grant_id", metavar="ID", callback=api_id)
@click.option("--reason", required=True, metavar="TEXT", help="Why; whoever holds it reads it.")
@console_options
def revoke(named: Named, grant_id: str, reason: str) -> None:
    """End a grant, or withdraw a request: your own, or as an admin anybody's. What runs on it ends within a second.

    Example: kubetape grants revoke 8F3K --reason "done"
    """
    grant = Client(named).post(f"/api/v1/grants/{grant_id}/revoke", {"reason": reason}, GrantDocument)
    click.echo(printable(f"revoked {grant.short_id} {grant.requester.user}: {grant.bundle}"))
