"""How fast a log is verified, checked at a start, recovered after a crash, and its tree kept up: by frame size.

    python -m benchmarks.verify [--directory DIR] [--mib 1024] [--processes 2] [--json FILE]

Makes sealed segments of 64 MiB with a hash tree and a signed checkpoint, as a gateway leaves them. Columns: frame size as
on disk; verify in MB/s, wall time, with one process and with several; start check in ms; recovery of an open segment of
64 MiB (the "open tail" of a killed gateway) in s; leaves in us a frame (reading, hashing, appending to the tree); restart of
the notary in ms. Files are in the page cache: what is measured is the verifier, not the disk.
"""

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from benchmarks.report import environment, write_json
from storage.dictionary import shipped_parameters
from storage.files import REAL_FILES
from storage.format import CipherParameters, SegmentHeader
from storage.notary.log_key import open_signer
from storage.notary.notary import Notary
from storage.notary.start_check import check_log
from storage.recovery import examine
from storage.segment_id import new_segment_id
from storage.tlog.note import SignerKey
from storage.verify.tree_check import Trust
from storage.verify.verify import verify
from storage.writer import SegmentWriter, new_salt, open_segment

ORIGIN = "kubetape/bench/0"
SEGMENT_BYTES = 64 << 20
FRAME_SIZES = (512, 1024, 2048, 8192, 65_536)
START_NS = 1_790_000_000_000_000_000
OVERHEAD_BYTES = 40 + 4 + 20
"""Frame header, record length, and what zstd adds to what it cannot compress."""


def header(number: int, prev: str, first_record_seq: int) -> SegmentHeader:
    return SegmentHeader(
        segment_id=new_segment_id(START_NS),
        log_origin=ORIGIN,
        gateway_id="bench",
        worker=0,
        writer_epoch=1,
        segment_number=number,
        prev_segment_id=prev,
        first_record_seq=first_record_seq,
        created_ns=START_NS + number,
        salt32=new_salt(),
        zstd=shipped_parameters(0, 1),
        cipher=CipherParameters("none"),
    )


def fill(directory: Path, head: SegmentHeader, frame_bytes: int, segment_bytes: int) -> SegmentWriter:
    segment = open_segment(REAL_FILES, directory, head, capacity_bytes=segment_bytes, spare=None)
    noise = os.urandom(2 * frame_bytes)  # encrypted frames do not compress either
    for written in range(0, segment_bytes - (1 << 20) * 2, frame_bytes):
        at = written % frame_bytes + written // frame_bytes % frame_bytes
        segment.append([noise[at : at + frame_bytes - OVERHEAD_BYTES]], START_NS + written)
    return segment


def make_log(data_dir: Path, frame_bytes: int, total_bytes: int) -> SignerKey:
    """Sealed segments, nothing else."""
    directory = data_dir / "log" / "0"
    REAL_FILES.make_directory(directory)
    prev, first = "", 1
    for number in range(1, max(2, -(-total_bytes // SEGMENT_BYTES) + 1)):
        segment = fill(directory, header(number, prev, first), frame_bytes, SEGMENT_BYTES)
        segment.seal()
        prev, first = segment.header.segment_id, segment.next_record_seq
    return open_signer(data_dir, ORIGIN)


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def notarise(notary: Notary) -> None:
    notary.advance()
    while not notary.waits:
        notary.advance()
    notary.publish(time.monotonic(), durable=True)


def measure(root: Path, frame_bytes: int, total_bytes: int, processes: int) -> dict[str, float]:
    data_dir = root / str(frame_bytes)
    directory = data_dir / "log" / "0"
    signer = make_log(data_dir, frame_bytes, total_bytes)
    notary = Notary.open(REAL_FILES, directory, signer)
    leaves_s = timed(lambda: notarise(notary))
    leaves = notary.store.size
    notary.close()
    keys = [signer.verifier]
    trust = Trust((signer.verifier,))
    size = sum(path.stat().st_size for path in directory.glob("*.kseg"))
    row: dict[str, float] = {"frame_bytes": frame_bytes, "frames": leaves, "mib": size >> 20}
    for count in sorted({1, processes}):
        report = verify(REAL_FILES, data_dir, trust=trust, processes=count)
        assert report.exit_code == 0, report.all_findings[:3]
        row[f"verify_{count}_mb_s"] = round(size / 1e6 / report.took_s)
        row[f"verify_{count}_s"] = round(report.took_s, 2)
    row["start_check_ms"] = round(timed(lambda: check_log(REAL_FILES, directory, keys)) * 1e3, 1)
    row["notary_restart_ms"] = round(
        timed(lambda: Notary.open(REAL_FILES, directory, signer).close()) * 1e3, 1
    )
    row["leaf_us"] = round(leaves_s / leaves * 1e6, 1)
    open_dir = root / "open"
    REAL_FILES.make_directory(open_dir)
    tail = fill(open_dir, header(1, "", 1), frame_bytes, SEGMENT_BYTES)
    tail.abandon()
    row["recover_open_s"] = round(timed(lambda: examine(REAL_FILES, tail.path)), 2)
    shutil.rmtree(data_dir)
    shutil.rmtree(open_dir)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--directory", type=Path, help="with room for the segments; default: the temporary one"
    )
    parser.add_argument("--mib", type=int, default=1024, help="of segments, for each frame size")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--frames", type=int, nargs="*", default=list(FRAME_SIZES), help="frame sizes in bytes"
    )
    parser.add_argument("--json", help="also write the figures to this file")
    arguments = parser.parse_args()
    root = Path(tempfile.mkdtemp(dir=arguments.directory, prefix="kubetape-verify-"))
    rows = []
    try:
        print(msgspec.json.encode(environment()).decode())
        for frame_bytes in arguments.frames:
            row = measure(root, frame_bytes, arguments.mib << 20, arguments.processes)
            if not rows:
                print("  ".join(row))
            print("  ".join(f"{value:g}".rjust(len(name)) for name, value in row.items()), flush=True)
            rows.append(row)
    finally:
        shutil.rmtree(root)
    write_json(arguments.json, {"verify": rows})


if __name__ == "__main__":
    main()
