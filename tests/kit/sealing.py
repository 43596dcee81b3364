"""Keys for tests: a wrapper that is a number, a maker that can be out of order, encrypted segments."""

import threading
from collections.abc import Callable
from pathlib import Path

import msgspec

from storage.encryption.cipher import new_cipher_parameters
from storage.encryption.key_pool import KeyPool
from storage.encryption.keys import DataKey, Envelope, KeyMaker, KeyRing, Wrap, Wrapper
from storage.errors import StorageError
from storage.files import REAL_FILES, FileOps
from storage.log import LogIdentity, SegmentLog
from storage.pace import LogSettings
from storage.records import encode_record
from storage.writer import SegmentWriter, open_segment
from tests.kit.recorded import Tape
from tests.kit.segments import CAPACITY, header, write_blocks

ORIGIN = "example.com/kubetape/gw"


class XorKey:
    """Wraps by adding one number to every byte: no cipher, but it tells right from wrong."""

    def __init__(self, kek_id: str = "local:test", pad: int = 0x5A) -> None:
        self.kek_id, self._pad = kek_id, pad
        self.opened = 0

    def wrap(self, key: bytes, segment_id: str) -> Wrap:
        return Wrap(self.kek_id, "xor", bytes(byte ^ self._pad for byte in key))

    def unwrap(self, envelope: Envelope) -> bytes | None:
        for wrap in envelope.wraps:
            if (wrap.alg, wrap.kek_id) == ("xor", self.kek_id):
                self.opened += 1
                return bytes(byte ^ self._pad for byte in wrap.blob)
        return None


KEK = XorKey()
RING = KeyRing([KEK])


def maker(*wrappers: XorKey) -> KeyMaker:
    return KeyMaker(ORIGIN, wrappers or (KEK,))


class FlakyMaker(KeyMaker):
    """A maker whose service can be taken away. made: how often it succeeded."""

    def __init__(self) -> None:
        super().__init__(ORIGIN, (KEK,))
        self.error: Exception | None = None
        self.made = 0
        self.asked = threading.Semaphore(0)

    def make(self) -> DataKey:
        self.asked.release()
        if self.error is not None:
            raise self.error
        self.made += 1
        return super().make()


def service_away() -> StorageError:
    return StorageError("the key service does not answer")


def begin_encrypted(
    directory: Path,
    number: int = 1,
    *,
    data_key: DataKey | None = None,
    files: FileOps = REAL_FILES,
    first_record_seq: int = 1,
    prev: str = "",
    capacity: int = CAPACITY,
) -> SegmentWriter:
    """An encrypted segment for records, its envelope beside it."""
    key = data_key or maker().make()
    head = msgspec.structs.replace(
        header(number, first_record_seq=first_record_seq, prev=prev),
        segment_id=key.envelope.segment_id,
        cipher=new_cipher_parameters(),
    )
    return open_segment(files, directory, head, capacity_bytes=capacity, spare=None, data_key=key)


def sealed_encrypted(directory: Path, *counts: int, number: int = 1, data_key: DataKey | None = None) -> Path:
    segment = begin_encrypted(directory, number, data_key=data_key)
    write_blocks(segment, *counts)
    return segment.seal()


def write_encrypted_log(
    data_dir: Path,
    tape: Tape,
    *wrappers: Wrapper,
    worker: str = "0",
    running: bool = False,
    on_data_key: Callable[[DataKey], None] = lambda _: None,
) -> SegmentLog:
    """One run of a gateway: everything in one more segment of the log. running: leave it open."""
    pool = KeyPool(KeyMaker(ORIGIN, wrappers or (KEK,)), 1)
    pool.start()
    log = SegmentLog.open(
        data_dir / "log" / worker,
        identity=LogIdentity("gw-1", ORIGIN, 0),
        on_commit=lambda _: None,
        on_failure=lambda _: None,
        settings=LogSettings(first_segment_bytes=256 << 10, spares=0),
        keys=pool,
        on_data_key=on_data_key,
    )
    for one in tape.records:
        log.append(encode_record(one), urgent=False)
    if not running:
        log.close(20)
    return log
