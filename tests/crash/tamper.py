"""K13: every single bit of a sealed segment, flipped, and the verifier run on what that makes.

    python -m tests.crash.tamper --all                 # all 524,288 flips of 64 KiB, some minutes
    python -m tests.crash.tamper --sample 20000 --seed 7

Each flip is verified as `kubetape verify` would: the whole segment is read and compared with its leaves. Only the tree,
which no flip of a segment changes, is not read again. A flip that is not found is printed with its byte and bit, and the
exit code is 1.
"""

import argparse
import multiprocessing
import random
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from storage.files import REAL_FILES, RealFiles
from storage.notary.leaf import encode_segment_id
from storage.segment_file import SegmentFile
from storage.verify.segment_check import SegmentResult, SegmentTask, check_segment
from storage.verify.tree_scan import TreeSnapshot, scan_tree
from tests.kit.notarised import NotarisedLog
from tests.kit.segments import START_NS

SEGMENT_BYTES = 64 * 1024
NOISE = random.Random(5)


class OneFile(RealFiles):
    """Real files, but for one path whose content is in memory."""

    def __init__(self, path: Path, content: bytes) -> None:
        self.path, self.content = path, bytearray(content)

    def open_read(self, path: Path) -> int:
        return -7 if path == self.path else super().open_read(path)

    def size(self, fd: int) -> int:
        return len(self.content) if fd == -7 else super().size(fd)

    def read(self, fd: int, length: int, offset: int) -> bytes:
        return bytes(self.content[offset : offset + length]) if fd == -7 else super().read(fd, length, offset)

    def close(self, fd: int) -> None:
        if fd != -7:
            super().close(fd)


def sealed_64_kib(log: NotarisedLog) -> Path:
    """A sealed segment of exactly 64 KiB, in some forty frames of 1 to 2 KiB."""
    segment = log.begin()
    while True:
        room = (
            SEGMENT_BYTES - 4096 - 64 - sum(map(len, _footer(segment.blocks + 2))) - (segment._offset - 4096)
        )
        if room < 2500:
            break
        segment.append([NOISE.randbytes(1000 + NOISE.randrange(900))], START_NS + segment.blocks)
    return segment.seal()


def _footer(blocks: int) -> list[bytes]:
    return [bytes(64 * blocks + 200)]


class Target:
    """One segment, and what the tree says of it."""

    def __init__(self, log: NotarisedLog, path: Path) -> None:
        snapshot = whole_tree(log)
        part = scan_tree(REAL_FILES, snapshot, 0, -(-snapshot.size // 256), [])
        with SegmentFile(REAL_FILES, path) as segment:
            segment_id = encode_segment_id(segment.header.segment_id)
        runs = tuple(run for run in part.runs if run.segment_id == segment_id)
        ends = [entry for _, entry in part.others if segment_id in entry[:18]]
        self.task = SegmentTask(str(path.parent), path.stem, runs=runs, end=ends[0] if ends else b"")
        self.snapshot = snapshot
        self.files = OneFile(path, path.read_bytes())

    def check(self) -> SegmentResult:
        return check_segment(self.files, self.task, self.snapshot)

    def is_found(self, byte: int, bit: int) -> bool:
        """Flip, verify, flip back."""
        self.files.content[byte] ^= 1 << bit
        try:
            return any(not finding.is_note for finding in self.check().findings)
        finally:
            self.files.content[byte] ^= 1 << bit


def whole_tree(log: NotarisedLog) -> TreeSnapshot:
    from storage.verify.tree_check import TreeCheck, Trust, scan_here

    check = TreeCheck(REAL_FILES, log.directory / "tlog", Trust((log.signer.verifier,)), ())
    tree = check.run(scan_here(REAL_FILES))
    assert tree is not None
    assert tree.is_signed
    return tree.snapshot


def make_target(directory: Path) -> Target:
    log = NotarisedLog(directory)
    path = sealed_64_kib(log)
    log.notarise()
    target = Target(log, path)
    result = target.check()
    assert not result.findings, result.findings
    assert result.frames > 30
    return target


def missed(target: Target, flips: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    return [flip for flip in flips if not target.is_found(*flip)]


def sampled(size: int, count: int, seed: int) -> list[tuple[int, int]]:
    rng = random.Random(seed)
    return [(rng.randrange(size), rng.randrange(8)) for _ in range(count)]


def _share(directory: str, start: int, end: int) -> tuple[int, list[tuple[int, int]]]:
    target = make_target(Path(directory) / str(start))
    flips = [(byte, bit) for byte in range(start, min(end, len(target.files.content))) for bit in range(8)]
    return len(flips), missed(target, flips)


def everything(processes: int) -> Iterator[tuple[int, list[tuple[int, int]]]]:
    """(how many flips, those not found), share after share. Each share has a segment of its own."""
    step = 1024
    with tempfile.TemporaryDirectory() as directory:
        starts = range(0, SEGMENT_BYTES, step)
        with multiprocessing.get_context("spawn").Pool(processes) as pool:
            waiting = [pool.apply_async(_share, (directory, start, start + step)) for start in starts]
            for share in waiting:
                yield share.get()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--all", action="store_true", help="every bit")
    parser.add_argument("--sample", type=int, default=20_000, help="how many otherwise")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args(arguments)
    began, count, not_found = time.monotonic(), 0, []
    if options.all:
        for done, more in everything(options.processes):
            count, not_found = count + done, not_found + more
            print(f"\r{count} flips, {len(not_found)} not found", end="", file=sys.stderr)
        print(file=sys.stderr)
    else:
        with tempfile.TemporaryDirectory() as directory:
            target = make_target(Path(directory))
            flips = sampled(len(target.files.content), options.sample, options.seed)
            count, not_found = len(flips), missed(target, flips)
    for byte, bit in not_found:
        print(f"NOT FOUND: bit {bit} of byte {byte}")
    print(f"{count} flips in {time.monotonic() - began:.0f} s, {len(not_found)} not found")
    return 1 if not_found else 0


if __name__ == "__main__":
    sys.exit(main())
