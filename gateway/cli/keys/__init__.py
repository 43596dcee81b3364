"""`kubetape keys`: the keys of an encrypted log. One verb a file.

Every verb works while a gateway is running: envelopes are replaced or deleted beside segments, and the local key
file is read again for every new segment. Shared by the verbs: `opening` (the data directory, its lock, what opens
it).
"""

from typing import Final

import click

from gateway.cli.lazy import Entry, LazyGroup

VERBS: Final = {
    "ls": Entry("gateway.cli.keys.ls:ls", "List the keys segments are encrypted for."),
    "new-recipient": Entry("gateway.cli.keys.new_recipient:new_recipient", "Make a key pair to encrypt for."),
    "rotate": Entry("gateway.cli.keys.rotate:rotate", "Make a new local key for new segments."),
    "rewrap": Entry("gateway.cli.keys.rewrap:rewrap", "Encrypt for the current keys what old keys open."),
    "retire": Entry("gateway.cli.keys.retire:retire", "Remove an old local key that nothing needs."),
    "shred": Entry("gateway.cli.keys.shred:shred", "Destroy the content of segments for ever."),
}


@click.group("keys", cls=LazyGroup, table=VERBS)
def keys() -> None:
    """The keys of an encrypted log: rotate, renew, destroy.

    Example: kubetape keys ls --data-dir ./kubetape-data
    """
