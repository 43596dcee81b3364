"""`kubetape holds`: what must not be deleted. One verb a file; shared by them: `opening`.

All of them work while a gateway is running: it reads the holds before every deletion.
"""

from typing import Final

import click

from gateway.cli.lazy import Entry, LazyGroup

VERBS: Final = {
    "add": Entry("gateway.cli.holds.add:add", "Forbid the deletion of what a session, user or time left."),
    "ls": Entry("gateway.cli.holds.ls:ls", "List the holds in force."),
    "rm": Entry("gateway.cli.holds.rm:rm", "Lift a hold."),
}


@click.group("holds", cls=LazyGroup, table=VERBS)
def holds() -> None:
    """Legal holds: records that retention must not delete, whatever their age.

    Example: kubetape holds add --session 01KG9ZK7M0ANN0000000000000 --reason "case 17"
    """
