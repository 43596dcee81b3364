"""`kubetape grants request`: ask for a bundle."""

import click

from gateway.cli import EXIT_DENIED, EXIT_TIMED_OUT
from gateway.cli.console.client import ApiFailure, Client
from gateway.cli.console.options import Named, console_options, seconds_of
from gateway.cli.console.tables import left
from gateway.cli.console.waiting import wait_until
from gateway.console.documents import GrantDocument
from gateway.console.words import approvers
from storage.ansi import printable


@click.command("request")
@click.argument("bundle")
@click.option("--reason", required=True, metavar="TEXT", help="Why; whoever decides reads it.")
@click.option("--duration", required=True, metavar="DURATION", help="How long: 30m, 1h30m.")
@click.option(
    "--wait", is_flag=True, help="Until it is decided; exit code 4 when denied, 8 when it took too long."
)
@click.option(
    "--timeout", default="10m", show_default=True, metavar="DURATION", help="With --wait: at most so long."
)
@console_options
def request(named: Named, bundle: str, reason: str, duration: str, wait: bool, timeout: str) -> None:
    """Ask for a bundle. It begins when it is approved, and ends by itself. Prints the id of the request.

    Example: kubetape grants request debug-prod --reason "ticket 7" --duration 30m
    """
    seconds_of(duration, "--duration")
    timeout_s = seconds_of(timeout, "--timeout")
    client = Client(named)
    body = {"bundle": bundle, "reason": reason, "duration": duration}
    grant = client.post("/api/v1/grants", body, GrantDocument)
    click.echo(grant.short_id)
    click.echo(printable(f"{bundle} waits for {approvers(grant)}"), err=True)
    if not wait:
        return
    grant = wait_until(
        lambda: client.get(f"/api/v1/grants/{grant.id}", GrantDocument),
        lambda one: one.state != "pending",
        timeout_s,
    )
    if grant.state in ("pending", "expired"):
        raise ApiFailure("nobody decided in time", EXIT_TIMED_OUT)
    if grant.state != "active":
        raise ApiFailure(f"{grant.state} by {grant.decided_by or 'an admin'}: {grant.note}", EXIT_DENIED)
    click.echo(printable(f"granted by {grant.decided_by}, {left(grant.ends_at)} left"), err=True)
