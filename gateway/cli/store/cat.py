"""`kubetape store cat SEGMENT`: the records of one segment as JSON lines."""

import base64
from collections.abc import Iterator
from pathlib import Path

import click

from gateway.cli.output import encode_json
from gateway.cli.sessions.record_json import record_data
from gateway.cli.store.opening import Store, open_store, store_options
from storage.errors import UNDECODABLE
from storage.reader import Position, read_segment
from storage.records import decode_record
from storage.retention.deleted import NO_TOMBSTONE, read_why_gone


@click.command("cat")
@click.argument("segment")
@store_options
def cat(segment: str, data_dir: Path, key: tuple[Path, ...], store_url: str | None) -> None:
    """Print every record of one segment, in order, one JSON object a line.

    SEGMENT is its name as store ls shows it, the beginning of that, or a file name. A sealed segment is proven while
    it is read: damage ends the output with an error that says where. Nothing of a segment is changed.

    Example: kubetape store cat 1769853600000-000001-00000001-1f2e3d4c | jq .type
    """
    store = open_store(data_dir, store_url, key)
    for line in _lines(store, segment):
        click.echo(line)


def _lines(store: Store, segment: str) -> Iterator[str]:
    log, entry = store.find(segment)
    directory, stem = store.directory(log), entry.name.stem
    if entry.state is None:
        raise click.ClickException(read_why_gone(store.files, directory, stem) or f"{stem}: {NO_TOMBSTONE}")
    for frame in read_segment(entry.path(directory), files=store.files, keys=store.keys):
        for index, encoded in enumerate(frame.records):
            at = Position(stem, frame.info.offset, index, frame.info.first_record_seq + index)
            yield encode_json(_data(log, at, encoded))


def _data(log: str, at: Position, encoded: bytes) -> dict[str, object]:
    try:
        return record_data(log, at, decode_record(encoded))
    except UNDECODABLE:  # a bug of the writer; the frame around it is intact
        data = base64.b64encode(encoded).decode("ascii")
        return {"log": log, "seq": at.record_seq, "type": "Unreadable", "data_base64": data}
