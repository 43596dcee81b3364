"""`kubetape grants`: access just in time. One verb a file; shared by them: `gateway.cli.console`."""

from typing import Final

import click

from gateway.cli.lazy import Entry, LazyGroup

VERBS: Final = {
    "bundles": Entry("gateway.cli.grants.bundles:bundles", "List what you may ask for."),
    "request": Entry("gateway.cli.grants.request:request", "Ask for a bundle."),
    "ls": Entry("gateway.cli.grants.ls:ls", "List grants and requests, with the time they have left."),
    "approve": Entry("gateway.cli.grants.approve:approve", "Approve a request."),
    "deny": Entry("gateway.cli.grants.deny:deny", "Deny a request, and say why."),
    "revoke": Entry("gateway.cli.grants.revoke:revoke", "End a grant, or withdraw a request."),
}


@click.group("grants", cls=LazyGroup, table=VERBS)
def grants() -> None:
    """Bundles of rules that count for a person for a while, once somebody approved.

    Exit codes beside the usual: 4 denied, or not yours to decide; 5 not authenticated; 6 not reachable; 8 nobody
    decided in time.

    Example: kubetape grants request debug-prod --reason "ticket 7" --duration 30m --wait
    """
