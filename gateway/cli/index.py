"""`kubetape store rebuild-index DIR`: throw the index away and make it again from the log."""

import time
from pathlib import Path

import click

from gateway.cli.progress import Progress
from storage.index import rebuild_index as rebuild


@click.command("rebuild-index")
@click.argument("directory", type=click.Path(path_type=Path, exists=True, file_okay=False))
def rebuild_index(directory: Path) -> None:
    """Make the search index of data directory DIRECTORY again from its log.

    The index is a convenience: the log is the truth, and nothing of it is changed. Stop the gateway
    first. Progress goes to stderr.

    Example: kubetape store rebuild-index ./kubetape-data
    """
    if not (directory / "log").is_dir():
        raise click.ClickException(f"{directory} holds no log/ directory: it is no data directory")
    began = time.monotonic()
    with Progress("indexing") as progress:
        records = rebuild(directory, progress.show)
    took_s = max(time.monotonic() - began, 1e-9)
    click.echo(f"indexed {records} records in {took_s:.1f} s ({records / took_s:.0f} a second)")
