"""A log read back whole, by exchange, with the checks of its form on the way.

Reading is the product's own reader: it refuses frames that fail their CRC, numbers out of order and segments
that do not link, and this adds what it does not promise (no number missing at the start, one Outcome at most).
An encrypted log is read with the keys beside it (`keys_of`), as its owner reads it.
"""

import uuid
from dataclasses import dataclass, field
from pathlib import Path

from protocol.events import Channel
from storage.encryption.keys import NO_KEYS, KeyRing
from storage.encryption.local_key import LocalKey, default_path
from storage.files import REAL_FILES, FileOps
from storage.format import SUFFIX_SEALED
from storage.reader import iter_records, list_segments, read_segment
from storage.records import (
    ChannelChunk,
    Exited,
    Intent,
    LogStarted,
    LogStopped,
    Outcome,
    RequestBody,
    ResponseBody,
    SegmentRecovered,
    decode_record,
)


@dataclass
class Exchange:
    """All that the log holds of one call. stdout and stdin: of a tunnel."""

    intent: Intent
    run: int  # which start of the gateway wrote the Intent
    outcome: Outcome | None = None
    exited: Exited | None = None
    request_body: bytearray = field(default_factory=bytearray)
    response_body: bytearray = field(default_factory=bytearray)
    stdin: bytearray = field(default_factory=bytearray)
    stdout: bytearray = field(default_factory=bytearray)

    @property
    def audit_id(self) -> str:
        return str(uuid.UUID(bytes=self.intent.exchange))


@dataclass
class LogContents:
    """faults: what no log may show, whatever happened to its writer."""

    exchanges: dict[bytes, Exchange] = field(default_factory=dict)
    recovered: list[SegmentRecovered] = field(default_factory=list)
    records: int = 0
    starts: int = 0
    orderly_ends: int = 0
    faults: list[str] = field(default_factory=list)

    def by_agent(self) -> dict[str, Exchange]:
        return {exchange.intent.user_agent: exchange for exchange in self.exchanges.values()}

    def by_audit_id(self) -> dict[str, Exchange]:
        return {exchange.audit_id: exchange for exchange in self.exchanges.values()}

    def unknown(self) -> list[Exchange]:
        """Calls whose outcome nobody will ever know."""
        return [exchange for exchange in self.exchanges.values() if exchange.outcome is None]


def keys_of(data_dir: Path) -> KeyRing:
    """What opens the log of a data directory: its own local key, where there is one."""
    path = default_path(data_dir)
    return KeyRing([LocalKey(path)]) if path.exists() else NO_KEYS


def read_log(directory: Path, *, files: FileOps = REAL_FILES, keys: KeyRing | None = None) -> LogContents:
    """Read a log (`DATA_DIR/log/<worker>`) from its first record to its end. keys: None for those beside it.

    Raises CorruptFrame: then the log is broken.
    """
    contents = LogContents()
    keys = keys_of(directory.parent.parent) if keys is None else keys
    for position, encoded in iter_records(directory, files=files, keys=keys):
        contents.records += 1
        if position.record_seq != contents.records:
            contents.faults.append(f"INV4: record {position.record_seq} where {contents.records} belongs")
        _take(contents, decode_record(encoded))
    names = list_segments(directory, files=files)
    if [name.number for name in names] != list(range(1, len(names) + 1)):
        contents.faults.append(f"INV4: segment numbers {[name.number for name in names]}")
    for name in files.names(directory):
        if name.endswith(SUFFIX_SEALED):
            for _ in read_segment(directory / name, files=files, keys=keys):
                pass  # proves footer, seal and trailer too
    contents.faults += [
        f"recovery calls {found.segment} {found.finding}"
        for found in contents.recovered
        if found.finding == "corrupt"
    ]
    return contents


def _take(contents: LogContents, record: object) -> None:
    match record:
        case LogStarted():
            contents.starts += 1
        case LogStopped():
            contents.orderly_ends += 1
        case SegmentRecovered():
            contents.recovered.append(record)
        case Intent():
            if record.exchange in contents.exchanges:
                contents.faults.append(f"INV3: two Intents of {record.exchange.hex()}")
            contents.exchanges[record.exchange] = Exchange(record, contents.starts)
        case RequestBody() | ResponseBody() | ChannelChunk() | Exited() | Outcome():
            exchange = contents.exchanges.get(record.exchange)
            if exchange is None:
                contents.faults.append(f"INV3: {type(record).__name__} of {record.exchange.hex()}, no Intent")
            else:
                _add(contents, exchange, record)


def _add(
    contents: LogContents,
    exchange: Exchange,
    record: RequestBody | ResponseBody | ChannelChunk | Exited | Outcome,
) -> None:
    if exchange.outcome is not None:
        contents.faults.append(f"INV3: {type(record).__name__} behind the Outcome of {exchange.audit_id}")
    if contents.starts != exchange.run:
        contents.faults.append(f"INV3: a later run wrote {type(record).__name__} of {exchange.audit_id}")
    match record:
        case RequestBody():
            exchange.request_body += record.data
        case ResponseBody():
            exchange.response_body += record.data
        case ChannelChunk(channel=Channel.STDIN, from_client=True):
            exchange.stdin += record.data
        case ChannelChunk(channel=Channel.STDOUT, from_client=False):
            exchange.stdout += record.data
        case Exited():
            exchange.exited = record
        case Outcome():
            exchange.outcome = record
