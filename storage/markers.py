"""A record of what policy did to a running call -> one line of text that marks the moment in a recording. Pure.

The trap: a typed line, a file's name and a note are text of strangers, and players write labels to terminals: what
comes out here is printable and short.
"""

from typing import Final

from storage.ansi import printable
from storage.records import (
    AnyRecord,
    BudgetCrossed,
    CommandSeen,
    FileCopied,
    Held,
    HoldEnded,
    Masked,
    UnknownRecord,
)

MAX_LABEL_CHARS: Final = 200

_DONE: Final = {"hold": "held", "deny": "denied", "alert": "alert"}


def marker(record: AnyRecord | UnknownRecord) -> str:
    """The label; "" for a record that marks nothing."""
    label = printable(_label(record))
    return label if len(label) <= MAX_LABEL_CHARS else label[: MAX_LABEL_CHARS - 3] + "..."


def _label(record: AnyRecord | UnknownRecord) -> str:
    if isinstance(record, Masked):
        values = sum(count for _, count in record.counts)
        return f"masked {values} by {', '.join(rule for rule, _ in record.counts)}"
    if isinstance(record, Held):
        return f"held by {', '.join(record.rules) or record.hold}"
    if isinstance(record, HoldEnded):
        by = f" by {', '.join(record.by)}" if record.by else ""
        return f"{record.result}{by}" + (f": {record.note}" if record.note else "")
    if isinstance(record, CommandSeen):
        done = _DONE.get(record.action, record.action)
        by = f" by {record.rule}" if record.rule else ""
        return (f"{done}{by}: {record.line}" if done else f"typed: {record.line}") if record.line else ""
    if isinstance(record, FileCopied):
        return f"copied {record.direction}: {record.name}"
    if isinstance(record, BudgetCrossed):
        return f"budget used up: {record.counter} {record.used} of {record.limit}, {record.action} by {record.rule}"
    return ""
