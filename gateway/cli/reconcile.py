"""`kubetape reconcile`: our record against the cluster's own audit log, call by call."""

import gzip
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final

import click
import msgspec

from gateway.cli.output import Column, Style, View, detect_style, encode_json, render, rfc3339
from gateway.cli.progress import Progress
from gateway.cli.sessions.exported import is_store, open_exported
from gateway.cli.sessions.filters import record_option
from gateway.keys.opening import open_key_ring
from storage.ansi import printable
from storage.errors import UNDECODABLE
from storage.query import parse_time
from storage.reconcile.audit_log import GarbledLine, read_audit_log
from storage.reconcile.compare import KINDS, Finding
from storage.reconcile.join import Counts, Join
from storage.reconcile.recorded import Span
from storage.records import AnyRecord, UnknownRecord, decode_record
from storage.sources import LOG_DIRECTORY, SegmentLogs

EXIT_FOUND: Final = 1
MAX_GARBLED_NAMED: Final = 10
GZIP_MAGIC: Final = b"\x1f\x8b"

_VIEW: Final[View[Finding]] = View(
    (
        Column("FINDING", lambda one: one.kind),
        Column("TIME", lambda one: rfc3339(one.at_ns)),
        Column("USER", lambda one: one.user),
        Column("VERB", lambda one: one.verb),
        Column("STATUS", lambda one: str(one.status or "-")),
        Column("TARGET", lambda one: one.target),
        Column("DETAIL", lambda one: one.detail),
        Column("SOURCE", lambda one: one.source, wide=True),
        Column("AGENT", lambda one: one.user_agent, wide=True),
        Column("AUDIT-ID", lambda one: one.audit_id, wide=True),
    ),
    lambda one: msgspec.structs.asdict(one) | {"at_ns": one.at_ns, "time": rfc3339(one.at_ns)},
    lambda one: one.audit_id,
)


@click.command("reconcile")
@click.option(
    "--audit-log",
    "audit_logs",
    metavar="FILE",
    multiple=True,
    required=True,
    help="The cluster's audit log, JSON lines, also gzipped; - is stdin. May be given more than once.",
)
@record_option
@click.option(
    "--gateway-user",
    "gateway_users",
    metavar="NAME",
    multiple=True,
    help="Whom the cluster sees in the gateway; * stands for anything. Default: learnt from what joins.",
)
@click.option("--since", metavar="TIME", help="From then on: 15m, 1d12h, 2026-01-31, 2026-01-31T08:00:00Z.")
@click.option(
    "--until",
    metavar="TIME",
    help="Up to then. Vouches that the data directory has all of the record up to then.",
)
@click.option(
    "--all", "include_system", is_flag=True, help="Also what parts of the cluster itself did around us."
)
@click.option(
    "--limit", type=click.IntRange(0), default=1000, show_default=True, help="Findings shown; 0: all."
)
@click.option(
    "-o", "--output", "output_format", type=click.Choice(("table", "wide", "json", "jsonl")), default="table"
)
def reconcile(
    audit_logs: tuple[str, ...],
    data_dir: str,
    key: tuple[Path, ...],
    gateway_users: tuple[str, ...],
    since: str | None,
    until: str | None,
    include_system: bool,
    limit: int,
    output_format: str,
) -> int:
    """Join the record with the cluster's audit log and show where they tell different stories.

    unrecorded: the gateway's credential made a call that is not in the record. differs: one call, two
    stories. unseen: recorded as forwarded, unknown to the cluster. around: calls that did not come through
    the gateway; parts of the cluster itself are left out. Only the time that both logs cover is compared.

    Exit codes: 0 nothing found, 1 something found, or it could not be compared, 2 wrong usage.

    Example: kubetape reconcile --audit-log /var/log/kubernetes/audit.log --since 1d
    """
    now_ns = time.time_ns()
    since_ns = parse_time(since, now_ns=now_ns) if since else None
    until_ns = parse_time(until, now_ns=now_ns) if until else None
    style = detect_style(output_format, headers=True, colour="auto", relative_to_ns=None)
    with Join() as join:
        _read_record(join, data_dir, key, now_ns)
        garbled = _read_audit_logs(join, audit_logs)
        if until_ns is not None:
            join.speaks_until(until_ns)
        window = join.window(since_ns=since_ns, until_ns=until_ns)
        if window.is_empty:
            raise click.ClickException(_no_overlap(join))
        found = join.findings(window, gateway_users=gateway_users, include_system=include_system)
        for line in _lines(found, join, window, garbled, limit or None, style):
            click.echo(line)
        click.echo("\n".join(_summary(join, window, limit, gateway_users)), err=True)
        return EXIT_FOUND if any(join.counts.findings.values()) else 0


# --- reading --------------------------------------------------------------------------------------


def _read_record(join: Join, data_dir: str, key_files: tuple[Path, ...], now_ns: int) -> None:
    """All of our record. A damaged log is an error: calls behind the damage would look unrecorded."""
    source = open_exported(data_dir, key_files) if is_store(data_dir) else _open_local(data_dir, key_files)
    with Progress("reading the record") as progress:
        for log in source.logs():
            if source.is_live(log):
                join.speaks_until(now_ns)
            join.add_log(_records(source, log, progress))
    if not join.counts.recorded:
        raise click.ClickException(
            f"{data_dir} records no call that went to a cluster: there is nothing to compare"
        )


def _open_local(data_dir: str, key_files: tuple[Path, ...]) -> SegmentLogs:
    path = Path(data_dir)
    if not (path / LOG_DIRECTORY).is_dir():
        raise click.ClickException(f"{path} holds no log/ directory; name the data directory with --data-dir")
    return SegmentLogs(path, keys=open_key_ring(path, key_files, use_kms=True))


def _records(
    source: SegmentLogs, log: str, progress: Progress
) -> Iterator[tuple[int, AnyRecord | UnknownRecord]]:
    for position, encoded in source.records(log, None):
        progress.show(position.record_seq)
        try:
            yield position.record_seq, decode_record(encoded)
        except UNDECODABLE:
            raise click.ClickException(
                f"record {position.record_seq} of log {log} is not readable; `kubetape verify` says more"
            ) from None


def _read_audit_logs(join: Join, names: tuple[str, ...]) -> list[GarbledLine]:
    """Every event of every file. Returns the first garbled lines; all are counted on stderr."""
    garbled: list[GarbledLine] = []
    with Progress("reading the audit log") as progress:
        for name in names:
            count = 0
            with _open(name) as stream:
                for line in read_audit_log(stream):
                    for event in line.events:
                        join.add_event(event)
                    if line.garbled is not None:
                        count += 1
                        garbled += [line.garbled] if count <= MAX_GARBLED_NAMED else []
                    progress.show(join.counts.events)
            if count:
                named = ", ".join(str(one.line) for one in garbled[-min(count, MAX_GARBLED_NAMED) :])
                more = ", ..." if count > MAX_GARBLED_NAMED else ""
                first = printable(garbled[-min(count, MAX_GARBLED_NAMED)].why)
                click.echo(
                    f"warning: {count} lines of {printable(name)} are garbled and were not compared: "
                    f"{named}{more} (the first: {first})",
                    err=True,
                )
    if not join.counts.events:
        raise click.ClickException(
            "there is no audit event in it: --audit-log takes JSON lines of audit.k8s.io/v1"
        )
    return garbled


@contextmanager
def _open(name: str) -> Iterator[BinaryIO]:
    """A file or stdin, unpacked if it is packed; read as it comes, never whole."""
    if name == "-":
        yield sys.stdin.buffer
        return
    with open(name, "rb") as file:
        packed = file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
        file.seek(0)
        if not packed:
            yield file
            return
        try:
            with gzip.GzipFile(fileobj=file) as unpacked:
                yield unpacked  # type: ignore[misc]  # it reads lines, which is all that is asked of it
        except (EOFError, gzip.BadGzipFile) as error:
            raise click.ClickException(f"{name} is not whole gzip data: {error}") from None


# --- showing --------------------------------------------------------------------------------------


def _lines(
    found: Iterator[Finding],
    join: Join,
    window: Span,
    garbled: list[GarbledLine],
    limit: int | None,
    style: Style,
) -> Iterator[str]:
    """At most `limit` findings; the others are counted all the same."""
    shown = islice(found, limit)
    if style.format == "jsonl":
        yield from render(shown, _VIEW, style)
        _exhaust(found)
    elif style.format == "json":
        rows = [_VIEW.data(one) for one in shown]
        _exhaust(found)
        yield encode_json(_document(join.counts, window, join, garbled) | {"findings": rows}, pretty=True)
    else:
        rows_found = list(shown)
        _exhaust(found)
        if rows_found:
            yield from render(rows_found, _VIEW, style)


def _exhaust(found: Iterator[Finding]) -> None:
    for _ in found:
        pass


def _document(counts: Counts, window: Span, join: Join, garbled: list[GarbledLine]) -> dict[str, object]:
    return {
        "compared": {"from": rfc3339(window.start_ns), "to": rfc3339(window.end_ns)},
        "recordsGone": [
            {"from": rfc3339(max(0, one.start_ns)), "to": rfc3339(one.end_ns)} for one in join.holes
        ],
        "counts": msgspec.structs.asdict(counts),
        "gatewayUsers": sorted(join.learned_users),
        "garbledLines": [one.line for one in garbled],
    }


def _summary(join: Join, window: Span, limit: int, named_users: tuple[str, ...]) -> list[str]:
    counts = join.counts
    total = sum(counts.findings.values())
    said = ", ".join(f"{counts.findings[kind]} {kind}" for kind in KINDS)
    lines = [
        f"compared {rfc3339(window.start_ns)} to {rfc3339(window.end_ns)}: {counts.recorded} forwarded calls "
        f"recorded, {counts.joined} of them audited, {counts.events} audit events; {said}"
    ]
    aside = (
        (counts.left_out, "calls of the cluster's own parts (--all shows them)"),
        (counts.rarely_audited, "recorded health and version calls that audit policies leave out"),
        (counts.outside, "audited calls of times that are not compared"),
    )
    lines += [f"not counted: {count} {what}" for count, what in aside if count]
    for hole in join.holes:
        lines.append(  # one a line: each is a time of which an auditor should ask why
            f"not compared: {rfc3339(max(0, hole.start_ns))} to {rfc3339(hole.end_ns)}, where records are gone: "
            "deleted by retention, or their key was destroyed"
        )
    if limit and total > limit:
        lines.append(f"only the first {limit} of {total} findings are shown; --limit 0 shows all")
    if not join.learned_users and not named_users:
        lines.append("note: no call joined, so the gateway's user is not known; name it with --gateway-user")
    return lines


def _no_overlap(join: Join) -> str:
    ours, theirs = join.recorded_span, join.audited_span
    return (
        f"nothing can be compared: the record covers {rfc3339(ours.start_ns)} to {rfc3339(ours.end_ns)}, the audit "
        f"log {rfc3339(theirs.start_ns)} to {rfc3339(theirs.end_ns)}, and 3 s at each border are left out"
    )
