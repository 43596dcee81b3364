"""The points of the protocol at which to die (K2), each with the moment it stands for.

In the order in which they come in the life of a call, a segment, a log, and of what the keeper makes of it. `POINTS`
are met with the gateway alone; `KEEPER_POINTS` need a bucket and a retention policy too.
"""

from dataclasses import replace
from typing import Any, Final

from tests.crash.failpoints import Condition, Point


def _named(suffix: str) -> Condition:
    """A rename to, or removal of, a file with this suffix (arguments: self, ..., path)."""
    return lambda arguments: str(arguments[-1]).endswith(suffix)


def _of_zeros(arguments: tuple[Any, ...]) -> bool:
    return not b"".join(arguments[2]).strip(b"\0")


def _of_tombstone(arguments: tuple[Any, ...]) -> bool:
    return any(b"tombstone" in part for part in arguments[2])


_ARRIVED: Final = "gateway.upstream.connection:UpstreamConnection"
_WRITER: Final = "storage.writer:SegmentWriter"
_FILES: Final = "storage.files:RealFiles"
_S3: Final = "gateway.export.s3:S3Store"
_TREE_EXPORT: Final = "gateway.export.tree_export:TreeExport"
_TREES: Final = "gateway.keeping.tree:Trees"
_TAPE: Final = "gateway.tape:Tape"

POINTS: Final = (
    # --- a segment begins ---------------------------------------------------------------------------
    Point("zeros-made", "zeros of the first segment written, no header", "storage.writer:write_zeros"),
    Point("zeros-half", "half of a new segment's zeros", "storage.writer:write_all", "half", of=_of_zeros),
    Point("segment-renamed", "`.open` named, name not durable", f"{_FILES}.rename", of=_named(".open")),
    Point("segment-begun", "a segment begun, nothing in it", "storage.log:open_segment", most=3),
    # --- a call is recorded and forwarded --------------------------------------------------------------
    Point("intent-reserved", "number given out, Intent in memory only", f"{_TAPE}.intent", most=40),
    Point("frame-torn", "half a frame written", f"{_WRITER}._write", "half", 60),
    Point("frame-written", "a frame written, not synced", f"{_WRITER}.append", most=60),
    Point("frame-synced", "a frame synced, nobody told", f"{_WRITER}.sync", most=60),
    Point("commit-told", "waiters told, nothing forwarded", "gateway.durable_wait:DurableWait._wake_reached", most=40),
    Point("intent-durable", "Intent durable, nothing upstream", f"{_TAPE}.intent_durable", most=40),
    Point("forwarding", "a byte before it goes upstream", f"{_ARRIVED}.send_prepared", "before", 40),
    Point("forwarded", "upstream has it, no answer read", f"{_ARRIVED}.send_prepared", most=40),
    Point("body-unfinished", "large body recorded, its last bytes held back", f"{_TAPE}.request_ended", most=4),
    Point("answered", "answer read, nothing of it recorded", f"{_ARRIVED}.receive", most=40),
    Point("answer-recorded", "answer's head in memory, nothing down", f"{_TAPE}.answer", most=40),
    Point("mid-answer", "part of an answer down", "gateway.server.http1:Http1Request.send", most=40),
    Point("outcome-reserved", "Outcome in memory only", f"{_TAPE}.end", most=40),
    Point("outcome-durable", "Outcome durable, last byte not down", f"{_TAPE}.durable", most=20),
    # --- a stream -------------------------------------------------------------------------------------
    Point("tunnel-open", "101 recorded, not sent", "gateway.tunnel_record:TunnelRecord.started", most=2),
    Point("chunk-recorded", "input in memory, not passed on", "gateway.tunnel_record:TunnelRecord.carried", most=40),
    Point("tunnel-ended", "end of a stream in memory", "gateway.tunnel_record:TunnelRecord.ended"),
    # --- a segment ends -------------------------------------------------------------------------------
    Point("rotation-due", "before a rotation", "storage.log:SegmentLog._rotate", "before", 3),
    Point("handed-over", "full segment handed over, no new one", "storage.attendant:Attendant.seal", most=3),
    Point("rotated", "new segment, the old one not sealed", "storage.log:SegmentLog._rotate", most=3),
    Point("sealing", "before block table and seal", f"{_WRITER}.seal", "before", 3),
    Point("trailer-torn", "half a trailer", f"{_WRITER}._write", "half", 2, lambda a: len(a[-1]) == 64),
    Point("trailer-written", "trailer written, file not cut", f"{_WRITER}._finish", "before", 3),
    Point("file-cut", "file cut to size, not synced", f"{_FILES}.truncate", most=3),
    Point("sealed-renamed", "`.kseg` named, name not durable", f"{_FILES}.rename", of=_named(".kseg"), most=2),
    Point("sealed", "sealed, descriptor open", f"{_WRITER}.seal", most=3),
    Point("spare-half", "a spare half made", "storage.attendant:Attendant._pause"),
    Point("spare-made", "a spare named", "storage.attendant:Attendant._make_spare", most=2),
    # --- recovery -------------------------------------------------------------------------------------
    Point("examining", "before an open segment is examined", "storage.recovery:examine", "before", behind="frame-written"),
    Point("setting-aside", "before torn bytes are copied", "storage.recovery:set_aside", "before", behind="frame-torn"),
    Point("torn-renamed", "`.torn` named, not durable", f"{_FILES}.rename", of=_named(".torn"), behind="frame-torn"),
    Point("recovery-said", "recovery recorded, old names", "storage.log:mark_recovered", "before", behind="frame-written"),
    Point("recovered-renamed", "`.recovered` named, not durable", f"{_FILES}.rename", of=_named(".recovered"), behind="frame-torn"),
    Point("start-recorded", "LogStarted in memory", "gateway.app:open_record"),
    # --- an orderly end ---------------------------------------------------------------------------------
    Point("draining", "drain begun", "gateway.server.listener:Listener.drain", in_drain=True),
    Point("stopping", "drained, LogStopped not recorded", "gateway.app:_close", "before", in_drain=True),
    # --- the keeper -------------------------------------------------------------------------------------
    Point("indexing", "rows of a day not committed", "storage.index_day:Day.commit", "before", 4, in_keeper=True),
    Point("indexed", "rows committed, position not saved", "storage.index_day:Day.commit", most=4, in_keeper=True),
    Point("position-saved", "position saved", "storage.index_state:IndexState.save", most=4, in_keeper=True),
    Point("closing", "log closed, not unlocked", "storage.log:SegmentLog._finish", in_drain=True),
)  # fmt: skip


KEEPER_POINTS: Final = tuple(
    replace(point, in_keeper=True)
    for point in (
        # --- the tree -----------------------------------------------------------------------------------
        Point("leaves-taken", "leaves in memory, nothing signed", "storage.notary.notary:Notary.advance", most=6),
        Point("frames-synced", "frames synced, checkpoint not signed", "storage.notary.notary:Notary._write_marks", most=4),
        Point("tile-torn", "half a tile or checkpoint written", f"{_FILES}.write", "half", 12),
        Point("tiles-written", "tiles there, checkpoint not", f"{_FILES}.rename", "before", 3, _named("/checkpoint")),
        Point("checkpoint-named", "checkpoint renamed", f"{_FILES}.rename", most=3, of=_named("/checkpoint")),
        Point("tree-published", "checkpoint published", "storage.tlog.tree:TreeStore.publish", most=4),
        # --- rows ---------------------------------------------------------------------------------------
        Point("row-file-made", "rows of a segment named", "storage.lake.rows_file:RowsFile.finish", most=4),
        Point("rows-noted", "rows made, state not saved", "storage.lake.rows_writer:save_state", "before", 3),
        # --- export ---------------------------------------------------------------------------------------
        Point("uploading", "before a PUT", f"{_S3}.put_once", "before", 8),
        Point("put-acked", "PUT acknowledged, not compared", f"{_S3}.put_once", most=8),
        Point("verified", "compared, not in the ledger", "gateway.export.file_lane:ship_file", most=8),
        Point("ledger-torn", "half a line of the ledger", "gateway.export.ledger:Ledger._append", "half", 8),
        Point("ledger-noted", "in the ledger", "gateway.export.ledger:Ledger.add", most=8),
        Point("tiles-sent", "tiles in the bucket, checkpoint not", f"{_TREE_EXPORT}._send_tiles", most=2),
        Point("checkpoint-sent", "checkpoint in the bucket, not noted", f"{_TREE_EXPORT}._export", most=2),
        # --- retention --------------------------------------------------------------------------------------
        Point("burying", "before a tombstone", "storage.retention.expiry_run:bury", "before", 2),
        Point("tombstone-torn", "half a tombstone", "storage.files:write_all", "half", of=_of_tombstone),
        Point("buried", "tombstone durable, no leaf", "storage.retention.expiry_run:bury", most=2),
        Point("grave-marked", "tombstone's leaf in the tree, segment there", f"{_TREES}.put_leaves"),
        Point("unlinking", "before the segment is removed", "storage.retention.expiry_run:unlink", "before"),
        Point("segment-removed", "segment removed, not synced", f"{_FILES}.remove", of=_named(".kseg")),
        Point("unlinked", "segment gone, its key there", "storage.retention.expiry_run:unlink", most=2),
        Point("tidied", "key gone too", "storage.retention.expiry_run:tidy", most=2),
    )
)  # fmt: skip


def by_name(name: str) -> Point:
    return next(point for point in POINTS + KEEPER_POINTS if point.name == name)
