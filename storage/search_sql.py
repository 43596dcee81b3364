"""`Query` -> the WHERE clause of one day's calls, and FTS5 match strings. Pure.

Every value a person typed travels as a parameter; nothing of it becomes SQL. The trap: FTS5 has a
query syntax of its own (NEAR, column filters, ^), so each text is one quoted string in it.
"""

from collections.abc import Callable, Iterable
from typing import Final

from storage.policy_story import LOST, WAITING
from storage.query import FieldMatch, Query, TextMatch, typed_text

_COLUMN_OF: Final = {
    "user": "user",
    "ns": "namespace",
    "verb": "verb",
    "name": "name",
    "decision": "decision",
    "kind": "kind",
    "container": "container",
}

_TEXT_FOUND: Final = (
    "id IN (SELECT call FROM pieces WHERE text IN (SELECT rowid FROM texts WHERE texts MATCH ?))"
)

_TYPED_FOUND: Final = "id IN (SELECT call FROM pieces WHERE kind = 'typed' AND text IN (SELECT rowid FROM texts WHERE texts MATCH ?))"
_SHORT_ID_FROM: Final = 11
"""Of a hold's id, a ULID, people type 8 characters of the random part; SQL counts from 1."""

Condition = tuple[str, list[object]]


def conditions(query: Query, live_logs: Iterable[str]) -> Condition:
    """SQL over the columns of `calls`, and its parameters. live_logs: logs being written now; what has
    no result in another log never got one."""
    live = list(live_logs)
    parts: list[Condition] = [_field_condition(match, live) for match in query.fields]
    parts += [
        (f"NOT {_TEXT_FOUND}" if text.negated else _TEXT_FOUND, [fts_match([text])]) for text in query.texts
    ]
    if query.since_ns is not None:
        parts.append(("at_ns >= ?", [query.since_ns]))
    if query.until_ns is not None:
        parts.append(("at_ns < ?", [query.until_ns]))
    sql = " AND ".join(part for part, _ in parts)
    return sql or "1", [value for _, values in parts for value in values]


def fts_match(texts: Iterable[TextMatch]) -> str:
    """An FTS5 expression that finds rows with any of the texts."""
    return " OR ".join(_fts_phrase(text) for text in texts)


def _fts_phrase(text: TextMatch) -> str:
    phrase = text.text.replace('"', '""')
    return f'"{phrase}"*' if text.prefix else f'"{phrase}"'


def id_range(prefix: str) -> tuple[bytes, bytes]:
    """The first and last exchange id that begins with these hex digits (dashes do not count).

    Raises ValueError when they are none.
    """
    digits = prefix.replace("-", "")
    return bytes.fromhex(digits.ljust(32, "0")), bytes.fromhex(digits.ljust(32, "f"))


def _field_condition(match: FieldMatch, live: list[str]) -> Condition:
    parts = [_value_condition(match.field, value, live) for value in match.values]
    sql = " OR ".join(f"({part})" for part, _ in parts)
    values = [value for _, some in parts for value in some]
    # NULL is neither true nor false: what has no exit code is not "exit code 0", and is "not 0"
    return (f"NOT coalesce({sql}, 0)" if match.negated else f"({sql})"), values


def _value_condition(field: str, value: str, live: list[str]) -> Condition:
    if field in _COLUMN_OF:
        return _equals(_COLUMN_OF[field], value)
    return _SPECIAL[field](value, live)


def _equals(column: str, value: str) -> Condition:
    if "*" in value:
        return f"{column} GLOB ?", [_glob(value)]
    return f"{column} = ?", [value]


def _glob(value: str) -> str:
    """Only `*` is special to us; GLOB knows `?` and `[` as well."""
    return value.replace("[", "[[]").replace("?", "[?]")


def _starts(column: str, value: str) -> Condition:
    return f"{column} GLOB ?", [_glob(value) + "*"]


def _among(column: str, value: str) -> Condition:
    inner, values = _equals("value", value)
    return f"EXISTS (SELECT 1 FROM json_each(calls.{column}) WHERE {inner})", values


def _some(column: str, value: str) -> Condition:
    """Of a list: yes, no, or one that it holds."""
    if value in ("yes", "no"):
        return f"{column} {'!=' if value == 'yes' else '='} '[]'", []
    return _among(column, value)


def _rule(value: str, _: list[str]) -> Condition:
    decided, decided_values = _among("rules", value)
    later, later_values = _among("later_rules", value)
    return f"{decided} OR {later}", decided_values + later_values


def _grant(value: str, _: list[str]) -> Condition:
    return _some("grants", value if value in ("yes", "no") else value + "*")


def _approval(value: str, _: list[str]) -> Condition:
    if value in ("yes", "no"):
        return _some("holds", value)
    start = _glob(value.upper()) + "*"
    sql = f"EXISTS (SELECT 1 FROM json_each(calls.holds) WHERE value GLOB ? OR substr(value, {_SHORT_ID_FROM}) GLOB ?)"
    return sql, [start, start]


def _hold(value: str, live: list[str]) -> Condition:
    """Who waits in a log that nobody writes was never answered."""
    sql, values = _among("hold_results", value)
    if value not in (WAITING, LOST):
        return sql, values
    waits, waits_values = _among("hold_results", WAITING)
    marks = ", ".join("?" * len(live))
    if value == WAITING:
        return f"{sql} AND log IN ({marks})", [*values, *live]
    return f"{sql} OR ({waits} AND log NOT IN ({marks}))", [*values, *waits_values, *live]


def _typed(value: str, _: list[str]) -> Condition:
    return _TYPED_FOUND, [fts_match([typed_text(value)])]


def _file(value: str, _: list[str]) -> Condition:
    inner, values = file_condition(value)
    return f"id IN (SELECT call FROM copied WHERE {inner})", values


def file_condition(value: str) -> Condition:
    """Over the columns of `copied`."""
    return _equals("name", value)


def _resource(value: str, _: list[str]) -> Condition:
    """`pods` with any subresource, `pods/exec` with this one, `deployments.apps` of this group."""
    whole, slash, subresource = value.partition("/")
    resource, dot, group = whole.partition(".")
    sql, values = _equals("resource", resource)
    for given, column, wanted in ((slash, "subresource", subresource), (dot, "api_group", group)):
        if given:
            more, more_values = _equals(column, wanted)
            sql, values = f"{sql} AND {more}", values + more_values
    return sql, values


def _code(value: str, _: list[str]) -> Condition:
    if value.endswith("xx"):
        return "status / 100 = ?", [int(value[0])]
    return "status = ?", [int(value)]


def _result(value: str, live: list[str]) -> Condition:
    marks = ", ".join("?" * len(live))
    if value == "live":
        return f"result = '' AND log IN ({marks})", list(live)
    if value == "unknown":
        return f"result = 'unknown' OR (result = '' AND log NOT IN ({marks}))", list(live)
    return "result = ?", [value]


def _command(value: str, _: list[str]) -> Condition:
    words, words_values = _equals("kubectl_command", value)
    full, full_values = _equals("kubectl_command", f"kubectl {value}")
    return f"{words} OR {full} OR command GLOB ?", [*words_values, *full_values, _glob(value) + "*"]


def _exchange(value: str, _: list[str]) -> Condition:
    try:
        return "exchange BETWEEN ? AND ?", list(id_range(value))
    except ValueError:
        return "0", []


_SPECIAL: Final[dict[str, Callable[[str, list[str]], Condition]]] = {
    "group": lambda value, _: _among("groups", value),
    "rule": _rule,
    "shadow": lambda value, _: _some("shadow", value),
    "grant": _grant,
    "approval": _approval,
    "approver": lambda value, _: _among("deciders", value),
    "hold": _hold,
    "masked": lambda value, _: _some("mask_rules", value),
    "budget": lambda value, _: _some("budgets", value),
    "typed": _typed,
    "file": _file,
    "resource": _resource,
    "code": _code,
    "result": _result,
    "exit": lambda value, _: ("exit_code = ?", [int(value)]),
    "session": lambda value, _: _starts("session", value.upper()),
    "command": _command,
    "exchange": _exchange,
    "source": lambda value, _: _starts("source", value),
    "agent": lambda value, _: _starts("user_agent", value),
}
