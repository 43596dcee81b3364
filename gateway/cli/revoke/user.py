"""`kubetape revoke user`: end a person's access."""

import click

from gateway.cli.console.options import Named
from gateway.cli.revoke.ending import end_access, ending_options


@click.command("user")
@click.argument("name")
@ending_options
def user(named: Named, name: str, reason: str, period: str | None) -> None:
    """End everything a person does, now and with every credential. Prints the id of the revocation.

    NAME: the user name exactly as the record shows it.

    Example: kubetape revoke user ann@example.com --reason "laptop stolen"
    """
    end_access(named, "user", name, reason, period)
