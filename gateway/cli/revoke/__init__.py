"""`kubetape revoke`: end access at once. One verb a file; shared by them: `ending`, `gateway.cli.console`."""

from typing import Final

import click

from gateway.cli.lazy import Entry, LazyGroup

VERBS: Final = {
    "user": Entry("gateway.cli.revoke.user:user", "End a person's access, whatever the credential."),
    "token": Entry("gateway.cli.revoke.token:token", "End what one token or certificate opens."),
    "session": Entry("gateway.cli.revoke.session:session", "End one session."),
    "ls": Entry("gateway.cli.revoke.ls:ls", "List the revocations in force."),
    "lift": Entry("gateway.cli.revoke.lift:lift", "Give access back."),
}


@click.group("revoke", cls=LazyGroup, table=VERBS)
def revoke() -> None:
    """End access at once: watches, execs and port-forwards under way end within a second, with the reason.

    An admin may revoke anybody's (`console.admins` of the configuration), everybody his own token and session.

    Example: kubetape revoke user ann@example.com --reason "laptop stolen"
    """
