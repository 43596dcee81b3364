"""What a person finds in a data directory: the calls its index lists, brought up to the end of the log first.

The same steps as `kubetape sessions ls` takes (`gateway.cli.sessions.opening`), without its process.
"""

from pathlib import Path
from typing import Final

from storage.index import INDEX_DIRECTORY, Indexer
from storage.index_schema import CallRow, GarbledIndex
from storage.query import Query
from storage.search import Archive
from storage.sources import SegmentLogs
from tests.crash.recorded import keys_of

MOST: Final = 1_000_000


def indexed_calls(data_dir: Path) -> list[CallRow]:
    """All calls, oldest first. A damaged index is made anew, as the command line does; nothing else is repaired."""
    source = SegmentLogs(data_dir, keys=keys_of(data_dir))
    try:
        return _calls(data_dir, source, anew=False)
    except GarbledIndex:
        return _calls(data_dir, source, anew=True)


def _calls(data_dir: Path, source: SegmentLogs, *, anew: bool) -> list[CallRow]:
    indexer = Indexer(data_dir, source=source)
    try:
        assert indexer.take_lock(), "nobody else indexes here"
        if anew:
            indexer.discard()
        while indexer.run_once():
            pass
        return Archive(data_dir / INDEX_DIRECTORY, source).calls(Query(), limit=MOST, oldest_first=True)
    finally:
        indexer.close()
