"""What encryption and the hash tree add to a record: record size, one record a frame, with and without each.

    python -m benchmarks.encryption [--seconds 1.0] [--json FILE]

Single-record frames are the worst case: at low load every urgent record is a frame of its own. A frame is made as
the writer makes it (`SegmentWriter.append`), written to a file that is never synced, so disk and page cache count
the same for all; the ways take turns, so that whatever else the machine does meets all alike. The tree is what is
added per frame: its leaf, hashed and appended to a frontier. Figures are microseconds of CPU per record; the target
is at most 25 for both together.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from benchmarks.append import sample
from benchmarks.report import summary, write_json
from storage.dictionary import shipped_parameters
from storage.encryption.cipher import SUITE_NONE, new_cipher_parameters
from storage.encryption.keys import DataKey, KeyMaker, Wrap
from storage.files import REAL_FILES
from storage.format import CipherParameters, FrameInfo, SegmentHeader
from storage.notary.leaf import block_leaf, encode_leaf
from storage.segment_id import new_segment_id
from storage.tlog.merkle import Frontier, leaf_hash
from storage.writer import SegmentWriter, new_salt, open_segment

SIZES: Final = (300, 1024, 8192)
BATCH: Final = 50
"""Records of one way before the next has its turn."""
CAPACITY_BYTES: Final = 1 << 20
WAYS: Final = ("neither", "encryption", "tree", "both")


class Nobody:
    """A recipient that keeps nothing: wrapping is per segment, and not what is measured."""

    def wrap(self, key: bytes, segment_id: str) -> Wrap:
        return Wrap("nobody", "none", b"")


class Way:
    """One way to write records: appends to segments of its own, and to a tree of its own."""

    def __init__(self, directory: Path, *, encrypted: bool, tree: bool) -> None:
        self._directory, self._number = directory, 0
        self._maker = KeyMaker("bench", [Nobody()]) if encrypted else None
        self._frontier = Frontier() if tree else None
        self._segment: SegmentWriter | None = None
        self.samples_us: list[float] = []

    def run(self, records: Sequence[bytes]) -> None:
        """Write a batch; note the CPU time per record."""
        segment = self._segment
        if segment is None or not segment.takes(records, 0):
            segment = self._begin()
        started = time.thread_time_ns()
        for record in records:
            info = segment.append([record], 1)
            if self._frontier is not None:
                self._grow(segment.header.segment_id, info)
        self.samples_us.append((time.thread_time_ns() - started) / 1000 / len(records))

    def _grow(self, segment_id: str, info: FrameInfo) -> None:
        assert self._frontier is not None
        self._frontier.append(leaf_hash(encode_leaf(block_leaf(segment_id, info))))

    def _begin(self) -> SegmentWriter:
        if self._segment is not None:
            self._segment.abandon()
            self._segment.path.unlink()
        self._number += 1
        data_key: DataKey | None = self._maker.make() if self._maker else None
        header = SegmentHeader(
            segment_id=data_key.envelope.segment_id if data_key else new_segment_id(time.time_ns()),
            log_origin="bench",
            gateway_id="bench",
            worker=0,
            writer_epoch=1,
            segment_number=self._number,
            prev_segment_id="",
            first_record_seq=1,
            created_ns=time.time_ns(),
            salt32=new_salt(),
            zstd=shipped_parameters(),
            cipher=new_cipher_parameters() if data_key else CipherParameters(SUITE_NONE),
        )
        self._segment = open_segment(
            REAL_FILES, self._directory, header, capacity_bytes=CAPACITY_BYTES, spare=None, data_key=data_key
        )
        return self._segment

    def close(self) -> None:
        if self._segment is not None:
            self._segment.abandon()


def measure(directory: Path, size: int, seconds: float) -> dict[str, float]:
    """Median microseconds of CPU per record of each way, and what each adds to the plain one."""
    ways = {
        name: Way(directory, encrypted=name in ("encryption", "both"), tree=name in ("tree", "both"))
        for name in WAYS
    }
    records = sample(size)
    end_s, at = time.perf_counter() + seconds, 0
    while time.perf_counter() < end_s:
        batch = [records[(at + index) % len(records)] for index in range(BATCH)]
        at += BATCH
        for way in ways.values():
            way.run(batch)
    for way in ways.values():
        way.close()
    medians = {name: summary(way.samples_us)["p50"] for name, way in ways.items()}
    added = {f"{name} adds": medians[name] - medians["neither"] for name in WAYS[1:]}
    return {name: round(value, 1) for name, value in (medians | added).items()}


def main(show: Callable[[str], None] = print) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=1.0, help="of each size")
    parser.add_argument("--json", help="write the figures to this file")
    arguments = parser.parse_args()
    result: dict[str, object] = {}
    show("bytes  neither  encryption  tree  both  |  adds: encryption  tree  both   (us CPU a record)")
    with tempfile.TemporaryDirectory() as directory:
        for size in SIZES:
            figures = measure(Path(directory), size, arguments.seconds)
            result[str(size)] = figures
            cells = "  ".join(f"{figures[name]:7.1f}" for name in WAYS)
            adds = "  ".join(f"{figures[f'{name} adds']:7.1f}" for name in WAYS[1:])
            show(f"{size:5d}  {cells}  |  {adds}")
    write_json(arguments.json, result)


if __name__ == "__main__":
    main()
