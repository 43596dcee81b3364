"""A data directory or a store -> the files a question is asked of.

Three cases. Rows were made by the gateway: they are used as they are, nothing is written. There are none (a
copy, or rows are turned off): they are made in a private temporary directory, from the sealed segments. A
store: the rows asked for are fetched into one. The trap: rows are never made in the data directory from
here, because what lies there is exported, and only the gateway's configuration says how much it may say.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import click

from gateway.cli.progress import Progress
from gateway.keys.opening import open_key_ring
from gateway.lake.fetch import ObjectStore, fetch_rows
from gateway.lake.files import LakeFiles, RowFile, local_rows, with_manifest
from storage.ansi import printable
from storage.encryption.keys import KeyRing
from storage.files import REAL_FILES
from storage.lake.rows_state import ROWS_DIRECTORY, load_state
from storage.lake.rows_writer import RowsWriter
from storage.lake.settings import RowSettings
from storage.sources import LOG_DIRECTORY


class Rows(NamedTuple):
    """Row files and the directory that holds all of them."""

    files: tuple[RowFile, ...]
    directory: Path


@contextmanager
def data_dir_rows(data_dir: Path, key_files: Sequence[Path] = ()) -> Iterator[Rows]:
    """The rows of a data directory. Raises ClickException, StorageError, OSError.

    key_files: what opens an encrypted log beside its own local key, where rows must be made.
    """
    rows_dir, has_log = data_dir / ROWS_DIRECTORY, (data_dir / LOG_DIRECTORY).is_dir()
    if not has_log and not rows_dir.is_dir():
        raise click.ClickException(
            f"{data_dir} holds neither log/ nor rows/; name the data directory with --data-dir"
        )
    if not has_log or any(load_state(rows_dir, log) for log in _names(rows_dir)):
        yield Rows(local_rows(rows_dir), rows_dir)
        return
    with tempfile.TemporaryDirectory(prefix="kubetape-rows-") as temporary:
        made = Path(temporary) / ROWS_DIRECTORY
        _make_rows(data_dir, made, open_key_ring(data_dir, key_files, use_kms=True))
        yield Rows(local_rows(made), made)


@contextmanager
def store_rows(store: ObjectStore, since_ns: int) -> Iterator[Rows]:
    """What a store has of calls that began at `since_ns` or later. Raises LakeFailed, OSError."""
    with tempfile.TemporaryDirectory(prefix="kubetape-rows-") as temporary:
        directory = Path(temporary)
        yield Rows(fetch_rows(store, directory, since_ns=since_ns), directory)


def all_files(rows: Rows, lake_dir: Path | None) -> LakeFiles:
    """What a question is asked of: the rows, and Parquet files that hold some of them already."""
    if lake_dir is None:
        return LakeFiles(rows.files, {}, (rows.directory,))
    return with_manifest(rows.files, rows.directory, lake_dir)


def _make_rows(data_dir: Path, rows_dir: Path, keys: KeyRing) -> None:
    writer = RowsWriter(data_dir, rows_dir=rows_dir, settings=RowSettings(), keys=keys)
    try:
        with Progress("making rows") as progress:
            while writer.run_once():
                progress.show(writer.rows_made)
        for skipped in writer.unreadable:
            click.echo(f"warning: segment {skipped.stem} is missing: {printable(skipped.why)}", err=True)
    finally:
        writer.close()


def _names(directory: Path) -> list[str]:
    try:
        return REAL_FILES.names(directory)
    except FileNotFoundError:
        return []
