"""`kubetape keys rotate`: a new local key for new segments."""

from pathlib import Path

import click

from gateway.cli.directory import directory_option
from gateway.cli.keys.opening import local_key_file, local_key_option, locked_keys
from storage.encryption.local_key import rotate_local_key


@click.command("rotate")
@local_key_option
@directory_option
def rotate(local_key: Path | None, data_dir: Path) -> None:
    """Make a new local key; the older ones stay and open what they opened.

    A running gateway takes it for the data keys it makes from now on. Encrypt older segments for it with `kubetape
    keys rewrap`, then remove the old key with `kubetape keys retire`.

    Example: kubetape keys rotate --data-dir ./kubetape-data
    """
    with locked_keys(data_dir):
        kek = rotate_local_key(local_key_file(data_dir, local_key))
    click.echo(kek.kek_id)
    click.echo("new segments use it; next: kubetape keys rewrap", err=True)
