"""`kubetape store rebuild-index DIR|URL`: throw the index away and make it again from the log."""

import time
from pathlib import Path

import click

from gateway.cli.progress import Progress
from gateway.cli.sessions.exported import INDEX_VARIABLE, index_directory, is_store, open_exported
from gateway.cli.sessions.filters import key_option
from gateway.keys.opening import open_key_ring
from storage.index import INDEX_DIRECTORY
from storage.index import rebuild_index as rebuild
from storage.index_rows import IndexSettings
from storage.index_state import MODE_METADATA, MODE_NONE, recorded_mode
from storage.sources import SegmentLogs


@click.command("rebuild-index")
@click.argument("place", metavar="DIRECTORY|URL")
@click.option("--metadata-only", is_flag=True, help="No text in it: who, when, verb, object, status, sizes.")
@key_option
def rebuild_index(place: str, metadata_only: bool, key: tuple[Path, ...]) -> None:
    """Make the search index of data directory DIRECTORY again from its log, or that of an exported store
    (s3://BUCKET/PREFIX), which is kept on this machine.

    The index is a convenience: the log is the truth, and nothing of it is changed. Stop the gateway
    first. Of an encrypted log it holds text in the clear, unless the one that is there, or the flag, says metadata
    only. Progress goes to stderr.

    Example: kubetape store rebuild-index ./kubetape-data
    """
    if is_store(place):
        source = open_exported(place, key)
        data_dir, index_dir = Path("/"), index_directory(place)
        if index_dir is None:
            raise click.ClickException(f"{INDEX_VARIABLE} says that no index is to be kept")
    else:
        data_dir = _checked(Path(place))
        source = SegmentLogs(data_dir, keys=open_key_ring(data_dir, key, use_kms=True))
        index_dir = data_dir / INDEX_DIRECTORY
        metadata_only |= recorded_mode(index_dir) == MODE_METADATA
    settings = IndexSettings(metadata_only=metadata_only)
    began = time.monotonic()
    with Progress("indexing") as progress:
        records = rebuild(data_dir, progress.show, index_dir=index_dir, source=source, settings=settings)
    took_s = max(time.monotonic() - began, 1e-9)
    click.echo(f"indexed {records} records in {took_s:.1f} s ({records / took_s:.0f} a second)")


def _checked(directory: Path) -> Path:
    if not directory.is_dir():
        raise click.UsageError(f"directory {directory} does not exist")
    if not (directory / "log").is_dir():
        raise click.ClickException(f"{directory} holds no log/ directory: it is no data directory")
    if recorded_mode(directory / INDEX_DIRECTORY) == MODE_NONE:
        raise click.ClickException(
            f"the gateway of {directory} keeps no index on this disk (record.index: none); copy its log/ elsewhere"
        )
    return directory
