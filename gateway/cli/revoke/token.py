"""`kubetape revoke token`: end what one credential opens."""

import click

from gateway.cli.console.options import Named
from gateway.cli.revoke.ending import end_access, ending_options


@click.command("token")
@click.argument("credential_id", metavar="CREDENTIAL_ID")
@ending_options
def token(named: Named, credential_id: str, reason: str, period: str | None) -> None:
    """End what one token or client certificate opens; its owner's others go on. Prints the id of the revocation.

    CREDENTIAL_ID: 32 hex digits, as in the record and in `approvals show`; never the token itself.

    Example: kubetape revoke token 5f2b7c0d9e8a41b6a3c4d5e6f708192a --reason "found in a log"
    """
    end_access(named, "credential", credential_id, reason, period)
