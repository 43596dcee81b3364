"""What the verbs on keys share: a data directory, and files in it that the gateway can use."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click

from gateway.cli.directory import Decorated
from storage.encryption.local_key import default_path, key_lock, own_as
from storage.files import FileOps, RealFiles
from storage.sources import LOCK_NAME, LOG_DIRECTORY, is_locked, log_names


class OwnedFiles(RealFiles):
    """Real files; what root makes belongs to whom the directory belongs: a gateway that is not root reads it."""

    def create(self, path: Path) -> int:
        fd = super().create(path)
        own_as(fd, path.parent)
        return fd


FILES: Final[FileOps] = OwnedFiles()


def check_data_dir(path: Path) -> None:
    if not (path / LOG_DIRECTORY).is_dir():
        raise click.ClickException(f"{path} holds no log/ directory; name the data directory with --data-dir")


@contextmanager
def locked_keys(path: Path) -> Iterator[None]:
    """A data directory whose keys nobody else changes meanwhile. Raises BadKeyFile."""
    check_data_dir(path)
    with key_lock(path):
        yield


def is_running(path: Path) -> bool:
    """Whether a gateway writes any log of a data directory now."""
    logs = path / LOG_DIRECTORY
    return any(is_locked(logs / log / LOCK_NAME) for log in log_names(FILES, logs))


def local_key_file(path: Path, named: Path | None) -> Path:
    """The local key file to work on. Raises click.ClickException when there is none."""
    file = named or default_path(path)
    if not os.path.lexists(file):
        raise click.ClickException(
            f"{file} is not there: this gateway encrypts for others, or its localKey is elsewhere: name it with "
            "--local-key FILE"
        )
    return file


def local_key_option(command: Decorated) -> Decorated:
    return click.option(
        "--local-key",
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="The local key file, where the configuration's localKey names another than keys/local.key.",
    )(command)
