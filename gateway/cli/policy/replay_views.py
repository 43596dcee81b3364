"""What a replay found, as people and programs read it."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from gateway.cli.output import Column, Style, View, encode_json, render, rfc3339
from gateway.cli.policy.recorded import RecordedCall
from gateway.policy.replaying import Replayed, Word


class Line(NamedTuple):
    """One call that flips, or of which it cannot be told."""

    call: RecordedCall
    replayed: Replayed


@dataclass
class Report:
    """Counts of everything, and the first `limit` calls of each kind. missing: (rule, what is missing) -> calls."""

    limit: int
    calls: int = 0
    same: int = 0
    flipped: int = 0
    untold: int = 0
    by_rule: Counter[tuple[str, str]] = field(default_factory=Counter)
    missing: Counter[tuple[str, str]] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    flips: list[Line] = field(default_factory=list)
    untold_lines: list[Line] = field(default_factory=list)


def report_lines(report: Report, style: Style) -> Iterator[str]:
    if style.format == "json":
        data = {
            "summary": _summary_data(report),
            "flips": [_data(line) for line in report.flips],
            "untold": [_data(line) for line in report.untold_lines],
        }
        yield encode_json(data, pretty=True)
    elif style.format == "jsonl":
        for kind, lines in (("flip", report.flips), ("untold", report.untold_lines)):
            for line in lines:
                yield encode_json({"type": kind, **_data(line)})
        yield encode_json({"type": "summary", **_summary_data(report)})
    else:
        yield from _table(report, style)


def _table(report: Report, style: Style) -> Iterator[str]:
    if report.flips:
        yield from render(report.flips, _flip_view(style), style)
        yield from _left_out(report.flipped, report.flips)
        yield ""
    for (how, rule), count in report.by_rule.most_common():
        yield f"{count} {how} by {rule}"
    if report.untold_lines:
        yield f"{report.untold} cannot be told:"
        yield from render(report.untold_lines, _untold_view(style), style)
        yield from _left_out(report.untold, report.untold_lines)
    for (rule, missing), count in report.missing.most_common():
        yield f"{count} need {missing} for {rule}"
    for why, count in report.skipped.most_common():
        yield f"{count} not replayed: {why}"
    yield f"{report.calls} calls: {report.flipped} flip, {report.same} do not, {report.untold} cannot be told"


def _left_out(count: int, shown: list[Line]) -> Iterator[str]:
    if count > len(shown):
        yield f"... and {count - len(shown)} more; --limit shows them"


def _flip_view(style: Style) -> View[Line]:
    return View(
        (
            *_call_columns(style),
            Column("OLD", lambda line: _say(line.replayed.old)),
            Column("NEW", lambda line: _say(line.replayed.new)),
        ),
        _data,
        lambda line: line.call.exchange.hex(),
    )


def _untold_view(style: Style) -> View[Line]:
    def why(line: Line) -> str:
        return "; ".join(f"{doubt.rule} needs {doubt.missing}" for doubt in line.replayed.doubts)

    return View((*_call_columns(style), Column("WHY", why)), _data, lambda line: line.call.exchange.hex())


def _call_columns(style: Style) -> tuple[Column[Line], ...]:
    return (
        Column("CALL", lambda line: line.call.exchange.hex()[:11]),
        Column("TIME", lambda line: style.time(line.call.at_ns)),
        Column("USER", lambda line: line.call.facts.principal.user),
        Column("REQUEST", _request),
    )


def _request(line: Line) -> str:
    return f"{line.call.method} {line.call.facts.call.target.decode('ascii')}"


def _say(word: Word | None) -> str:
    if word is None:
        return "?"
    return f"{word.action} ({word.by})" if word.by else word.action


def _data(line: Line) -> dict[str, object]:
    call, replayed = line.call, line.replayed
    return {
        "call": call.exchange.hex(),
        "time": rfc3339(call.at_ns),
        "user": call.facts.principal.user,
        "groups": call.facts.principal.groups,
        "request": _request(line),
        "old": replayed.old,
        "new": replayed.new,
        "doubts": replayed.doubts,
    }


def _summary_data(report: Report) -> dict[str, object]:
    return {
        "calls": report.calls,
        "flipped": report.flipped,
        "same": report.same,
        "untold": report.untold,
        "byRule": [{"flip": how, "rule": rule, "calls": n} for (how, rule), n in report.by_rule.items()],
        "missing": [
            {"rule": rule, "missing": missing, "calls": n} for (rule, missing), n in report.missing.items()
        ],
        "notReplayed": dict(report.skipped),
    }
