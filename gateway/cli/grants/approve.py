"""`kubetape grants approve`: let somebody have a bundle."""

import click

from gateway.cli.console.client import Client
from gateway.cli.console.options import Named, api_id, console_options, seconds_of
from gateway.cli.console.tables import left
from gateway.console.documents import GrantDocument
from storage.ansi import printable


@click.command("approve")
@click.argument("grant_id", metavar="ID", callback=api_id)
@click.option("--note", default="", metavar="TEXT", help="For the record.")
@click.option("--duration", metavar="DURATION", help="Shorter than asked for.")
@console_options
def approve(named: Named, grant_id: str, note: str, duration: str | None) -> None:
    """Approve a request. It begins with the last vote it needs.

    Example: kubetape grants approve 8F3K --duration 15m
    """
    body: dict[str, object] = {"note": note}
    if duration is not None:
        seconds_of(duration, "--duration")
        body["duration"] = duration
    grant = Client(named).post(f"/api/v1/grants/{grant_id}/approve", body, GrantDocument)
    what = f"{grant.short_id} {grant.requester.user}: {grant.bundle}"
    if grant.state == "pending":
        click.echo(
            printable(f"voted for {what}; {grant.approvers.quorum - len(grant.votes)} more must agree")
        )
    else:
        click.echo(printable(f"granted {what}, {left(grant.ends_at)} left"))
