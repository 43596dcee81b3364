"""`kubetape store ls`: the segments of a data directory or a bucket."""

from pathlib import Path

import click
import msgspec

from gateway.cli.output import Column, Style, View, render, rfc3339, size
from gateway.cli.sessions.filters import output_options, style_from
from gateway.cli.store.listing import DELETED, Lister, Row
from gateway.cli.store.opening import open_store, store_options
from storage.ansi import printable
from storage.notary.tree_summary import TreeSummary, summarize_tree


@click.command("ls")
@click.option("--log", metavar="NAME", help="This log only; default: all of them.")
@click.option("--trees", is_flag=True, help="One row per log instead: its tree and its last checkpoint.")
@click.option(
    "--limit",
    type=click.IntRange(1, 1_000_000),
    default=100,
    show_default=True,
    help="Newest segments of each log.",
)
@output_options
@store_options
def ls(
    log: str | None,
    trees: bool,
    limit: int,
    output_format: str,
    no_headers: bool,
    relative: bool,
    color: str,
    data_dir: Path,
    key: tuple[Path, ...],
    store_url: str | None,
) -> None:
    """List segments, the oldest first: what each holds, for whom it is encrypted, and what keeps it.

    STATE is open, sealed, recovered (left by a crash), shredded (its key was destroyed), deleted (by retention: a
    tombstone says when and why) or missing. PROVEN: a signed checkpoint covers it. HOLDS: legal holds that keep it.
    A list is no proof: kubetape verify is.

    Example: kubetape store ls --limit 20 -o wide
    """
    store = open_store(data_dir, store_url, key)
    style = style_from(output_format, no_headers, relative, color)
    logs = [log] if log is not None else store.logs()
    if log is not None and log not in store.logs():
        raise click.ClickException(f"there is no log {log}; there are: {', '.join(store.logs()) or 'none'}")
    if trees:
        summaries = [summarize_tree(store.files, store.directory(name)) for name in logs]
        for line in render(summaries, _tree_view(style), style):
            click.echo(line)
        return
    lister = Lister(store)
    rows = [row for name in logs for row in lister.rows(name, limit)]
    for line in render(rows, _view(style), style):
        click.echo(line)
    for note in lister.notes:
        click.echo(f"note: {printable(note)}", err=True)


def _view(style: Style) -> View[Row]:
    def time(at_ns: int) -> str:
        return style.time(at_ns) if at_ns else "-"

    return View(
        (
            Column("LOG", lambda row: row.log),
            Column("SEGMENT", lambda row: row.segment),
            Column("STATE", lambda row: row.state),
            Column("RECORDS", lambda row: "-" if row.records is None else str(row.records)),
            Column("FIRST", lambda row: time(row.first_ns)),
            Column("LAST", lambda row: time(row.last_ns)),
            Column("SIZE", lambda row: size(row.size)),
            Column("PROVEN", lambda row: _word(row.in_checkpoint)),
            Column("EXPORTED", lambda row: _word(row.exported)),
            Column("HOLDS", lambda row: ",".join(row.holds) or "-"),
            Column("ENCRYPTED FOR", _encrypted, wide=True),
            Column("DELETED", lambda row: time(row.deleted_ns), wide=True),
            Column("WHY", lambda row: row.why or "-", wide=True),
        ),
        data=_data,
        name=lambda row: row.segment,
    )


def _word(value: bool | None) -> str:
    return "-" if value is None else "yes" if value else "no"


def _encrypted(row: Row) -> str:
    if row.encrypted_for or not row.encrypted:
        return ",".join(row.encrypted_for) or ("-" if row.encrypted is None else "nobody: in the clear")
    return "nobody any more"


def _data(row: Row) -> dict[str, object]:
    data = msgspec.structs.asdict(row)
    for name, time in (("first_ns", "first"), ("last_ns", "last"), ("deleted_ns", "deleted")):
        at_ns = data.pop(name)
        data[time] = rfc3339(at_ns) if at_ns else None
    data["is_deleted"] = row.state == DELETED
    return data


def _tree_view(style: Style) -> View[TreeSummary]:
    return View(
        (
            Column("LOG", lambda tree: tree.log),
            Column("SEGMENTS", lambda tree: str(tree.segments)),
            Column("DELETED", lambda tree: str(tree.deleted)),
            Column("BYTES", lambda tree: size(tree.size_bytes)),
            Column("LEAVES", lambda tree: str(tree.leaves)),
            Column("PROVEN UP TO", lambda tree: style.time(tree.newest_ns) if tree.newest_ns else "-"),
            Column("ORIGIN", lambda tree: tree.origin or "-", wide=True),
            Column("ROOT", lambda tree: tree.root or "-", wide=True),
            Column("PROBLEM", lambda tree: tree.problem or "-"),
        ),
        data=_tree_data,
        name=lambda tree: tree.log,
    )


def _tree_data(tree: TreeSummary) -> dict[str, object]:
    data = msgspec.structs.asdict(tree)
    at_ns = data.pop("newest_ns")
    data["proven_up_to"] = rfc3339(at_ns) if at_ns else None
    return data
