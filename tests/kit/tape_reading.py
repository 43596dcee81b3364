"""A data directory's log as exchanges: what every test that compares records starts from."""

import hashlib
import uuid
from collections.abc import Iterator
from pathlib import Path

import msgspec

from gateway.keys.opening import open_key_ring
from storage.records import (
    AnyRecord,
    ChannelChunk,
    Intent,
    Outcome,
    RequestBody,
    ResponseBody,
    ResponseStarted,
    SubRequest,
    TunnelStarted,
    UnknownRecord,
    decode_record,
)
from storage.sources import SegmentLogs


class Recorded(msgspec.Struct):
    """Everything recorded of one exchange. channels: (channel, connection, from_client) -> bytes seen."""

    intent: Intent
    request_body: "Bytes"
    response_body: "Bytes"
    channels: dict[tuple[int, int, bool], "Bytes"]
    status: int = 0
    tunnel: TunnelStarted | None = None
    outcome: Outcome | None = None
    outcomes: int = 0


class Bytes:
    """Length and SHA-256 of bytes that are not kept."""

    def __init__(self) -> None:
        self._hash, self.length = hashlib.sha256(), 0

    def add(self, data: bytes) -> None:
        self._hash.update(data)
        self.length += len(data)

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()


def read_records(data_dir: Path) -> Iterator[AnyRecord | UnknownRecord]:
    """Every record of every log of a data directory, log by log, in order."""
    source = SegmentLogs(data_dir, keys=open_key_ring(data_dir, [], use_kms=False))
    for log in source.logs():
        for _, encoded in source.records(log, None):
            yield decode_record(encoded)


def read_exchanges(data_dir: Path) -> dict[str, Recorded]:
    """By Audit-ID. Fails on a record that belongs to no Intent."""
    found: dict[bytes, Recorded] = {}
    for record in read_records(data_dir):
        if isinstance(record, Intent):
            assert record.exchange not in found, "two Intents for one exchange"
            found[record.exchange] = Recorded(record, Bytes(), Bytes(), {})
            continue
        exchange = getattr(record, "exchange", b"")
        # What the gateway asks itself may be needed to decide the call, so it comes before the Intent.
        if exchange and not isinstance(record, SubRequest):
            assert exchange in found, f"a record without an Intent before it: {record}"
            _add(found[exchange], record)
    return {str(uuid.UUID(bytes=exchange)): recorded for exchange, recorded in found.items()}


def read_sub_requests(data_dir: Path) -> dict[str, SubRequest]:
    """What the gateway asked the cluster itself on behalf of calls, by Audit-ID, with the status of the answer."""
    return {
        str(uuid.UUID(bytes=record.audit_id)): record
        for record in read_records(data_dir)
        if isinstance(record, SubRequest)
    }


def _add(recorded: Recorded, record: AnyRecord | UnknownRecord) -> None:
    match record:
        case RequestBody():
            assert record.offset == recorded.request_body.length, "a request body with a hole"
            recorded.request_body.add(record.data)
        case ResponseBody():
            assert record.offset == recorded.response_body.length, "a response body with a hole"
            recorded.response_body.add(record.data)
        case ChannelChunk():
            key = (record.channel, record.connection, record.from_client)
            recorded.channels.setdefault(key, Bytes()).add(record.data)
        case ResponseStarted():
            recorded.status = record.status
        case TunnelStarted():
            recorded.tunnel = record
        case Outcome():
            recorded.outcome = record
            recorded.outcomes += 1
