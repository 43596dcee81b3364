"""`kubetape keys new-recipient FILE`: a key pair; the public half goes into the configuration."""

from pathlib import Path

import click

from storage.encryption.hpke_key import generate_recipient


@click.command("new-recipient")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--hybrid", is_flag=True, help="ML-KEM-768 with X25519, for logs that must stay shut for decades."
)
def new_recipient(file: Path, hybrid: bool) -> None:
    """Make a key pair: the private key in FILE, the recipient line on stdout.

    The line goes into the configuration of the gateway (record.encryption.hpkeRecipients); FILE does not go
    near the gateway, is kept where auditors are, and is copied to a safe place: without it the log cannot be read.

    Example: kubetape keys new-recipient audit.pem
    """
    click.echo(generate_recipient(file, hybrid=hybrid))
    click.echo(f"private key in {file}; give it to kubetape sessions with --key {file}", err=True)
