"""A data directory, live or copied, or an exported store -> its logs, what opens them, an index that is up to date.

Three cases of a directory. Nobody indexes here (a copy, or the gateway is down): this process does, before it reads.
A gateway does: its index is used, after a short wait if it is behind. Nothing may be written here: an
index is made in a private temporary directory and removed afterwards; so is that of an encrypted log beside which
no index stands: text that somebody encrypted is not left on a disk in the clear without being asked.
The trap: the index is never trusted over the log, so a damaged one is made anew and the verb run again.
"""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import click

from gateway.cli.progress import Progress
from gateway.cli.sessions.exported import index_directory, is_store, open_exported
from gateway.keys.opening import open_key_ring
from storage.ansi import printable
from storage.encryption.keys import SUFFIX_KEYS, KeyRing
from storage.errors import BadKeyFile, CorruptFrame, NoKey, StorageError, UnknownDictionary, WrongKey
from storage.index import INDEX_DIRECTORY, Indexer
from storage.index_rows import IndexSettings
from storage.index_schema import LOCK_FILE, GarbledIndex, IndexFailed, day_files
from storage.index_state import MODE_METADATA, MODE_NONE, indexed_up_to, recorded_mode
from storage.search import Archive
from storage.sources import LOG_DIRECTORY, SegmentLogs, is_locked

WAIT_S: Final = 2.0
"""For the gateway's indexer, which looks at the log four times a second."""
POLL_S: Final = 0.05
MAX_BEHIND: Final = 20_000
"""Records looked at to see how far behind it is: more than it does while we wait."""

NOWHERE: Final = Path("/")
"""The data directory of a store, as its files see it; nothing of this machine is read there."""

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


def with_library(
    data_dir: str, key_files: Sequence[Path], use: Callable[[Library], Result], *, follow: bool = False
) -> Result:
    """Open, use, close; if the index turns out to be damaged, make it anew and use it once more.

    data_dir: or the URL of an exported store. key_files: what opens an encrypted log beside its own local key. follow: `Library.follow` will be called; else
    the index is free for a gateway that starts meanwhile.
    """
    if is_store(data_dir):
        opened = partial(_exported_library, data_dir, open_exported(data_dir, key_files))
    else:
        path = Path(data_dir)
        if not (path / LOG_DIRECTORY).is_dir():
            raise click.ClickException(
                f"{path} holds no log/ directory; name the data directory with --data-dir"
            )
        keys = open_key_ring(path, key_files, use_kms=True)
        opened = partial(open_library, path, keys, follow=follow)
    try:
        with opened() as library:
            return use(library)
    except GarbledIndex as error:
        click.echo(f"note: the index is damaged and is made again ({printable(str(error))})", err=True)
    with opened(anew=True) as library:
        return use(library)


@contextmanager
def _exported_library(url: str, source: SegmentLogs, *, anew: bool = False) -> Iterator[Library]:
    """What was exported does not grow under us: a new listing is a new command."""
    directory = index_directory(url)
    if directory is None:
        with _temporary_index(NOWHERE, source) as temporary:
            yield Library(source, Archive(temporary.directory, source), None)
        return
    indexer = Indexer(NOWHERE, index_dir=directory, source=source)
    try:
        if not indexer.take_lock():
            raise click.ClickException(f"another command is indexing {url} in {directory}; try again")
        if anew:
            indexer.discard()
        catch_up(indexer)
        yield Library(source, Archive(directory, source), None)
    finally:
        indexer.close()


@contextmanager
def open_library(path: Path, keys: KeyRing, *, follow: bool = False, anew: bool = False) -> Iterator[Library]:
    source = SegmentLogs(path, keys=keys)
    mode = recorded_mode(path / INDEX_DIRECTORY)
    if mode == MODE_NONE or (not mode and not anew and is_encrypted(path)):
        with _temporary_index(path, source) as temporary:
            yield Library(source, Archive(temporary.directory, source), temporary)
        return
    indexer = Indexer(path, source=source, settings=IndexSettings(metadata_only=mode == MODE_METADATA))
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


def is_encrypted(path: Path) -> bool:
    """Whether any segment of a data directory has a key envelope."""
    return next((path / LOG_DIRECTORY).glob(f"*/*{SUFFIX_KEYS}"), None) is not None


def catch_up(indexer: Indexer) -> None:
    """Index to the current end of the log. Damage in a log is said on stderr; what lies before it is there.

    Raises NoKey when nothing at all can be read.
    """
    with Progress("indexing") as progress:
        try:
            while indexer.run_once():
                progress.show(indexer.indexed)
        except NoKey as error:
            if not day_files(indexer.directory):
                raise
            click.echo(f"warning: a part of the log is not shown: {printable(str(error))}", err=True)
        except (CorruptFrame, UnknownDictionary, BadKeyFile, WrongKey) as error:
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
