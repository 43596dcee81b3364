"""`kubetape store`: work on the files of a data directory. One verb a file.

Shared by the verbs: `opening` (a data directory or a bucket as files), `listing` (its segments as rows).
"""

from typing import Final

import click

from gateway.cli.lazy import Entry, LazyGroup

VERBS: Final = {
    "ls": Entry(
        "gateway.cli.store.ls:ls", "List the segments of a log: state, size, what is proven and held."
    ),
    "cat": Entry("gateway.cli.store.cat:cat", "Print the records of one segment as JSON lines."),
    "expire": Entry("gateway.cli.store.expire:expire", "Show or do what retention would delete."),
    "rebuild-index": Entry("gateway.cli.index:rebuild_index", "Make the search index again from the log."),
}


@click.group("store", cls=LazyGroup, table=VERBS)
def store() -> None:
    """Work on the files of a data directory.

    Example: kubetape store ls --data-dir ./kubetape-data
    """
