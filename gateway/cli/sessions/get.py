"""`kubetape sessions get ID`: a session, a command or a call in full."""

from collections.abc import Iterator
from pathlib import Path

import click
import msgspec

from gateway.cli.output import Style, duration, encode_json, encode_yaml, size
from gateway.cli.sessions.filters import output_options, record_option, style_from
from gateway.cli.sessions.opening import Library, with_library
from gateway.cli.sessions.policy_lines import policy_data, policy_lines
from gateway.cli.sessions.views import call_data, client_name, group_word, outcome_word
from storage.ansi import printable
from storage.index_rows import RECORDS_LOST
from storage.index_schema import CallRow
from storage.search import MAX_CALLS
from storage.search_rows import CommandRow, Found, describe
from storage.timeline import Body, Card, Detail, body_text, group_by_command, read_detail


@click.command("get")
@click.argument("id")
@click.option("--bodies", is_flag=True, help="With request and response bodies, JSON printed prettily.")
@output_options
@record_option
def get(
    id: str,
    bodies: bool,
    output_format: str,
    no_headers: bool,
    relative: bool,
    color: str,
    data_dir: str,
    key: tuple[Path, ...],
) -> None:
    """Show one session, command or call: every call of it, with decision, timing and streams.

    ID or its beginning, as `sessions ls` and `sessions search` show it. One card per kubectl command.

    Example: kubetape sessions get k3f9a2b1c04 --bodies
    """
    style = style_from(output_format, no_headers, relative, color)
    for line in with_library(
        data_dir, key, lambda library: command_lines(library, id, bodies=bodies, style=style)
    ):
        click.echo(line)


def command_lines(library: Library, id: str, *, bodies: bool, style: Style) -> list[str]:
    """Everything an id names, one card a command."""
    found = library.archive.resolve(id)
    rows = library.archive.calls_of(found)
    if style.format == "name":
        return [row.exchange.hex() for row in rows]
    cards = group_by_command(rows)
    if style.format in ("json", "jsonl", "yaml"):
        return list(_data_lines(library, found, cards, bodies, style))
    lines = []
    if found.kind == "session":
        lines.append(f"session {found.id}  {printable(rows[0].user) or '-'}  {len(rows)} calls")
    for card in cards:
        command = library.archive.command(card.command) if found.kind != "call" else None
        lines += _card_lines(library, card, command, bodies, style)
    if len(rows) == MAX_CALLS:
        lines.append(f"... only the first {MAX_CALLS} calls are shown; use sessions ls --calls with a filter")
    return lines[1:] if lines and not lines[0] else lines


# --- for programs -----------------------------------------------------------------------------


def _data_lines(
    library: Library, found: Found, cards: list[Card], bodies: bool, style: Style
) -> Iterator[str]:
    calls = (row for card in cards for row in card.calls)
    if style.format == "jsonl":
        for row in calls:
            yield encode_json(detail_data(read_detail(library.source, library.archive, row), bodies))
        return
    data = {
        "kind": found.kind,
        "id": found.id,
        "calls": [detail_data(read_detail(library.source, library.archive, row), bodies) for row in calls],
    }
    yield encode_yaml(data) if style.format == "yaml" else encode_json(data, pretty=True)


def detail_data(detail: Detail, bodies: bool) -> dict[str, object]:
    """One call as plain data. Bodies that are not text are left out, their size says so."""
    data = call_data(detail.row)
    data["timings"] = msgspec.to_builtins(msgspec.structs.asdict(detail.timings))
    data["streams"] = [msgspec.structs.asdict(stream) for stream in detail.streams.values()]
    data["sizes"] = [{"at_us": at, "columns": columns, "rows": rows} for at, columns, rows in detail.sizes]
    if detail.ports:
        data["ports"] = detail.ports
    if detail.unreadable:
        data["unreadable"] = detail.unreadable
    data["policy"] = policy_data(detail)
    if bodies:
        data["request"] = _body_data(detail.request)
        data["response"] = _body_data(detail.response)
    return data


def _body_data(body: Body) -> dict[str, object]:
    return {"content_type": body.content_type, "size": body.size, "text": body_text(body)}


# --- for people -------------------------------------------------------------------------------


def _card_lines(
    library: Library, card: Card, command: CommandRow | None, bodies: bool, style: Style
) -> Iterator[str]:
    first = card.calls[0]
    yield ""
    if command is not None:
        facts = command.facts
        took = duration((facts.last_ns - facts.first_ns) // 1000)
        yield f"{card.command}  {printable(client_name(first))}  {group_word(facts, command.main)}  {took}"
    else:
        yield f"call {first.exchange.hex()}  {printable(client_name(first))}"
    yield f"  {style.time(first.at_ns)}  {printable(first.user) or '-'} from {printable(first.source)}"
    yield f"  {printable(first.user_agent)}"
    for row in card.calls:
        yield from _call_lines(read_detail(library.source, library.archive, row), bodies, style)


def _call_lines(detail: Detail, bodies: bool, style: Style) -> Iterator[str]:
    row = detail.row
    status = row.status or "-"
    yield f"  * {printable(describe(row))}  {status} {outcome_word(row)}  {duration(row.last_us)}"
    yield f"      id {row.exchange.hex()}  at {style.time(row.at_ns)}  log {row.log} record {row.seq}"
    yield f"      {row.method} {printable(row.target)}"
    yield f"      decision {_decision(row)}"
    yield from (f"      {line}" for line in policy_lines(detail))
    if row.result == "unknown":
        lost = row.why == RECORDS_LOST
        yield f"      outcome unknown: {row.why if lost else 'the gateway ended before it was recorded'}"
    elif row.why:
        yield f"      {row.result}: {printable(row.why)}"
    if detail.unreadable:
        yield f"      {printable(detail.unreadable)}"
    timings = _timings(detail)
    if timings:
        yield f"      times {timings}"
    if row.transport:
        tty = ", tty" if row.tty else ""
        yield f"      {row.kind} over {row.transport} {printable(row.protocol)}{tty}"
    for stream in detail.streams.values():
        span = f"{duration(stream.first_us)} to {duration(stream.last_us)}"
        yield f"      {stream.channel}: {size(stream.size)} in {stream.chunks} chunks, {span}"
    if detail.ports:
        yield f"      ports {', '.join(map(str, detail.ports))}"
    if detail.exited is not None and detail.exited.message and row.exit_code != 0:
        yield f"      {printable(detail.exited.message)}"
    for name, body in (("request", detail.request), ("response", detail.response)):
        if body.size:
            yield f"      {name}: {size(body.size)} {printable(body.content_type)}"
            if bodies:
                yield from _body_lines(body)


def _decision(row: CallRow) -> str:
    rules = msgspec.json.decode(row.rules, type=list[str])
    by = f" by {printable(', '.join(rules))}" if rules else ""
    why = f": {printable(row.reason)}" if row.reason else ""
    scope = ", only metadata recorded" if row.scope == "metadata" else ""
    return f"{row.decision} ({row.mode}){by}{why}{scope}"


def _timings(detail: Detail) -> str:
    """`upstream_head 4ms` for each hop that was reached, since the request was complete."""
    reached = msgspec.structs.asdict(detail.timings).items()
    return ", ".join(f"{name.removesuffix('_us')} {duration(us)}" for name, us in reached if us is not None)


def _body_lines(body: Body) -> Iterator[str]:
    text = body_text(body)
    if text is None:
        yield "        (not text)"
        return
    for line in text.split("\n"):
        yield f"        {printable(line.expandtabs())}"
    if len(body.data) < body.size:
        yield f"        ... the first {size(len(body.data))} of {size(body.size)}"
