"""A data directory with sealed segments and a tree, and an exporter over it."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import msgspec

from gateway.export.exporter import Exporter
from gateway.export.s3 import S3Store
from gateway.export.settings import LockMode, ObjectLock, S3Settings
from storage.encryption.keys import Envelope, Wrap, write_envelope
from storage.files import REAL_FILES
from storage.tlog.checkpoint import Checkpoint, sign_checkpoint
from storage.tlog.note import generate_signer, parse_signer
from storage.tlog.tree import TreeStore
from tests.kit.segments import header, sealed_file
from tests.kit.strict_s3 import BUCKET, StrictS3

ORIGIN = "example.com/kubetape/gw"
SIGNER, VKEY = generate_signer("example.com/kubetape/gw")
COMPLIANCE = ObjectLock(mode=LockMode.COMPLIANCE, days=1)
SEGMENTS = "records/v1/segments/cluster=prod/dt=2026-09-21/hr=14/gw=gw-0/"
TREE = f"records/v1/tlog/{hashlib.sha256(ORIGIN.encode()).hexdigest()}/"


def settings(s3: StrictS3, **changes: object) -> S3Settings:
    base = S3Settings(bucket=BUCKET, prefix="records", endpoint_url=s3.endpoint, object_lock=COMPLIANCE)
    return msgspec.structs.replace(base, **changes)


def exporter(data_dir: Path, s3: StrictS3, **options: object) -> Exporter:
    chosen = options.pop("settings", None) or settings(s3)
    assert isinstance(chosen, S3Settings)
    store = S3Store(chosen, attempts=1, read_timeout_s=5.0)
    return Exporter(data_dir, chosen, store, cluster="prod", jitter=lambda: 0.0, **options)  # type: ignore[arg-type]


def segments(data_dir: Path, count: int, *, first: int = 1, dict_id: int = 0) -> list[Path]:
    directory = data_dir / "log" / "0"
    directory.mkdir(parents=True, exist_ok=True)
    return [
        sealed_file(directory, 2, head=header(number, dict_id=dict_id))
        for number in range(first, first + count)
    ]


def envelope(segment: Path, blob: bytes = b"wrapped") -> str:
    """Write wrapped keys beside a segment; returns its id."""
    from storage.segment_file import SegmentFile

    with SegmentFile(REAL_FILES, segment) as opened:
        segment_id = opened.header.segment_id
    wraps = (Wrap("local:test", "aes-kw", blob),)
    write_envelope(REAL_FILES, segment.with_suffix(".keys"), Envelope(segment_id, ORIGIN, wraps))
    return segment_id


class Tree:
    """The tree of log 0, grown and signed."""

    def __init__(self, data_dir: Path) -> None:
        self.directory = data_dir / "log" / "0" / "tlog"
        self.directory.mkdir(parents=True, exist_ok=True)
        self.store = TreeStore(REAL_FILES, self.directory, clock=lambda: 0.0)
        self._signer = parse_signer(SIGNER)

    def grow(self, count: int, entry: Callable[[int], bytes] = lambda index: b"entry %d" % index) -> bytes:
        self.store.append(entry(self.store.size + at) for at in range(count))
        size, root = self.store.head()
        note = sign_checkpoint(Checkpoint(ORIGIN, size, root), [self._signer])
        self.store.publish(note)
        return note
