"""`kubetape sessions tail`: new calls as they happen, or the output of one stream as it comes."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

from gateway.cli.output import render_one_by_one
from gateway.cli.sessions.choosing import choose_stream
from gateway.cli.sessions.filters import (
    filter_options,
    output_options,
    query_from,
    record_option,
    style_from,
)
from gateway.cli.sessions.opening import Library, with_library
from gateway.cli.sessions.views import call_view
from storage.ansi import RESTORE_TERMINAL
from storage.cast import terminal_events
from storage.index_schema import CallRow
from storage.query import Query
from storage.records import AnyRecord, Outcome, UnknownRecord
from storage.timeline import read_call

POLL_S: Final = 0.25
OVERLAP_NS: Final = 5_000_000_000
"""Workers are indexed one after another: a call may appear after a later one of another worker."""
MAX_NEW: Final = 10_000
_LONG: Final = frozenset(("exec", "attach", "portforward", "log", "watch"))


@click.command("tail")
@click.argument("id", required=False)
@filter_options
@click.option("--match", metavar="FILTER", default="", help="Further filter, as `sessions search` takes it.")
@click.option("--new", is_flag=True, help="Of a stream: only what comes from now on.")
@click.option("--limit", type=click.IntRange(1), help="Stop after so many rows.")
@output_options
@record_option
def tail(
    id: str | None,
    match: str,
    new: bool,
    limit: int | None,
    output_format: str,
    no_headers: bool,
    relative: bool,
    color: str,
    data_dir: str,
    key: tuple[Path, ...],
    **flags: str | None,
) -> None:
    """Follow new calls, one row each when it ends; streams and watches also when they begin, and held calls when
    they begin to wait and when somebody decides.

    With the ID of exec, attach or logs: show its output so far and what follows, made harmless for
    this terminal. --since also shows calls of the past. End with Ctrl-C.

    Example: kubetape sessions tail --ns prod --decision deny
    """
    query = query_from((match,), flags)
    style = style_from(output_format, no_headers, relative, color)

    def use(library: Library) -> None:
        if id is not None:
            _follow_stream(library, choose_stream(library.archive, id), new)
            return
        for line in render_one_by_one(_new_calls(library, query, limit), call_view(style), style):
            click.echo(line)

    with_library(data_dir, key, use, follow=True)


def _new_calls(library: Library, query: Query, limit: int | None) -> Iterator[CallRow]:
    from_ns = time.time_ns() if query.since_ns is None else query.since_ns
    shown: dict[bytes, int] = {}  # exchange -> when it began
    running: dict[bytes, CallRow] = {}
    count = 0
    while True:
        library.follow()
        rows = _changed(library, running)
        narrowed = query.joined(Query(since_ns=from_ns))
        found = library.archive.calls(narrowed, limit=MAX_NEW, oldest_first=True)
        rows += [row for row in found if row.exchange not in shown]
        for row in rows:
            shown[row.exchange] = row.at_ns
            if row.result == "live":
                running[row.exchange] = row
            if row.result != "live" or row.kind in _LONG or row.hold_results != "[]":
                yield row
                count += 1
                if limit is not None and count >= limit:
                    return
        if found:
            from_ns = max(from_ns, found[-1].at_ns - (OVERLAP_NS if len(found) < MAX_NEW else 0))
            shown = {exchange: at_ns for exchange, at_ns in shown.items() if at_ns >= from_ns}
        if len(found) < MAX_NEW:
            sys.stdout.flush()
            time.sleep(POLL_S)


def _changed(library: Library, running: dict[bytes, CallRow]) -> list[CallRow]:
    """Those that ended since the last look, which are no longer running, and those somebody held or decided."""
    changed = []
    for row in list(map(library.archive.refreshed, running.values())):
        before = running.pop(row.exchange)
        if row.result == "live":
            running[row.exchange] = row
        if row.result != "live" or row.hold_results != before.hold_results:
            changed.append(row)
    return changed


def _follow_stream(library: Library, row: CallRow, new: bool) -> None:
    """Write the output of a stream to stdout until it ends."""
    out = sys.stdout.buffer
    exit_code = ""
    try:
        for event in terminal_events(_records(library, row, new)):
            if event.code == "o":
                out.write(event.data.encode("utf-8", "replace"))
                out.flush()
            elif event.code == "x":
                exit_code = event.data
    finally:
        if sys.stdout.isatty():
            out.write(RESTORE_TERMINAL)
            out.flush()
    if exit_code:
        click.echo(f"\n[exit code {exit_code}]", err=True)
    elif library.archive.refreshed(row).result == "unknown":
        click.echo("\n[the gateway ended here; what followed is unknown]", err=True)


def _records(library: Library, row: CallRow, new: bool) -> Iterator[AnyRecord | UnknownRecord]:
    after_seq = -1
    if new:
        positions = library.archive.positions(row)
        after_seq = positions[-1].record_seq if positions else -1
    while True:
        row = library.archive.refreshed(row)  # before reading: what ends while we read is read next time
        for position, record in read_call(library.source, library.archive, row, after_seq=after_seq):
            after_seq = position.record_seq
            yield record
            if isinstance(record, Outcome):
                return
        if row.result != "live":
            return
        time.sleep(POLL_S)
        library.follow()
