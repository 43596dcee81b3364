"""What policy did to one call after the verdict, for people and for programs: holds, masks, lines, files, budgets."""

import uuid
from collections.abc import Iterator
from typing import Final

import msgspec

from gateway.cli.output import duration, size
from storage.ansi import printable
from storage.policy_story import HoldStory
from storage.records import CommandSeen, FileCopied, SubRequest
from storage.timeline import Detail

MAX_LINES: Final = 50
"""Of typed lines and of files, each; -o json has up to a thousand."""
_SHORT_ID: Final = slice(10, 18)
"""Of a hold's id, a ULID, what people type."""


def policy_lines(detail: Detail) -> Iterator[str]:
    """One line a fact, in the order of what an auditor asks first."""
    row, story = detail.row, detail.story
    for words, names in (("on grant", row.grants), ("shadow mode would have stopped it:", row.shadow)):
        known = msgspec.json.decode(names, type=list[str])
        if known:
            yield f"{words} {printable(', '.join(known))}"
    yield from map(_hold_line, story.holds)
    for rule, count in story.masked.items():
        yield f"{count} {'value' if count == 1 else 'values'} hidden by {printable(rule)}"
    for crossed in detail.budgets:
        used = f"{printable(crossed.counter)} {crossed.used} of {crossed.limit}"
        yield f"budget used up: {used}, {printable(crossed.action)} by {printable(crossed.rule)}"
    for asked in detail.sub_requests:
        status = asked.status or "no answer recorded"
        target = asked.target.decode("latin-1")
        yield f"the gateway asked ({printable(asked.purpose)}): {asked.method} {printable(target)}  {status}"
    yield from _some([_command_line(one) for one in detail.commands], story.commands, "typed lines")
    yield from _some([_file_line(one) for one in detail.files], story.files, "copied files")


def _hold_line(hold: HoldStory) -> str:
    by = f" by {printable(', '.join(hold.by))}" if hold.by else ""
    note = f': "{printable(hold.note)}"' if hold.note else ""
    took = f" after {duration(max(0, hold.ended_us - hold.begun_us))}" if hold.ended_us else ""
    rules = f" ({printable(', '.join(hold.rules))})" if hold.rules else ""
    return f"hold {printable(hold.hold[_SHORT_ID])} {printable(hold.result)}{by}{took}{note}{rules}"


def _command_line(one: CommandSeen) -> str:
    done = f"  [{printable(one.action)} by {printable(one.rule)}]" if one.action else ""
    return f"typed at {duration(one.at_us)}: {printable(one.line)}{done}"


def _file_line(one: FileCopied) -> str:
    kind = "" if one.kind == "file" else f" {printable(one.kind)}"
    return f"copied {printable(one.direction)}{kind}: {printable(one.name)}  {size(one.size)}"


def _some(lines: list[str], count: int, what: str) -> Iterator[str]:
    yield from lines[:MAX_LINES]
    if count > MAX_LINES:
        yield f"... {count - MAX_LINES} more {what}; -o json shows more"


def policy_data(detail: Detail) -> dict[str, object]:
    """The same as plain data. counts: of all, where lists are cut."""
    row, story = detail.row, detail.story
    return {
        "holds": [msgspec.structs.asdict(hold) for hold in story.holds],
        "grants": msgspec.json.decode(row.grants),
        "shadow": msgspec.json.decode(row.shadow),
        "masked": story.masked,
        "budgets": [_without_exchange(one) for one in detail.budgets],
        "typed": [_without_exchange(one) for one in detail.commands],
        "files": [_without_exchange(one) for one in detail.files],
        "sub_requests": [_sub_request_data(one) for one in detail.sub_requests],
        "counts": {"typed": story.commands, "files": story.files, "sub_requests": story.sub_requests},
    }


def _without_exchange(record: msgspec.Struct) -> dict[str, object]:
    fields = msgspec.structs.asdict(record)
    return {
        name: value.hex() if isinstance(value, bytes) else value
        for name, value in fields.items()
        if name != "exchange"
    }


def _sub_request_data(asked: SubRequest) -> dict[str, object]:
    """Bodies are in no record: that of a dry run is the call's own."""
    is_uuid = len(asked.audit_id) == 16
    return {
        "at_us": asked.at_us,
        "purpose": asked.purpose,
        "method": asked.method,
        "target": asked.target.decode("latin-1"),
        "status": asked.status,
        "audit_id": str(uuid.UUID(bytes=asked.audit_id)) if is_uuid else asked.audit_id.hex(),
    }
