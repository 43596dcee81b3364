"""Records of one log, in order -> rows of the lake's three tables. Pure: no file, no clock.

`RowMaker` is fed segment by segment. A call's row comes with its Outcome, or with the record that shows
that none will come (the next run of the gateway), and belongs to the segment of that record. Between two
segments the maker can be stored and goes on, in another process, with the same rows: every row once.

The trap: text is held back until its line is complete, and what is held back is not stored; hence
`end_segment`, at every border, restart or not.
"""

from typing import Final, TypeAlias

import msgspec

from storage.errors import UNDECODABLE
from storage.lake.call import LakeCall, RowContext
from storage.lake.facts import uuid_text
from storage.lake.place import LeafIndex, Place, SegmentRef, moment
from storage.lake.rows import ApiCall, Bigint, ControlEvent, Int, Row, StreamEvent
from storage.lake.settings import RowSettings
from storage.object_keys import key_value
from storage.records import (
    AnyRecord,
    Gap,
    Intent,
    LogStarted,
    LogStopped,
    RequestBody,
    ResponseBody,
    StateChanged,
    UnknownRecord,
    decode_record,
)
from storage.state_note import read_state

UNREADABLE_SEGMENT: Final = "SegmentUnreadable"
UNREADABLE_RECORD: Final = "RecordUnreadable"
_DETAIL_BYTES: Final = 64 * 1024
"""Longest detail: a record that no table has a column for is shown, not copied."""

_CallRows: TypeAlias = list[StreamEvent | ApiCall]


class RowMaker:
    """Makes the rows of one log. leaf_index: see LeafIndex; asked when a row is made.

    Give it every record of every segment in order; what it misses (a damaged segment) costs the rows of
    that, and calls whose Outcome was lost come out as unknown when the gateway starts next.
    """

    def __init__(
        self, log: str, settings: RowSettings | None = None, leaf_index: LeafIndex | None = None
    ) -> None:
        settings = settings or RowSettings()
        self._log = log
        self._context = RowContext(key_value(settings.cluster), settings, leaf_index)
        self._calls: dict[bytes, LakeCall] = {}

    def encode(self) -> bytes:
        """Everything that is open, after `end_segment`."""
        return msgspec.msgpack.encode([call.encode() for call in self._calls.values()])

    @classmethod
    def decode(
        cls, state: bytes, log: str, settings: RowSettings | None = None, leaf_index: LeafIndex | None = None
    ) -> "RowMaker":
        """The opposite of `encode`. Raises msgspec.DecodeError. See `bodies_from`."""
        maker = cls(log, settings, leaf_index)
        for encoded in msgspec.msgpack.decode(state, type=list[bytes]):
            call = LakeCall.decode(maker._context, encoded)
            maker._calls[call.exchange] = call
        return maker

    # --- records ----------------------------------------------------------------------------------

    def take(self, at: Place, encoded: bytes) -> list[Row]:
        """The next record; returns the rows it completes."""
        try:
            record = decode_record(encoded)
        except UNDECODABLE as error:  # a bug of the writer; the frame around it is intact
            return [self._control(at, UNREADABLE_RECORD, {"bytes": len(encoded), "why": str(error)})]
        if isinstance(record, Intent):
            self._calls[record.exchange] = LakeCall.begin(self._context, self._log, at, record)
            return []
        exchange = None if isinstance(record, Gap) else getattr(record, "exchange", None)
        if exchange is not None:
            return self._continue(exchange, at, record)
        rows: list[Row] = []
        if isinstance(record, LogStarted | LogStopped):
            rows += self._end_of_run(at)
        rows.append(self._note(at, record))
        return rows

    def end_segment(self) -> list[Row]:
        """The segment is read: what its streams hold back belongs to it."""
        rows: _CallRows = []
        for call in self._calls.values():
            call.flush(rows)
        return [*rows]

    def unreadable(self, segment: SegmentRef, at_ns: int, why: str) -> ControlEvent:
        """The row that says that a segment, or its rest, could not be read."""
        detail: dict[str, object] = {"segment": segment.stem, "why": why}
        return self._row(segment, at_ns, UNREADABLE_SEGMENT, detail, event_id=f"{segment.stem}/unreadable")

    def _continue(self, exchange: bytes, at: Place, record: AnyRecord | UnknownRecord) -> list[Row]:
        call = self._calls.get(exchange)
        if call is None:
            return []  # its Intent expired with an older segment, or could not be read
        rows: _CallRows = []
        if call.take(record, at, rows):
            del self._calls[exchange]
        return [*rows]

    def _end_of_run(self, at: Place) -> list[Row]:
        """Another run of the gateway writes from here on: what is open will never end."""
        rows: _CallRows = []
        for call in self._calls.values():
            call.abandon(at, rows)
        self._calls.clear()
        return [*rows]

    # --- bodies once more, after `decode` ------------------------------------------------------------

    def bodies_from(self) -> str | None:
        """Stem of the segment from which `feed_again` must get every record up to the last one taken, or
        some hashes will be None; None: nothing is needed."""
        wanting = [call.at for call in self._calls.values() if call.wants_bodies]
        return min(wanting, key=lambda at: at.rec_seq).segment.stem if wanting else None

    def feed_again(self, encoded: bytes) -> None:
        """A record taken before `encode`."""
        try:
            record = decode_record(encoded)
        except UNDECODABLE:
            return
        if isinstance(record, RequestBody | ResponseBody) and record.exchange in self._calls:
            self._calls[record.exchange].feed_again(record)

    # --- control events -----------------------------------------------------------------------------

    def _note(self, at: Place, record: AnyRecord | UnknownRecord) -> ControlEvent:
        """Any record that belongs to no exchange, those of later versions too."""
        if isinstance(record, UnknownRecord):
            return self._control(at, f"Record{record.number}", {"bytes": len(record.encoded)})
        fields = _plain(record)
        if isinstance(record, StateChanged):
            is_short = len(record.entry) <= _DETAIL_BYTES // 2
            is_allowed = not self._context.settings.metadata_only
            note = read_state(record, with_content=is_short and is_allowed)
            fields |= {"entry": note.entry, "session": note.session, "principal": {"user": note.user}}
        return self._control(at, type(record).__name__, fields, getattr(record, "at_ns", None))

    def _control(
        self, at: Place, kind: str, fields: dict[str, object], at_ns: int | None = None
    ) -> ControlEvent:
        row = self._row(
            at.segment,
            at.committed_ns if at_ns is None else at_ns,
            kind,
            fields,
            event_id=f"{at.segment.stem}/{at.rec_seq}",
        )
        return msgspec.structs.replace(
            row,
            rec_seq=Bigint(at.rec_seq),
            block_seq=Int(at.block_seq),
            rec_off=Int(at.rec_off),
            leaf_index=self._context.leaf(at),
        )

    def _row(
        self, segment: SegmentRef, at_ns: int, kind: str, fields: dict[str, object], *, event_id: str
    ) -> ControlEvent:
        when = moment(at_ns)
        principal = fields.get("principal")
        return ControlEvent(
            event_id=event_id,
            ts=when.ts,
            gateway_id=segment.gateway_id,
            rec_seq=None,
            kind=kind,
            session_id=_text(fields.get("session")),
            user=_text(principal.get("user")) if isinstance(principal, dict) else None,
            detail=_detail(fields),
            segment_id=segment.segment_id,
            block_seq=None,
            rec_off=None,
            leaf_index=None,
            cluster=self._context.cluster,
            dt=when.dt,
            hr=when.hr,
        )


def _plain(record: msgspec.Struct) -> dict[str, object]:
    """The fields of a record by name; records are arrays only on disk."""
    return {name: _plain_value(name, getattr(record, name)) for name in record.__struct_fields__}


def _plain_value(name: str, value: object) -> object:
    if isinstance(value, msgspec.Struct):
        return _plain(value)
    if isinstance(value, bytes):
        return uuid_text(value) if name == "exchange" else value.hex()
    if isinstance(value, tuple | list):
        return [_plain_value("", item) for item in value]
    return value


def _detail(fields: dict[str, object]) -> str:
    encoded = msgspec.json.encode(fields)
    if len(encoded) > _DETAIL_BYTES:
        encoded = msgspec.json.encode({"too_long_bytes": len(encoded)})
    return encoded.decode()


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
