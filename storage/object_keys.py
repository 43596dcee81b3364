"""Names of objects in a bucket: translates files of a data directory to object keys, and back.

Every key is a pure function of what it names, so that a second upload of the same thing meets the first one
instead of making a twin. No clock, no bucket, no file. Layout, below `<prefix>/v1/`:

    segments/cluster=<c>/dt=<day>/hr=<hour>/gw=<gateway>-<worker>/<stem><suffix>
    index/<table>/cluster=<c>/dt=<day>/hr=<hour>/<stem>.ndjson.zst
    tlog/<SHA-256 of the origin>/{checkpoint, checkpoints/<size>, tile/...}
    keys/<segment id>.json      dict/<SHA-256>.zdict

The trap: day and hour are those of the segment's start in UTC, never of the upload, or a retry after midnight
would make a second object. Source: Hive partition names, as Athena, Trino and Spark prune by them; C2SP
tlog-tiles for what is below a log.
"""

import hashlib
import re
import time
from typing import Final

import msgspec

from storage.format import SegmentName, parse_segment_name
from storage.tlog.tiles import BadTile, parse_tile_path

VERSION: Final = "v1"
ROWS_SUFFIX: Final = ".ndjson.zst"

_ODD: Final = re.compile(r"[^A-Za-z0-9._-]")
_MAX_VALUE: Final = 64
_SEGMENT_KEY: Final = re.compile(
    r"segments/cluster=([A-Za-z0-9._-]+)/dt=[0-9-]{10}/hr=[0-9]{2}/gw=([A-Za-z0-9._-]+)/([0-9a-f-]+)(\.[a-z]+)"
)
_ENVELOPE_KEY: Final = re.compile(r"keys/([0-9a-f-]{36})\.json")
_TLOG_KEY: Final = re.compile(r"tlog/([0-9a-f]{64})/([a-z0-9./]+)")
_CHECKPOINT_NAME: Final = re.compile(r"vkey|checkpoint|checkpoints/[0-9]{1,19}")


class Place(msgspec.Struct, frozen=True):
    """Where a log's objects go. prefix: without slashes at its ends, "" for none."""

    prefix: str
    cluster: str
    gateway_id: str
    worker: int

    @property
    def log(self) -> str:
        """The log's name in a bucket: a worker of a gateway."""
        return f"{key_value(self.gateway_id)}-{self.worker}"


def root(prefix: str) -> str:
    """What every key of a store begins with, slash included."""
    return f"{prefix}/{VERSION}/" if prefix else f"{VERSION}/"


def key_value(text: str) -> str:
    """A name as part of a key: letters, digits, `.`, `_`, `-`, at most 64. Whatever had to be changed for that
    is told apart by a hash, so that two names never share a key."""
    clean = _ODD.sub("_", text)[:_MAX_VALUE]
    if clean == text and clean.strip("."):
        return clean
    mark = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{clean[: _MAX_VALUE - 9].strip('.') or 'unnamed'}-{mark}"


def segment_key(place: Place, name: SegmentName, suffix: str) -> str:
    """suffix: with its dot, `.kseg`, `.recovered`, `.torn`, `.tombstone` or `.shredded`."""
    partition = _partition(place.cluster, name)
    return f"{root(place.prefix)}segments/{partition}/gw={place.log}/{name.stem}{suffix}"


def rows_key(place: Place, name: SegmentName, table: str) -> str:
    partition = _partition(place.cluster, name)
    return f"{root(place.prefix)}index/{key_value(table)}/{partition}/{name.stem}{ROWS_SUFFIX}"


def envelope_key(prefix: str, segment_id: str) -> str:
    """The wrapped data keys of a segment."""
    return f"{root(prefix)}keys/{segment_id}.json"


def dictionary_key(prefix: str, sha256: bytes) -> str:
    return f"{root(prefix)}dict/{sha256.hex()}.zdict"


def tlog_root(prefix: str, origin: str) -> str:
    """Where a log's tree lies: an origin may hold anything, its hash is a fine key."""
    return f"{root(prefix)}tlog/{hashlib.sha256(origin.encode()).hexdigest()}/"


def tlog_key(prefix: str, origin: str, name: str) -> str:
    """name: relative to the log's tree: `checkpoint`, `checkpoints/<size>`, `vkey`, or a tile's path."""
    return tlog_root(prefix, origin) + name


def _partition(cluster: str, name: SegmentName) -> str:
    start = time.gmtime(name.start_ms // 1000)
    return f"cluster={key_value(cluster)}/dt={time.strftime('%Y-%m-%d', start)}/hr={start.tm_hour:02d}"


# --- back from keys -----------------------------------------------------------------------------------


class SegmentObject(msgspec.Struct, frozen=True):
    """What the key of an object below `segments/` says. log: see Place.log."""

    cluster: str
    log: str
    name: SegmentName
    suffix: str


class TlogObject(msgspec.Struct, frozen=True):
    """name: relative to the log's tree."""

    origin_sha256: str
    name: str


def parse_segment_key(prefix: str, key: str) -> SegmentObject | None:
    """Read a key below `segments/`; None when it is not one of ours."""
    match = _SEGMENT_KEY.fullmatch(key.removeprefix(root(prefix)))
    name = parse_segment_name(match[3]) if match else None
    return SegmentObject(match[1], match[2], name, match[4]) if match and name else None


def parse_envelope_key(prefix: str, key: str) -> str | None:
    """The segment id of a key below `keys/`; None when it is not one of ours."""
    match = _ENVELOPE_KEY.fullmatch(key.removeprefix(root(prefix)))
    return match[1] if match else None


def parse_tlog_key(prefix: str, key: str) -> TlogObject | None:
    """Read a key below `tlog/`; None when it is not one of ours."""
    match = _TLOG_KEY.fullmatch(key.removeprefix(root(prefix)))
    return TlogObject(match[1], match[2]) if match is not None and _is_tree_file(match[2]) else None


def _is_tree_file(name: str) -> bool:
    if _CHECKPOINT_NAME.fullmatch(name):
        return True
    try:
        parse_tile_path(name)
    except BadTile:
        return False
    return True
