"""Where the verbs read from: a data directory on this disk, or a bucket that looks like one.

A bucket is listed once. What only a gateway's own disk has (legal holds, the index, the export's notes) is not there.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import click

from gateway.cli.keys.opening import FILES, check_data_dir
from gateway.cli.sessions.filters import data_dir_option
from gateway.keys.opening import open_key_ring
from storage.encryption.keys import KeyRing
from storage.files import FileOps
from storage.retention.inventory import Entry, list_entries
from storage.sources import LOG_DIRECTORY, log_names

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


class Store(NamedTuple):
    """data_dir: below which `log/` lies; is_local: on this disk."""

    files: FileOps
    data_dir: Path
    is_local: bool
    keys: KeyRing

    def logs(self) -> list[str]:
        return log_names(self.files, self.data_dir / LOG_DIRECTORY)

    def directory(self, log: str) -> Path:
        return self.data_dir / LOG_DIRECTORY / log

    def find(self, segment: str) -> tuple[str, Entry]:
        """The log and files of a segment, by its stem, its beginning or a file name. Raises ClickException."""
        wanted = Path(segment).name.partition(".")[0]
        found = [
            (log, entry)
            for log in self.logs()
            for entry in list_entries(self.files, self.directory(log))
            if entry.name.stem.startswith(wanted)
        ]
        if len(found) != 1 or not wanted:
            what = f"{len(found)} segments have names that begin so" if found else "there is no such segment"
            raise click.ClickException(f"{segment}: {what}; kubetape store ls shows those there are")
        return found[0]


def store_options(command: Decorated) -> Decorated:
    """Add --data-dir, --store and --key; they arrive as arguments for `open_store`."""
    return click.option(
        "--store",
        "store_url",
        metavar="URL",
        help="s3://BUCKET/PREFIX: read what was exported instead.",
    )(data_dir_option(command))


def open_store(data_dir: Path, store_url: str | None, key: tuple[Path, ...]) -> Store:
    """Raises ClickException, BadStoreUrl, BadKeyFile, OSError."""
    if store_url is not None:
        from gateway.store.s3_files import S3Files, open_files  # boto3 takes a third of a second

        return Store(open_files(store_url), S3Files.root, False, open_key_ring(data_dir, key, use_kms=True))
    check_data_dir(data_dir)
    return Store(FILES, data_dir, True, open_key_ring(data_dir, key, use_kms=True))
