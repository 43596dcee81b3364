"""`kubetape revoke lift`: give access back."""

import click

from gateway.cli.console.client import Client
from gateway.cli.console.options import Named, api_id, console_options
from gateway.console.documents import RevocationDocument
from storage.ansi import printable


@click.command("lift")
@click.argument("revocation_id", metavar="ID", callback=api_id)
@click.option("--reason", required=True, metavar="TEXT", help="Why, for the record.")
@console_options
def lift(named: Named, revocation_id: str, reason: str) -> None:
    """Give back the access that a revocation ended; others of the same person stay in force.

    Example: kubetape revoke lift 8F3K --reason "laptop found"
    """
    path = f"/api/v1/revocations/{revocation_id}/lift"
    lifted = Client(named).post(path, {"reason": reason}, RevocationDocument)
    click.echo(printable(f"lifted: {lifted.kind} {lifted.subject}"))
