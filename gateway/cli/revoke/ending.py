"""What `revoke user`, `token` and `session` share: their options, and the request."""

from collections.abc import Callable
from typing import Any

import click

from gateway.cli.console.client import Client
from gateway.cli.console.options import Named, console_options, seconds_of
from gateway.console.documents import SHORT_ID, RevocationDocument
from storage.ansi import printable


def ending_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --reason, --for and those of the API."""
    reason = click.option("--reason", required=True, metavar="TEXT", help="Why; whoever is cut off reads it.")
    period = click.option(
        "--for", "period", metavar="DURATION", help="For how long. Default: until it is lifted."
    )
    return reason(period(console_options(command)))


def end_access(named: Named, kind: str, subject: str, reason: str, period: str | None) -> None:
    body: dict[str, object] = {"kind": kind, "subject": subject, "reason": reason}
    if period is not None:
        seconds_of(period, "--for")
        body["duration"] = period
    made = Client(named).post("/api/v1/revocations", body, RevocationDocument)
    click.echo(made.id[SHORT_ID])
    click.echo(printable(f"revoked: {subject}"), err=True)
