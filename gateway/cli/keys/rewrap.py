"""`kubetape keys rewrap`: envelopes of old keys become envelopes of the current ones. Data is not touched."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import click

from gateway.cli.directory import directory_option
from gateway.cli.keys.opening import (
    FILES,
    local_key_file,
    local_key_option,
    locked_keys,
)
from gateway.cli.progress import Progress
from gateway.cli.sessions.filters import key_option
from gateway.keys.opening import open_key_ring
from storage.ansi import printable
from storage.encryption.envelopes import Target, list_segment_keys
from storage.encryption.envelopes import rewrap as renew
from storage.encryption.hpke_key import HpkeRecipient
from storage.encryption.keys import KeyRing
from storage.encryption.local_key import LocalKey, default_path, read_local_keys
from storage.errors import StorageError

SYNC_EVERY: Final = 64
"""Envelopes between two syncs of a directory."""


class Plan(NamedTuple):
    """For whom, and which kinds of wraps are replaced; wraps of other kinds stay."""

    targets: tuple[Target, ...]
    kinds: frozenset[str]


@click.command("rewrap")
@click.option(
    "--to", "recipients", metavar="RECIPIENT", multiple=True, help="For this public key. Repeatable."
)
@click.option("--local", is_flag=True, help="For the current local key; the default.")
@click.option("--only", is_flag=True, help="And for nobody else: wraps of every other kind are dropped.")
@local_key_option
@key_option
@directory_option
def rewrap(
    recipients: tuple[str, ...],
    local: bool,
    only: bool,
    local_key: Path | None,
    key: tuple[Path, ...],
    data_dir: Path,
) -> None:
    """Encrypt the data keys of all segments for the current keys.

    --local replaces what local keys wrap, --to what recipients wrap; a key service's wraps stay (KMS rotates by
    itself), and so does everything not named, unless --only. Needs a key that opens what is there. Can be stopped
    and run again at any time. Copies in a bucket or a backup are not changed.

    Example: kubetape keys rewrap --to x25519:HC4lv... --key old-audit.pem
    """
    with locked_keys(data_dir):
        plan = _plan(recipients, local or not recipients, only, data_dir, local_key)
        key_files = key if local_key is None else (*key, local_key)
        ring = open_key_ring(data_dir, key_files, use_kms=True)
        renewed, problems = _renew(data_dir, ring, plan)
        click.echo(f"{renewed} envelopes renewed")
        for problem in problems[:10]:
            click.echo(f"error: {printable(problem)}", err=True)
        if problems:
            raise click.ClickException(f"{len(problems)} segments keep the envelopes they had")
        _say_unused(data_dir, local_key)


def _plan(recipients: Sequence[str], local: bool, only: bool, data_dir: Path, local_key: Path | None) -> Plan:
    targets: list[Target] = []
    kinds: set[str] = set()
    if local:
        wrapper = LocalKey(local_key_file(data_dir, local_key))
        targets.append(Target(wrapper.keks()[0].kek_id, wrapper))
        kinds.add("local")
    for text in dict.fromkeys(recipients):
        recipient = HpkeRecipient(text)
        targets.append(Target(recipient.kek_id, recipient))
        kinds.add("hpke")
    return Plan(tuple(targets), frozenset(kinds | {"local", "hpke", "aws"} if only else kinds))


def _renew(data_dir: Path, ring: KeyRing, plan: Plan) -> tuple[int, list[str]]:
    """(envelopes renewed, what went wrong)."""
    problems: list[str] = []
    unsynced: Counter[Path] = Counter()
    renewed = 0
    with Progress("renewing", "envelopes") as progress:
        for segment in list(list_segment_keys(FILES, data_dir)):
            try:
                if renew(FILES, segment, ring, plan.targets, plan.kinds):
                    renewed += 1
                    unsynced[segment.directory] += 1
            except FileNotFoundError:
                pass  # deleted by retention since it was listed
            except StorageError as error:
                problems.append(f"{segment.name.stem}: {error}")
            if unsynced[segment.directory] >= SYNC_EVERY:
                FILES.sync_directory(segment.directory)
                del unsynced[segment.directory]
            progress.show(renewed)
    for directory in unsynced:
        FILES.sync_directory(directory)
    return renewed, problems


def _say_unused(data_dir: Path, local_key: Path | None) -> None:
    """Old local keys that no envelope needs any more."""
    used = {
        wrap.kek_id
        for segment in list_segment_keys(FILES, data_dir)
        if segment.envelope is not None
        for wrap in segment.envelope.wraps
    }
    try:
        _, *old = read_local_keys(local_key or default_path(data_dir))
    except FileNotFoundError:
        return
    for kek in old:
        if kek.kek_id not in used:
            click.echo(f"{kek.kek_id} is no longer used here: kubetape keys retire {kek.kek_id}", err=True)
