"""`kubetape keys retire KEK_ID`: remove an old local key that no envelope needs."""

import time
from pathlib import Path

import click

from gateway.cli.directory import directory_option
from gateway.cli.keys.opening import (
    FILES,
    is_running,
    local_key_file,
    local_key_option,
    locked_keys,
)
from storage.encryption.envelopes import GARBLED, MISSING, list_segment_keys
from storage.encryption.key_pool import MAX_AGE_S
from storage.encryption.local_key import read_local_keys, retire_local_key


@click.command("retire")
@click.argument("kek_id")
@click.option("--yes", is_flag=True, help="Do not ask.")
@local_key_option
@directory_option
def retire(kek_id: str, yes: bool, local_key: Path | None, data_dir: Path) -> None:
    """Remove an old local key for ever.

    Refused while any segment needs it, while an envelope is missing or damaged that may need it, and in the first
    hour after a rotation while the gateway runs: it may still have data keys wrapped with the old one. Exported
    copies and backups with old envelopes cannot be opened afterwards.

    Example: kubetape keys retire local:20260131T100000Z-ab12
    """
    with locked_keys(data_dir):
        file = local_key_file(data_dir, local_key)
        segments = list(list_segment_keys(FILES, data_dir))
        users = [
            segment
            for segment in segments
            if segment.envelope is not None and kek_id in [wrap.kek_id for wrap in segment.envelope.wraps]
        ]
        if users:
            raise click.ClickException(
                f"{len(users)} segments are encrypted for {kek_id}, the first is {users[0].name.stem}: kubetape keys rewrap"
            )
        unsure = [segment for segment in segments if segment.state in (MISSING, GARBLED)]
        if unsure:
            raise click.ClickException(
                f"{len(unsure)} segments may need it, the first is {unsure[0].name.stem}: {unsure[0].problem}"
            )
        rest_s = read_local_keys(file)[0].made_s + MAX_AGE_S - time.time()
        if rest_s > 0 and is_running(data_dir):
            raise click.ClickException(
                f"the running gateway may hold data keys wrapped with {kek_id}: wait {rest_s / 60:.0f} minutes, rewrap, "
                "and retire it then; or stop the gateway, rewrap and retire"
            )
        if not yes:
            click.confirm(f"Remove {kek_id}? Copies of this log with older envelopes stay shut", abort=True)
        retire_local_key(file, kek_id)
    click.echo(f"{kek_id} is removed")
