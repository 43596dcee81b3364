"""`kubetape approvals approve`: let a call go ahead."""

import click

from gateway.cli.console.client import Client
from gateway.cli.console.options import Named, api_id, console_options, seconds_of
from gateway.cli.console.tables import shown_time
from gateway.cli.output import Style
from gateway.console.documents import ApprovalDocument
from gateway.console.words import wants
from storage.ansi import printable


@click.command("approve")
@click.argument("approval_id", metavar="ID", callback=api_id)
@click.option("--note", default="", metavar="TEXT", help="For the record.")
@click.option(
    "--for",
    "for_text",
    metavar="DURATION",
    help="How long it covers what the same command asks for next; at most 1h. Default: 1m.",
)
@click.option(
    "--scope",
    type=click.Choice(("request", "command")),
    help="request: this very request, once. Default: the widest the rule permits.",
)
@console_options
def approve(named: Named, approval_id: str, note: str, for_text: str | None, scope: str | None) -> None:
    """Approve a call that waits. Look at it first: kubetape approvals show ID.

    Example: kubetape approvals approve 8F3K --note "agreed with the on-call" --scope request
    """
    body: dict[str, object] = {"note": note}
    if for_text is not None:
        body["forSeconds"] = seconds_of(for_text, "--for")
    if scope is not None:
        body["scope"] = scope
    found = Client(named).post(f"/api/v1/approvals/{approval_id}/approve", body, ApprovalDocument)
    what = f"{found.short_id} {found.requester.user}: {wants(found.call)}"
    if found.state == "pending":
        missing = found.approvers.quorum - len(found.votes)
        click.echo(printable(f"voted for {what}; {missing} more must agree"))
        return
    until = f"; the command until {shown_time(found.covers_until, Style())}" if found.covers_until else ""
    click.echo(printable(f"approved {what}{until}"))
