"""`kubetape store`: work on the files of a data directory. One verb a file."""

from typing import Final

import click

from gateway.cli.lazy import Entry, LazyGroup

VERBS: Final = {
    "rebuild-index": Entry("gateway.cli.index:rebuild_index", "Make the search index again from the log."),
}


@click.group("store", cls=LazyGroup, table=VERBS)
def store() -> None:
    """Work on the files of a data directory.

    Example: kubetape store rebuild-index ./kubetape-data
    """
