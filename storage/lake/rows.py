"""The rows of the lake: three tables for search beyond one machine, and the type of every column.

One struct per table; its fields are the columns, in this order, under these names. Everything that must
agree with them (DuckDB views, the DDL in deploy/lake) is made from `columns_of` or compared with it by a
test. `cluster`, `dt` and `hr` come last and are the partition of a row, from its `ts` in UTC.

A value that is not known is None: "" only where it means something (the core API group). Columns that
nothing fills yet stay, so that tables need no change when they are filled. The trap: a `ts` is written as
Hive writes timestamps, `2026-01-31 10:00:00.123456`: without a T and a Z every engine reads it unasked.
"""

from typing import Final, NamedTuple, NewType, TypeAlias

import msgspec

Timestamp = NewType("Timestamp", str)
"""UTC with microseconds, as text."""
Date = NewType("Date", str)
"""A UTC day, YYYY-MM-DD."""
Int = NewType("Int", int)
"""32 bits, signed."""
Bigint = NewType("Bigint", int)

MAX_INT: Final = 2**31 - 1
PARTITION_COLUMNS: Final = ("cluster", "dt", "hr")


class ApiCall(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One API call, made when its Outcome is in the log or can no longer come.

    status_reason: `Outcome.result`, or "unknown" when the gateway ended first. segment_id, block_seq,
    rec_off and leaf_index say where its Intent is: rec_off is the number of the record in its block.
    *_sha256: hex, of the bodies as recorded; None for a body that was empty, has no end by nature (watch,
    logs, streams) or is not wholly in the log. t_*: microseconds; at MAX_INT it took longer than that.
    truncated: not all text of its streams is in stream_events. grant_id, approval_id, approver: all of them,
    separated by commas. approver: who approved; None of a hold that ended otherwise. masked_fields: values hidden.
    decision: "mask" is an allowed call of whose answer, body or stream something was hidden.
    """

    event_id: str
    ts: Timestamp
    gateway_id: str
    rec_seq: Bigint
    session_id: str | None
    conn_id: str
    user: str | None
    user_sub: str | None
    issuer: str | None
    groups: tuple[str, ...] | None
    actor_type: str | None  # "human", "agent" or "service"
    agent: str | None
    on_behalf_of: str | None
    src_ip: str | None
    user_agent: str | None
    audit_id: str
    iam_role_arn: str | None
    role_session: str | None
    verb: str
    http_method: str
    path: str
    query: str | None
    api_group: str | None
    api_version: str | None
    resource: str | None
    subresource: str | None
    namespace: str | None
    name: str | None
    label_selector: str | None
    dry_run: bool | None
    req_bytes: Bigint
    resp_bytes: Bigint
    status: Int | None
    status_reason: str
    decision: str  # "allow", "deny", "hold" or "mask"
    policy_sha256: str | None
    rule_id: str | None  # all rules that decided, separated by commas
    grant_id: str | None
    approval_id: str | None
    approver: str | None
    hold_ms: Int | None
    masked_fields: Int | None
    truncated: bool
    t_upstream_us: Int | None  # head sent to last byte received
    t_gateway_us: Int | None  # the rest of the call's time
    t_record_us: Int | None  # decided to Intent durable: part of t_gateway_us
    req_sha256: str | None
    resp_sha256: str | None
    object_uid: str | None
    resource_version: str | None
    segment_id: str
    block_seq: Int
    rec_off: Int
    leaf_index: Bigint | None
    cluster: str
    dt: Date
    hr: Int


class StreamEvent(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Something that happened in an exec, attach or port-forward.

    event_id: of its call in api_calls. stream_id: event_id, with "/<connection>" for one forwarded TCP
    connection. event: "open", "in", "out", "err", "resize", "close", "command" (a line typed into a terminal, as far
    as it could be told), "file" (copied). seq: dense per event_id. bytes: of the text; in "close", all that went
    through the stream; in "file", its size. text: plain lines, at most 8 KiB; the line; the file's name. The place is
    that of the record with which the event began.
    """

    event_id: str
    ts: Timestamp
    session_id: str | None
    stream_id: str
    kind: str  # "exec", "attach", "portforward", "debug" or "cp"; the last two as kubectl says, no proof
    protocol: str  # "spdy", "ws-v5", "ws-v4", "ws-spdy", ...
    event: str
    seq: Bigint
    pod: str | None
    container: str | None
    namespace: str | None
    tty: bool
    command: tuple[str, ...] | None
    port: Int | None
    bytes: Bigint | None
    text: str | None
    exit_code: Int | None
    cols: Int | None
    rows: Int | None
    segment_id: str
    block_seq: Int
    rec_off: Int
    leaf_index: Bigint | None
    user: str | None
    user_sub: str | None
    issuer: str | None
    groups: tuple[str, ...] | None
    actor_type: str | None
    agent: str | None
    on_behalf_of: str | None
    iam_role_arn: str | None
    role_session: str | None
    cluster: str
    dt: Date
    hr: Int


class ControlEvent(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A record that belongs to no exchange, or a segment whose rows could not be made.

    event_id: "<segment file's stem>/<rec_seq>". kind: name of the record type. detail: its fields, JSON. A change
    of the shared state (a request, a vote, a grant, a revocation) has its entry in `detail.entry`; user and session_id
    are of who caused it.
    """

    event_id: str
    ts: Timestamp
    gateway_id: str
    rec_seq: Bigint | None
    kind: str
    session_id: str | None
    user: str | None
    detail: str
    segment_id: str
    block_seq: Int | None
    rec_off: Int | None
    leaf_index: Bigint | None
    cluster: str
    dt: Date
    hr: Int


Row: TypeAlias = ApiCall | StreamEvent | ControlEvent

TABLES: Final[dict[str, type[ApiCall] | type[StreamEvent] | type[ControlEvent]]] = {
    "api_calls": ApiCall,
    "stream_events": StreamEvent,
    "control_events": ControlEvent,
}
TABLE_OF: Final = {row: name for name, row in TABLES.items()}

_TYPES: Final[dict[object, str]] = {
    str: "string",
    bool: "boolean",
    Int: "int",
    Bigint: "bigint",
    Timestamp: "timestamp",
    Date: "date",
    tuple[str, ...]: "array<string>",
}


class Column(NamedTuple):
    """type: as Hive names it."""

    name: str
    type: str


def columns_of(table: str) -> tuple[Column, ...]:
    """The columns of a table of TABLES, in order, partition columns last."""
    return tuple(
        Column(field.name, _TYPES[_without_none(field.type)])
        for field in msgspec.structs.fields(TABLES[table])
    )


def _without_none(hint: object) -> object:
    kinds = [kind for kind in getattr(hint, "__args__", ()) if kind is not type(None)]
    is_optional = len(kinds) == 1 and type(None) in getattr(hint, "__args__", ())
    return kinds[0] if is_optional else hint
