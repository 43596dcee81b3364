"""`kubetape lake`: ask with SQL what was recorded, and compact it for others who do. One verb a file.

Shared by the verbs: `opening` (a data directory or a store, as files to ask), `options`.
"""

from typing import Final

import click

from gateway.cli.lazy import Entry, LazyGroup

VERBS: Final = {
    "query": Entry("gateway.cli.lake.query:query", "Ask one SELECT of what was recorded."),
    "compact": Entry("gateway.cli.lake.compact:compact", "Make Parquet files of the rows, one an hour."),
}


@click.group("lake", cls=LazyGroup, table=VERBS)
def lake() -> None:
    """Ask with SQL what was recorded: tables api_calls, stream_events, control_events.

    Needs DuckDB: pip install 'kubetape[lake]'. The same tables for Athena, Trino and Spark are in
    deploy/lake. Rows come from sealed segments: the last minute is not in them.

    Example: kubetape lake query "SELECT user, count(*) FROM api_calls WHERE decision = 'deny' GROUP BY ALL"
    """
