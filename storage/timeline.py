"""One session -> its commands -> their calls; one call -> everything that was recorded of it.

The index says where, the log says what: every record shown is read from the log, and a record that
is not of the call the index claims is proof of a bad index (`GarbledIndex`), never shown.
Bodies are shown as they were recorded, or undone from gzip; nothing is parsed but to print JSON prettily.
"""

import zlib
from collections.abc import Iterator
from typing import Final

import msgspec

from protocol.events import Channel, Headers
from storage.errors import (
    UNDECODABLE,
    BadKeyFile,
    CorruptFrame,
    NoKey,
    OutOfReach,
    Shredded,
    StorageError,
    UnknownDictionary,
    WrongKey,
)
from storage.index_schema import CallRow, GarbledIndex
from storage.plain_text import PlainText
from storage.policy_story import PolicyStory
from storage.reader import Position
from storage.records import (
    AnyRecord,
    BudgetCrossed,
    ChannelChanged,
    ChannelChunk,
    CommandSeen,
    Exited,
    FileCopied,
    Intent,
    Outcome,
    RequestBody,
    Resized,
    ResponseBody,
    ResponseStarted,
    SubRequest,
    Timings,
    TunnelEnded,
    UnknownRecord,
    decode_record,
)
from storage.retention.deleted import why_gone
from storage.search import Archive
from storage.sources import RecordSource, read_positions

DEFAULT_BODY_BYTES: Final = 1024 * 1024
"""Of a body shown: a list of some hundred objects."""
MAX_SHOWN: Final = 1000
"""Of typed lines, copied files and requests of our own, each; `PolicyStory` counts them all."""


class Body(msgspec.Struct):
    """A request or response body. data: its beginning, as recorded; size: all of it, in bytes."""

    content_type: str = ""
    encoding: str = ""
    size: int = 0
    data: bytes = b""


class StreamSummary(msgspec.Struct):
    """One direction of one channel. Times: microseconds since the call began."""

    channel: str
    size: int = 0
    chunks: int = 0
    first_us: int = 0
    last_us: int = 0


class Detail(msgspec.Struct):
    """All that is known of one call. Fields stay at their defaults for what never happened."""

    row: CallRow
    intent: Intent | None = None
    request: Body = msgspec.field(default_factory=Body)
    response: Body = msgspec.field(default_factory=Body)
    response_headers: Headers = ()
    streams: dict[str, StreamSummary] = {}
    sizes: list[tuple[int, int, int]] = []  # (at_us, columns, rows)
    ports: list[int] = []
    exited: Exited | None = None
    tunnel_ended: TunnelEnded | None = None
    outcome: Outcome | None = None
    story: PolicyStory = msgspec.field(default_factory=PolicyStory)
    commands: list[CommandSeen] = []
    files: list[FileCopied] = []
    sub_requests: list[SubRequest] = []  # those that were answered, and those that never were
    budgets: list[BudgetCrossed] = []
    unreadable: str = ""  # why its records, or those behind what is here, cannot be read

    @property
    def timings(self) -> Timings:
        return self.outcome.timings if self.outcome else Timings()


class Card(msgspec.Struct):
    """One command of a session and its calls, oldest first."""

    command: str
    calls: list[CallRow]


def group_by_command(calls: list[CallRow]) -> list[Card]:
    """Calls, oldest first -> one card a command, in the order in which commands began."""
    cards: dict[str, Card] = {}
    for row in calls:
        cards.setdefault(row.command, Card(row.command, [])).calls.append(row)
    return list(cards.values())


def read_call(
    source: RecordSource, archive: Archive, row: CallRow, *, after_seq: int = -1
) -> Iterator[tuple[Position, AnyRecord | UnknownRecord]]:
    """The records of one call in order, from the log; those behind a sequence number only.

    Raises GarbledIndex when the index does not fit the log, NoKey (Shredded) when they cannot be decrypted, and
    StorageError when the records are gone.
    """
    positions = archive.positions(row, after_seq=after_seq)
    try:
        for position, encoded in zip(positions, read_positions(source, row.log, positions), strict=True):
            try:
                record = decode_record(encoded)
            except UNDECODABLE as error:
                raise GarbledIndex(
                    f"record {position.record_seq} of log {row.log} is not readable"
                ) from error
            if getattr(record, "exchange", row.exchange) != row.exchange:
                raise GarbledIndex(f"record {position.record_seq} of log {row.log} belongs to another call")
            yield position, record
    except (GarbledIndex, CorruptFrame, UnknownDictionary, NoKey, BadKeyFile, WrongKey):
        raise
    except StorageError as error:  # the log has something else at that position
        raise GarbledIndex(str(error)) from error
    except FileNotFoundError:
        why = why_gone(source, row.log, (position.segment for position in positions))
        raise StorageError(
            f"the records of call {row.exchange.hex()} are no longer in the log: {why}"
        ) from None
    except ValueError as error:
        raise GarbledIndex(f"log {row.log} ends before a record of call {row.exchange.hex()}") from error


def read_detail(
    source: RecordSource, archive: Archive, row: CallRow, *, body_bytes: int = DEFAULT_BODY_BYTES
) -> Detail:
    """Everything about one call; of each body the first body_bytes. Raises as `read_call`, except that a
    destroyed key is said in the result: other calls beside this one can still be shown."""
    detail = Detail(row)
    try:
        for _, record in read_call(source, archive, row):
            _add(detail, record, body_bytes)
    except (Shredded, OutOfReach) as error:
        detail.unreadable = str(error)
    if row.result == "unknown":
        detail.story.abandon()
    return detail


def _add(detail: Detail, record: AnyRecord | UnknownRecord, body_bytes: int) -> None:
    if isinstance(record, ResponseBody):
        _append(detail.response, record.data, body_bytes)
    elif isinstance(record, RequestBody):
        _append(detail.request, record.data, body_bytes)
    elif isinstance(record, ChannelChunk):
        _add_chunk(detail, record)
    elif isinstance(record, Intent):
        detail.intent = record
        _describe_body(detail.request, record.headers)
    elif isinstance(record, ResponseStarted):
        detail.response_headers = record.headers
        _describe_body(detail.response, record.headers)
    elif isinstance(record, Resized):
        detail.sizes.append((record.at_us, record.columns, record.rows))
    elif isinstance(record, ChannelChanged):
        if record.what == "opened" and record.channel == Channel.DATA and record.port not in detail.ports:
            detail.ports.append(record.port)
    elif isinstance(record, Exited):
        detail.exited = record
    elif isinstance(record, TunnelEnded):
        detail.tunnel_ended = record
    elif isinstance(record, Outcome):
        detail.outcome = record
    elif detail.story.take(record):
        _add_policy(detail, record)


def _add_policy(detail: Detail, record: AnyRecord | UnknownRecord) -> None:
    if isinstance(record, CommandSeen) and len(detail.commands) < MAX_SHOWN:
        detail.commands.append(record)
    elif isinstance(record, FileCopied) and len(detail.files) < MAX_SHOWN:
        detail.files.append(record)
    elif isinstance(record, BudgetCrossed) and len(detail.budgets) < MAX_SHOWN:
        detail.budgets.append(record)
    elif isinstance(record, SubRequest):
        _add_sub_request(detail.sub_requests, record)


def _add_sub_request(asked: list[SubRequest], record: SubRequest) -> None:
    """A request comes twice, the second time with its answer: shown once."""
    for index, before in enumerate(asked):
        if not before.status and before.audit_id == record.audit_id:
            asked[index] = record
            return
    if len(asked) < MAX_SHOWN:
        asked.append(record)


def _append(body: Body, data: bytes, limit: int) -> None:
    body.size += len(data)
    if len(body.data) < limit:
        body.data += data[: limit - len(body.data)]


def _describe_body(body: Body, headers: Headers) -> None:
    for name, value in headers:
        if name == b"content-type":
            body.content_type = value.decode("latin-1")
        elif name == b"content-encoding":
            body.encoding = value.decode("latin-1").lower()


def _add_chunk(detail: Detail, record: ChannelChunk) -> None:
    name = _channel_name(record)
    stream = detail.streams.get(name)
    if stream is None:
        stream = detail.streams[name] = StreamSummary(name, first_us=record.at_us)
    stream.size += len(record.data)
    stream.chunks += 1
    stream.last_us = record.at_us


def _channel_name(record: ChannelChunk) -> str:
    try:
        name = Channel(record.channel).name.lower().replace("_", "-")
    except ValueError:
        name = f"channel-{record.channel}"
    if record.channel in (Channel.DATA, Channel.FORWARD_ERROR):
        return f"{name} {record.connection} {'to' if record.from_client else 'from'} cluster"
    return name


def body_text(body: Body) -> str | None:
    """A body as text, pretty if it is JSON; None if it is not text. At most what was kept of it."""
    data = body.data
    if body.encoding == "gzip":
        try:
            data = zlib.decompressobj(wbits=31).decompress(data, DEFAULT_BODY_BYTES)
        except zlib.error:
            return None
    kind = body.content_type.split(";", 1)[0].strip().lower()
    if not (kind.startswith("text/") or kind.endswith(("json", "yaml", "xml"))):
        return None
    if kind.endswith("json"):
        try:
            data = msgspec.json.format(data, indent=2)
        except UNDECODABLE:
            pass  # a watch: many objects; or a patch in YAML under a JSON name
    return data.decode("utf-8", "replace")


def transcript(records: Iterator[AnyRecord | UnknownRecord]) -> Iterator[str]:
    """What a person saw of a stream, as lines of plain text: output of exec, attach and logs."""
    texts: dict[int, PlainText] = {}
    for record in records:
        if isinstance(record, ResponseBody):
            channel = int(Channel.STDOUT)
        elif isinstance(record, ChannelChunk) and record.channel in (Channel.STDOUT, Channel.STDERR):
            channel = record.channel
        else:
            continue
        if channel not in texts:
            texts[channel] = PlainText(everything=False)
        text = texts[channel].feed(record.data)
        if text:
            yield text
    for remaining in texts.values():
        text = remaining.finish()
        if text:
            yield text if text.endswith("\n") else text + "\n"
