"""`kubetape revoke session`: end one session."""

import click

from gateway.cli.console.options import Named
from gateway.cli.revoke.ending import end_access, ending_options


@click.command("session")
@click.argument("session_id", metavar="SESSION_ID")
@ending_options
def session(named: Named, session_id: str, reason: str, period: str | None) -> None:
    """End one session: what runs in it, and what would begin in it. Prints the id of the revocation.

    SESSION_ID: all 26 characters, from `kubetape sessions ls --sessions`.

    Example: kubetape revoke session 01KG9ZK7M0ANN0000000000000 --reason "does what it should not"
    """
    end_access(named, "session", session_id.upper(), reason, period)
