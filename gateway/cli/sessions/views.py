"""Recorded rows as people and programs read them: columns, and plain data for JSON and YAML."""

from typing import Final

import msgspec

from gateway.cli.output import Column, Style, View, duration, rfc3339, size
from storage.index_schema import LIST_COLUMNS, CallRow
from storage.search_rows import CommandRow, Facts, Hit, SessionRow, describe

SHORT_ID: Final = 11
"""k and ten hex digits: what tables show of a command or call id; get, play and export take it."""

_INTERNAL_FIELDS: Final = frozenset(("id", "exchange", "at_ns", "seq"))


def outcome_word(row: CallRow) -> str:
    """How one call ended, in a word or two."""
    if row.decision == "deny" or row.result == "denied":
        return "denied" if row.result in ("denied", "refused") else f"deny ({row.mode})"
    if row.result == "unknown":
        return "unknown (crash)"
    if row.result != "completed":
        return row.result
    if row.exit_code is not None:
        return "ok" if row.exit_code == 0 else f"exit {row.exit_code}"
    return "ok" if row.status < 400 else str(row.status)


def group_word(facts: Facts, main: CallRow) -> str:
    """How a command ended: by what an auditor looks for first."""
    if facts.live:
        return "live"
    if facts.unknown:
        return "unknown (crash)"
    if facts.denied and outcome_word(main) == "ok":
        return f"denied {facts.denied} of {facts.calls}"
    return outcome_word(main)


def decision_chips(row: CallRow) -> str:
    """What was decided and what came of it, in a few words: `allow,masked`, `hold:approved`, `deny`."""
    results = msgspec.json.decode(row.hold_results, type=list[str])
    chips = [row.decision]
    if results:
        first = f"hold:{results[0]}"  # a call that was allowed may be held later, over a typed line
        chips = [first] if row.decision == "hold" else [row.decision, first]
        chips += [f"hold:{result}" for result in results[1:]]
    marks = (
        ("masked", row.masked),
        ("grant", row.grants != "[]"),
        ("shadow", row.shadow != "[]"),
        ("budget", row.budgets != "[]"),
    )
    return ",".join([*chips, *(chip for chip, is_so in marks if is_so)])


def client_name(row: CallRow) -> str:
    """`kubectl get`, or the program's name for other clients."""
    return row.kubectl_command or row.user_agent.split(" ", 1)[0] or "-"


def call_data(row: CallRow) -> dict[str, object]:
    """A call for JSON and YAML: ids as text, times in RFC 3339."""
    fields = msgspec.structs.asdict(row)
    data: dict[str, object] = {"id": row.exchange.hex(), "time": rfc3339(row.at_ns), "kind": row.kind}
    for name, value in fields.items():
        if name in LIST_COLUMNS:
            data[name] = msgspec.json.decode(value)
        elif name not in _INTERNAL_FIELDS:
            data[name] = value
    return data


def facts_data(facts: Facts) -> dict[str, object]:
    data = msgspec.structs.asdict(facts)
    data |= {"first": rfc3339(facts.first_ns), "last": rfc3339(facts.last_ns)}
    del data["first_ns"], data["last_ns"]
    return data


def command_view(style: Style) -> View[CommandRow]:
    def data(row: CommandRow) -> object:
        return {
            "id": row.id,
            "session": row.main.session,
            "user": row.main.user,
            "client": client_name(row.main),
            "target": describe(row.main),
            "result": group_word(row.facts, row.main),
            **facts_data(row.facts),
            "main": call_data(row.main),
        }

    return View(
        (
            Column("ID", lambda row: row.id[:SHORT_ID]),
            Column("TIME", lambda row: style.time(row.facts.first_ns)),
            Column("USER", lambda row: row.main.user or "-"),
            Column("COMMAND", lambda row: client_name(row.main)),
            Column("CALLS", lambda row: str(row.facts.calls)),
            Column("DECISION", lambda row: decision_chips(row.main)),
            Column("RESULT", lambda row: group_word(row.facts, row.main)),
            Column("DURATION", lambda row: duration((row.facts.last_ns - row.facts.first_ns) // 1000)),
            Column("SENT", lambda row: size(row.facts.sent_bytes), wide=True),
            Column("RECEIVED", lambda row: size(row.facts.received_bytes), wide=True),
            Column("SOURCE", lambda row: row.main.source, wide=True),
            Column("SESSION", lambda row: row.main.session or "-", wide=True),
            Column("TARGET", lambda row: describe(row.main)),
        ),
        data,
        lambda row: row.id,
    )


def session_view(style: Style) -> View[SessionRow]:
    def data(row: SessionRow) -> object:
        return {
            "id": row.id,
            "user": row.main.user,
            "groups": msgspec.json.decode(row.main.groups),
            "method": row.method,
            "issuer": row.issuer,
            "source": row.main.source,
            "user_agent": row.main.user_agent,
            "expires": rfc3339(row.expires_ns) if row.expires_ns is not None else None,
            **facts_data(row.facts),
        }

    return View(
        (
            Column("ID", lambda row: row.id),
            Column("TIME", lambda row: style.time(row.facts.first_ns)),
            Column("LAST", lambda row: style.time(row.facts.last_ns)),
            Column("USER", lambda row: row.main.user or "-"),
            Column("CALLS", lambda row: str(row.facts.calls)),
            Column("DENIED", lambda row: str(row.facts.denied)),
            Column("HELD", lambda row: str(row.facts.held)),
            Column("MASKED", lambda row: str(row.facts.masked), wide=True),
            Column("LIVE", lambda row: str(row.facts.live)),
            Column("METHOD", lambda row: row.method or "-", wide=True),
            Column("GROUPS", lambda row: ",".join(msgspec.json.decode(row.main.groups)) or "-", wide=True),
            Column("SOURCE", lambda row: row.main.source),
        ),
        data,
        lambda row: row.id,
    )


def call_view(style: Style) -> View[CallRow]:
    return View(
        (
            Column("ID", lambda row: row.exchange.hex()[:SHORT_ID], width=SHORT_ID),
            Column("TIME", lambda row: style.time(row.at_ns), width=24),
            Column("USER", lambda row: row.user or "-", width=16),
            Column("STATUS", lambda row: str(row.status or "-"), width=6),
            Column("DECISION", decision_chips, width=9),
            Column("RESULT", outcome_word, width=9),
            Column("DURATION", lambda row: duration(row.last_us), width=8),
            Column("COMMAND", client_name, wide=True, width=16),
            Column("SOURCE", lambda row: row.source, wide=True, width=20),
            Column("SESSION", lambda row: row.session or "-", wide=True, width=26),
            Column("CALL", describe),
        ),
        call_data,
        lambda row: row.exchange.hex(),
    )


def hit_view(style: Style) -> View[Hit]:
    def data(hit: Hit) -> object:
        return {
            "kind": hit.kind,
            "at_seconds": hit.at_us / 1_000_000,
            "text": hit.text,
            "match": hit.text[hit.start : hit.end],
            "call": call_data(hit.call),
        }

    return View(
        (
            Column("ID", lambda hit: hit.call.exchange.hex()[:SHORT_ID]),
            Column("TIME", lambda hit: style.time(hit.call.at_ns + hit.at_us * 1000)),
            Column("USER", lambda hit: hit.call.user or "-"),
            Column("WHERE", lambda hit: hit.kind),
            Column("AT", lambda hit: duration(hit.at_us) if hit.at_us else "-"),
            Column("COMMAND", lambda hit: client_name(hit.call), wide=True),
            Column("CALL", lambda hit: describe(hit.call), wide=True),
            Column("TEXT", lambda hit: hit.text),
        ),
        data,
        lambda hit: hit.call.exchange.hex(),
    )
