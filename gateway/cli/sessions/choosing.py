"""An id -> the one call that can be played, followed or written as a recording."""

from typing import Final

import click

from storage.index_schema import CallRow
from storage.search import Archive
from storage.search_rows import describe

STREAM_KINDS: Final = frozenset(("exec", "attach", "log"))


def choose_stream(archive: Archive, id: str) -> CallRow:
    """The stream an id means: the call itself, or the only one of a command or session.

    Raises NotFound, AmbiguousId, and click.ClickException where there is none or more than one.
    """
    found = archive.resolve(id)
    streams = [row for row in archive.calls_of(found) if row.kind in STREAM_KINDS]
    if len(streams) == 1:
        return streams[0]
    if not streams:
        raise click.ClickException(
            f"{found.kind} {found.id} holds no terminal and no log output; see it with: kubetape sessions get {id}"
        )
    some = "; ".join(f"{row.exchange.hex()[:11]} {describe(row)}" for row in streams[:5])
    raise click.ClickException(f"{found.kind} {found.id} holds {len(streams)} streams, name one: {some}")
