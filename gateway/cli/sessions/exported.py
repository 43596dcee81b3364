"""An exported store, s3://BUCKET/PREFIX -> its logs, and where their index is kept on this machine.

Making an index means reading the bucket, so it is kept: in a directory of this user's, where a later command only
reads what has been exported since. It holds clear text, if the log was readable; KUBETAPE_INDEX_DIR names another
place, and "none" keeps nothing.
"""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from gateway.keys.opening import open_key_ring
from gateway.store.s3_files import S3Files, open_bucket
from storage.sources import SegmentLogs

INDEX_VARIABLE: Final = "KUBETAPE_INDEX_DIR"
KEEP_NOTHING: Final = "none"


def is_store(place: str) -> bool:
    """Whether a place is a store and not a directory."""
    return place.startswith("s3://")


def open_exported(url: str, key_files: Sequence[Path]) -> SegmentLogs:
    """The logs of a store, listed once. Raises StorageError, OSError, and ClickException when there are none."""
    bucket = open_bucket(url)
    files = S3Files(bucket, bucket.settings.prefix)
    source = SegmentLogs(files.root, files=files, keys=open_key_ring(None, key_files, use_kms=True))
    if not source.logs():
        raise click.ClickException(f"{url} holds no exported log: is the prefix the one of export.s3?")
    return source


def index_directory(url: str) -> Path | None:
    """Where the index of a store is kept; None: nowhere. Says so when it is made."""
    named = os.environ.get(INDEX_VARIABLE, "")
    if named == KEEP_NOTHING:
        return None
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    above = Path(named) if named else cache / "kubetape"
    directory = above / hashlib.sha256(url.rstrip("/").encode()).hexdigest()[:16]
    if not directory.exists():
        directory.mkdir(parents=True, mode=0o700)
        click.echo(
            f"note: the index of {url} is kept in {directory}; it holds text in the clear ({INDEX_VARIABLE} names "
            f"another place, or {KEEP_NOTHING})",
            err=True,
        )
    return directory
