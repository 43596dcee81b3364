"""A data directory, live or copied -> its logs and an index that is up to date.

Three cases. Nobody indexes here (a copy, or the gateway is down): this process does, before it reads.
A gateway does: its index is used, after a short wait if it is behind. Nothing may be written here: an
index is made in a private temporary directory and removed afterwards.
The trap: the index is never trusted over the log, so a damaged one is made anew and the verb run again.
"""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import click

from gateway.cli.progress import Progress
from storage.ansi import printable
from storage.errors import CorruptFrame, StorageError, UnknownDictionary
from storage.index import INDEX_DIRECTORY, Indexer
from storage.index_schema import LOCK_FILE, GarbledIndex, IndexFailed
from storage.index_state import indexed_up_to
from storage.search import Archive
from storage.sources import LOG_DIRECTORY, SegmentLogs, is_locked

WAIT_S: Final = 2.0
"""For the gateway's indexer, which looks at the log four times a second."""
POLL_S: Final = 0.05
MAX_BEHIND: Final = 20_000
"""Records looked at to see how far behind it is: more than it does while we wait."""

Result = TypeVar("Result")


class Library(NamedTuple):
    """An open data directory. indexer: set if it is this process that keeps the index up."""

    source: SegmentLogs
    archive: Archive
    indexer: Indexer | None

    def follow(self) -> None:
        """Bring the index up to the end of the log, if that is our task."""
        if self.indexer is not None:
            catch_up(self.indexer)


def with_library(data_dir: str, use: Callable[[Library], Result], *, follow: bool = False) -> Result:
    """Open, use, close; if the index turns out to be damaged, make it anew and use it once more.

    follow: `Library.follow` will be called; else the index is free for a gateway that starts meanwhile.
    """
    path = Path(data_dir)
    if not (path / LOG_DIRECTORY).is_dir():
        raise click.ClickException(f"{path} holds no log/ directory; name the data directory with --data-dir")
    try:
        with open_library(path, follow=follow) as library:
            return use(library)
    except GarbledIndex as error:
        click.echo(f"note: the index is damaged and is made again ({printable(str(error))})", err=True)
    with open_library(path, follow=follow, anew=True) as library:
        return use(library)


@contextmanager
def open_library(path: Path, *, follow: bool = False, anew: bool = False) -> Iterator[Library]:
    source = SegmentLogs(path)
    indexer = Indexer(path, source=source)
    try:
        try:
            is_ours = indexer.take_lock()
        except IndexFailed:
            is_ours = False
        if is_ours:
            if anew:
                indexer.discard()
            catch_up(indexer)
            if not follow:
                indexer.close()
            yield Library(source, Archive(indexer.directory, source), indexer if follow else None)
        elif not anew and is_locked(path / INDEX_DIRECTORY / LOCK_FILE):
            _wait_for_gateway(source, indexer.directory)
            yield Library(source, Archive(indexer.directory, source), None)
        else:
            with _temporary_index(path, source) as temporary:
                yield Library(source, Archive(temporary.directory, source), temporary)
    finally:
        indexer.close()


@contextmanager
def _temporary_index(path: Path, source: SegmentLogs) -> Iterator[Indexer]:
    directory = Path(tempfile.mkdtemp(prefix="kubetape-index-"))
    indexer = Indexer(path, index_dir=directory, source=source)
    try:
        catch_up(indexer)
        yield indexer
    finally:
        indexer.close()
        shutil.rmtree(directory, ignore_errors=True)


def catch_up(indexer: Indexer) -> None:
    """Index to the current end of the log. Damage in a log is said on stderr; what lies before it is there."""
    with Progress("indexing") as progress:
        try:
            while indexer.run_once():
                progress.show(indexer.indexed)
        except (CorruptFrame, UnknownDictionary) as error:
            click.echo(
                f"warning: the log is damaged, what follows is not shown: {printable(str(error))}", err=True
            )


def _wait_for_gateway(source: SegmentLogs, directory: Path) -> None:
    """Until its index has what was in the log when we came."""
    wanted: dict[str, int] = {}
    try:
        for log, position in indexed_up_to(directory, source).items():
            behind = source.records(log, position.next() if position is not None else None)
            for last, _ in islice(behind, MAX_BEHIND):
                wanted[log] = last.record_seq
    except (StorageError, OSError):
        return  # the reader will say what is wrong, if it matters to the answer
    give_up_s = time.monotonic() + WAIT_S
    while wanted and time.monotonic() < give_up_s:
        time.sleep(POLL_S)
        for log, position in indexed_up_to(directory, source).items():
            if position is not None and position.record_seq >= wanted.get(log, 0):
                wanted.pop(log, None)
    if wanted:
        click.echo("note: the gateway is still indexing; the latest calls may be missing", err=True)
