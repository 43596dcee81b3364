"""`kubetape approvals`: calls that wait for a person. One verb a file; shared by them: `gateway.cli.console`."""

from typing import Final

import click

from gateway.cli.lazy import Entry, LazyGroup

VERBS: Final = {
    "ls": Entry("gateway.cli.approvals.ls:ls", "List what waits, or all that is remembered."),
    "show": Entry("gateway.cli.approvals.show:show", "Show the exact request, and wait for its decision."),
    "approve": Entry("gateway.cli.approvals.approve:approve", "Approve a call."),
    "deny": Entry("gateway.cli.approvals.deny:deny", "Deny a call, and say why."),
    "watch": Entry("gateway.cli.approvals.watch:watch", "Print what waits as soon as it does."),
}


@click.group("approvals", cls=LazyGroup, table=VERBS)
def approvals() -> None:
    """Calls that a rule holds until a person decides.

    Exit codes beside the usual: 4 denied, or not yours to decide; 5 not authenticated; 6 not reachable; 8 nobody
    decided in time.

    Example: kubetape approvals watch
    """
