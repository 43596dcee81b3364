"""`kubetape approvals deny`: refuse a call, with words."""

import click

from gateway.cli.console.client import Client
from gateway.cli.console.options import Named, api_id, console_options
from gateway.console.documents import ApprovalDocument
from gateway.console.words import wants
from storage.ansi import printable


@click.command("deny")
@click.argument("approval_id", metavar="ID", callback=api_id)
@click.option("--note", required=True, metavar="TEXT", help="Why; whoever waits reads it.")
@console_options
def deny(named: Named, approval_id: str, note: str) -> None:
    """Deny a call that waits. One denial ends it, whatever the quorum.

    Example: kubetape approvals deny 8F3K --note "wrong namespace"
    """
    found = Client(named).post(f"/api/v1/approvals/{approval_id}/deny", {"note": note}, ApprovalDocument)
    click.echo(printable(f"denied {found.short_id} {found.requester.user}: {wants(found.call)}"))
