"""`kubetape keys ls`: for whom the segments of a data directory are encrypted, and which cannot be opened here."""

from collections.abc import Iterable
from pathlib import Path

import click
import msgspec

from gateway.cli.directory import directory_option
from gateway.cli.keys.opening import FILES, check_data_dir
from gateway.cli.output import Column, View, render
from gateway.cli.sessions.filters import key_option, output_options, style_from
from gateway.keys.opening import open_key_ring
from storage.ansi import printable
from storage.encryption.envelopes import CLEAR, GARBLED, MISSING, SHREDDED, SegmentKeys, list_segment_keys
from storage.encryption.keys import Envelope, KeyRing
from storage.encryption.local_key import default_path, read_local_keys
from storage.errors import NoKey, StorageError

_OTHER: dict[str, str] = {
    CLEAR: "(not encrypted)",
    SHREDDED: "(key destroyed)",
    MISSING: "(envelope missing)",
    GARBLED: "(envelope damaged)",
}


class KeyRow(msgspec.Struct):
    """One key encryption key, or one reason why segments need none or have none."""

    key: str
    segments: int = 0
    oldest: str = ""  # segment names
    newest: str = ""
    opens: str = ""  # "yes", "no", or why not
    use: str = ""  # "current" or "old" for local keys


@click.command("ls")
@click.option("--no-check", is_flag=True, help="Do not try the keys at hand: no call to a key service.")
@output_options
@key_option
@directory_option
def ls(
    no_check: bool,
    output_format: str,
    no_headers: bool,
    relative: bool,
    color: str,
    key: tuple[Path, ...],
    data_dir: Path,
) -> None:
    """List the keys segments are encrypted for, with the number of segments each opens.

    OPENS says whether a key at hand opens them, tried on the newest of each. Segments that no key opens have rows
    of their own: not encrypted, destroyed on purpose, envelope missing or damaged.

    Example: kubetape keys ls --data-dir ./kubetape-data --key audit.pem
    """
    check_data_dir(data_dir)
    ring = None if no_check else open_key_ring(data_dir, key, use_kms=True)
    segments = list(list_segment_keys(FILES, data_dir))
    style = style_from(output_format, no_headers, relative, color)
    for line in render(key_rows(segments, ring, _local_keys(data_dir)), _view(), style):
        click.echo(line)
    for segment in segments:
        if segment.state in (MISSING, GARBLED):
            click.echo(f"warning: log {segment.log}: {printable(segment.problem)}", err=True)


def _local_keys(data_dir: Path) -> list[str]:
    """Ids of the local keys, the current one first."""
    try:
        return [kek.kek_id for kek in read_local_keys(default_path(data_dir))]
    except (FileNotFoundError, StorageError):
        return []


def key_rows(segments: Iterable[SegmentKeys], ring: KeyRing | None, local: list[str]) -> list[KeyRow]:
    """One row a key, in the order of first use; local keys without any segment too."""
    rows: dict[str, KeyRow] = {}
    newest: dict[str, Envelope] = {}
    for segment in segments:
        if segment.envelope is None:
            _count(rows, _OTHER[segment.state], segment)
            continue
        for wrap in segment.envelope.wraps:
            _count(rows, wrap.kek_id, segment)
            newest[wrap.kek_id] = msgspec.structs.replace(segment.envelope, wraps=(wrap,))
    for kek_id in local:
        rows.setdefault(kek_id, KeyRow(kek_id))
    for row in rows.values():
        if row.key in local:
            row.use = "current" if row.key == local[0] else "old"
        if ring is not None and row.key in newest:
            row.opens = _opens(ring, newest[row.key])
    return list(rows.values())


def _count(rows: dict[str, KeyRow], key: str, segment: SegmentKeys) -> None:
    row = rows.setdefault(key, KeyRow(key, oldest=segment.name.stem))
    row.segments += 1
    row.newest = segment.name.stem


def _opens(ring: KeyRing, envelope: Envelope) -> str:
    try:
        ring.unwrap(envelope)  # not data_key, which remembers what another wrap opened
    except NoKey:
        return "no"
    except StorageError as error:
        return f"no: {error}"
    return "yes"


def _view() -> View[KeyRow]:
    return View(
        (
            Column("KEY", lambda row: row.key),
            Column("SEGMENTS", lambda row: str(row.segments)),
            Column("OPENS", lambda row: row.opens or "-"),
            Column("USE", lambda row: row.use or "-"),
            Column("OLDEST", lambda row: row.oldest or "-", wide=True),
            Column("NEWEST", lambda row: row.newest or "-", wide=True),
        ),
        data=msgspec.structs.asdict,
        name=lambda row: row.key,
    )
