"""What the keeper spends on a call, by duty: a log grows by so many calls, then each duty takes its step.

    python -m benchmarks.keeper [--seconds 1.0] [--recorded DIR] [--json FILE]

As in a keeper the log is encrypted, one commit a call, and each duty reads it from the disk for itself; unlike there,
a step comes when its calls are there, not when its time is. Few calls a step show what a step costs by itself, many
what a call does. CPU is that of the thread, kernel included: not seen are what wakes it, and the other threads of
the process. --recorded: also the calls of a data directory that a gateway has left, in their order (real kubectl:
`benchmarks.stored_bytes --keep DIR`). If it is encrypted, with the local key that lies in it.
"""

import argparse
import os
import random
import tempfile
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec

from benchmarks.record_samples import exchange
from benchmarks.report import write_json
from gateway.keys.opening import open_key_ring
from storage.dictionary import shipped_parameters
from storage.encryption.cipher import new_cipher_parameters
from storage.encryption.keys import KeyMaker, KeyRing
from storage.encryption.local_key import ensure_local_key
from storage.files import REAL_FILES
from storage.format import SegmentHeader
from storage.index import Indexer
from storage.notary.log_key import open_signer
from storage.notary.notary import Notary
from storage.pace import cut_blocks
from storage.records import MAX_DATA_BYTES, Intent, Outcome, ResponseBody, decode_record, encode_record
from storage.sources import LOG_DIRECTORY, SegmentLogs
from storage.writer import SegmentWriter, new_salt, open_segment

CALLS_A_STEP: Final = (1, 20, 500)
CAPACITY_BYTES: Final = 192 << 20
ORIGIN: Final = "bench/0"
LOG: Final = "0"

Call = list[bytes]
"""Encoded records of one call."""


class GrowingDirectory:
    """A data directory whose log grows when it is told to, and the duties that follow it."""

    def __init__(self, directory: Path) -> None:
        key = ensure_local_key(directory / "keys" / "local.key")
        log = directory / LOG_DIRECTORY / LOG
        log.mkdir(parents=True)
        self._segment = _begin_segment(log, KeyMaker(ORIGIN, [key]))
        keys = KeyRing([key])
        self._indexer = Indexer(directory, source=SegmentLogs(directory, keys=keys))
        self._notary = Notary.open(REAL_FILES, log, open_signer(directory, ORIGIN))
        self._now_s = 0.0
        self._index_directory = self._indexer.directory

    def grow(self, calls: list[Call]) -> bool:
        """False once the segment is full."""
        for records in calls:
            for block in cut_blocks(records):
                if not self._segment.takes(block, time.time_ns()):
                    return False
                self._segment.append(block, time.time_ns())
        return True

    def steps(self) -> dict[str, float]:
        """Seconds of CPU of each duty for what is new."""
        return {"index": _cpu_s(self._index), "tree": _cpu_s(self._tree)}

    def _index(self) -> None:
        while self._indexer.run_once():
            pass

    def _tree(self) -> None:
        self._now_s += 1.0  # as if its second were over
        self._notary.advance()
        while not self._notary.waits:
            self._notary.advance()
        self._notary.publish(self._now_s)

    def index_bytes(self) -> int:
        return sum(path.stat().st_size for path in self._index_directory.glob("*-*-*.sqlite"))

    def close(self) -> None:
        self._indexer.close()
        self._notary.close()
        self._segment.abandon()


def _begin_segment(directory: Path, maker: KeyMaker) -> SegmentWriter:
    data_key = maker.make()
    header = SegmentHeader(
        segment_id=data_key.envelope.segment_id,
        log_origin=ORIGIN,
        gateway_id="bench",
        worker=0,
        writer_epoch=1,
        segment_number=1,
        prev_segment_id="",
        first_record_seq=1,
        created_ns=time.time_ns(),
        salt32=new_salt(),
        zstd=shipped_parameters(),
        cipher=new_cipher_parameters(),
    )
    spare = directory / "spare.tmp"
    spare.touch(mode=0o600)
    os.truncate(spare, CAPACITY_BYTES)  # not written with zeros: nobody waits for a sync here
    return open_segment(
        REAL_FILES, directory, header, capacity_bytes=CAPACITY_BYTES, spare=spare, data_key=data_key
    )


def _cpu_s(work: Callable[[], None]) -> float:
    started = time.thread_time()
    work()
    return time.thread_time() - started


# --- calls -----------------------------------------------------------------------------------------------


def reads(size: int, *, differ: bool) -> Iterator[Call]:
    """GETs by one client, of one object again and again, or each of another."""
    rng = random.Random(size)
    pattern = _a_read(rng)
    bodies = (_body(rng, size) for _ in iter(int, 1))
    same = next(bodies)
    while True:
        yield _with_body(pattern, next(bodies) if differ else same)


def mixed() -> Iterator[Call]:
    """Calls of many clients, no two alike (benchmarks.record_samples)."""
    rng = random.Random(1)
    while True:
        ident, now_ns = uuid.UUID(int=rng.getrandbits(128)).bytes, time.time_ns()
        records = [record for commit in exchange(rng) for record in commit]
        yield [encode_record(_renewed(record, ident, now_ns)) for record in records]


def recorded(data_dir: Path) -> Iterator[Call]:
    """Those of a data directory, each as if it were made now."""
    key = data_dir / "keys" / "local.key"
    ring = open_key_ring(data_dir, [key] if key.exists() else [], use_kms=False)
    source, now_ns = SegmentLogs(data_dir, keys=ring), time.time_ns()
    open_calls: dict[bytes, Call] = defaultdict(list)
    for log in source.logs():
        for _, encoded in source.records(log, None):
            record = decode_record(encoded)
            ident = getattr(record, "exchange", b"")
            if not ident:
                continue
            open_calls[ident].append(encode_record(_renewed(record, ident, now_ns)))
            if isinstance(record, Outcome):
                yield open_calls.pop(ident)


def _a_read(rng: random.Random) -> list[object]:
    """The records of a GET that was answered."""
    while True:
        records: list[object] = [record for commit in exchange(rng) for record in commit]
        if isinstance(records[0], Intent) and records[0].method == "GET" and len(records) == 4:
            return records


def _body(rng: random.Random, size: int) -> bytes:
    """JSON of about this size, as a ConfigMap with many settings has it."""
    lines = (f"setting.number.{n:06d}.of.the.service = {rng.getrandbits(64):016x}" for n in range(size // 60))
    data = {"settings": "\n".join(lines)}
    return msgspec.json.encode({"apiVersion": "v1", "kind": "ConfigMap", "data": data})


def _with_body(pattern: list[object], body: bytes) -> Call:
    ident, now_ns = uuid.uuid4().bytes, time.time_ns()
    call: Call = []
    for record in pattern:
        if isinstance(record, ResponseBody):
            for at in range(0, len(body), MAX_DATA_BYTES):
                part = ResponseBody(ident, record.at_us, at, body[at : at + MAX_DATA_BYTES])
                call.append(encode_record(part))
        else:
            call.append(encode_record(_renewed(record, ident, now_ns)))
    return call


def _renewed(record: object, ident: bytes, now_ns: int) -> object:
    fields = {"exchange": ident, "at_ns": now_ns} if isinstance(record, Intent) else {"exchange": ident}
    return msgspec.structs.replace(record, **fields)  # type: ignore[type-var]


KINDS: Final[dict[str, Callable[[], Iterator[Call]]]] = {
    "GET of 3 KB, the same": lambda: reads(3_000, differ=False),
    "GET of 3 KB, others": lambda: reads(3_000, differ=True),
    "GET of 30 KB, the same": lambda: reads(30_000, differ=False),
    "GET of 30 KB, others": lambda: reads(30_000, differ=True),
    "LIST of 5 MB": lambda: reads(5_000_000, differ=False),
    "mixed, no two alike": mixed,
}


# --- figures ---------------------------------------------------------------------------------------------


def measure(calls: Iterator[Call], calls_a_step: int, seconds: float) -> dict[str, float]:
    """Microseconds of CPU a call, by duty, and bytes of the index. {}: no calls were left after the first step."""
    spent: dict[str, float] = defaultdict(float)
    count = 0
    with tempfile.TemporaryDirectory(prefix="kubetape-bench-") as directory:
        growing = GrowingDirectory(Path(directory))
        try:
            growing.grow(list(islice(calls, calls_a_step)))
            growing.steps()  # opens files, makes tables
            while sum(spent.values()) < seconds:
                some = list(islice(calls, calls_a_step))
                if not some or not growing.grow(some):
                    break
                for duty, cpu_s in growing.steps().items():
                    spent[duty] += cpu_s
                count += len(some)
        finally:
            growing.close()
        if not count:
            return {}
        figures = {f"{duty}_us": round(cpu_s / count * 1e6, 1) for duty, cpu_s in spent.items()}
        return figures | {"index_bytes": round(growing.index_bytes() / count), "calls": count}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=1.0, help="of CPU for each row")
    parser.add_argument("--recorded", type=Path, metavar="DIR", help="a data directory of a gateway")
    parser.add_argument("--only", default="", help="kinds of calls whose names begin so")
    parser.add_argument("--json", help="write the figures to this file")
    arguments = parser.parse_args()
    kinds = {name: make for name, make in KINDS.items() if name.startswith(arguments.only)}
    if arguments.recorded is not None:
        kinds["recorded"] = lambda: recorded(arguments.recorded)
    result: dict[str, object] = {}
    print(f"{'calls':24} {'a step':>6} {'index':>9} {'tree':>9}   us of CPU a call; bytes of index a call")
    for name, make in kinds.items():
        for calls_a_step in CALLS_A_STEP:
            figures = measure(make(), calls_a_step, arguments.seconds)
            if not figures:
                continue
            result[f"{name}, {calls_a_step} a step"] = figures
            print(
                f"{name:24} {calls_a_step:6} {figures['index_us']:9.1f} {figures['tree_us']:9.1f}"
                f" {figures['index_bytes']:9.0f}",
                flush=True,
            )
    write_json(arguments.json, result)


if __name__ == "__main__":
    main()
