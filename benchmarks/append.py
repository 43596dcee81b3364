"""What an append costs its caller, and how long a commit takes: record size x callers x urgent or not.

    python -m benchmarks.append [--directory DIR] [--seconds 1.0] [--streams] [--json]

Callers are tasks of one event-loop-like thread: each appends one record and waits for its commit, as many
in flight as there are callers. Commits reach that thread through a queue, as they reach a real loop. With
--streams, instead, what a stream's chunks cost: encode, append, compress, seal, hash, write; MB/s and MB/s per core.
The log is encrypted, as by default. Columns: records per second; commit wait p50, p99 in microseconds; append p50 and p99 in microseconds
(the time the hot thread is held); CPU of the whole process per record.
"""

import argparse
import json
import os
import queue
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from benchmarks.record_samples import records
from storage.encryption.key_pool import KeyPool
from storage.encryption.keys import KeyMaker
from storage.encryption.local_key import ensure_local_key
from storage.errors import LogFailed
from storage.log import Commit, LogIdentity, SegmentLog
from storage.pace import LogSettings
from storage.records import ChannelChunk, encode_record

SIZES = (200, 2000, 16_000)
CALLERS = (1, 4, 16, 64)
KINDS = ("random", "text")
CHUNK_BYTES = 32 << 10
LAG_BYTES = 4 << 20
"""Where a caller of records that are not urgent stops and waits, as the gateway stops reading sockets."""


def sample(size: int) -> list[bytes]:
    """Records of about one size, made of real-looking bytes."""
    text = b"".join(records(7, 4000))
    return [text[at : at + size] for at in range(0, len(text) - size, max(size, len(text) // 500))]


def open_log(directory: Path, told: "queue.SimpleQueue[Commit]") -> SegmentLog:
    def fail(failure: LogFailed) -> None:
        raise failure

    identity = LogIdentity("bench", "bench", 0)
    keys = KeyPool(KeyMaker("bench", [ensure_local_key(directory.parent / "keys" / "local.key")]))
    keys.start()
    return SegmentLog.open(
        directory, identity=identity, on_commit=told.put, on_failure=fail, settings=LogSettings(), keys=keys
    )


def percentile(values: list[float], share: float) -> float:
    return round(sorted(values)[min(int(len(values) * share), len(values) - 1)] * 1e6, 1)


def measure_urgent(directory: Path, size: int, callers: int, seconds: float) -> dict[str, float]:
    told: queue.SimpleQueue[Commit] = queue.SimpleQueue()
    log = open_log(directory, told)
    data = sample(size)
    in_flight: list[tuple[int, float]] = []
    waits: list[float] = []
    appends: list[float] = []
    cpu, started = time.process_time(), time.perf_counter()
    while time.perf_counter() - started < seconds:
        while len(in_flight) < callers:
            before = time.perf_counter()
            position = log.append(data[len(appends) % len(data)], urgent=True)
            appends.append(time.perf_counter() - before)
            in_flight.append((position, before))
        durable, now = told.get().durable_position, time.perf_counter()
        waits.extend(now - since for position, since in in_flight if position <= durable)
        in_flight = [pair for pair in in_flight if pair[0] > durable]
    spent, cpu = time.perf_counter() - started, time.process_time() - cpu
    log.close(30)
    return row(size, callers, True, appends, waits, spent, cpu)


def measure_lazy(directory: Path, size: int, seconds: float) -> dict[str, float]:
    told: queue.SimpleQueue[Commit] = queue.SimpleQueue()
    log = open_log(directory, told)
    data = sample(size)
    appends: list[float] = []
    cpu, started = time.process_time(), time.perf_counter()
    while time.perf_counter() - started < seconds:
        before = time.perf_counter()
        log.append(data[len(appends) % len(data)], urgent=False)
        appends.append(time.perf_counter() - before)
        while log.pending_bytes > LAG_BYTES:
            told.get()
    spent, cpu = time.perf_counter() - started, time.process_time() - cpu
    log.close(30)
    return row(size, 1, False, appends, [0.0], spent, cpu)


def measure_stream(directory: Path, kind: str, seconds: float) -> dict[str, float | str]:
    """Chunks of a stream as fast as they are taken. Its disk is in the first figure, not in the second."""
    told: queue.SimpleQueue[Commit] = queue.SimpleQueue()
    log = open_log(directory, told)
    text = b"".join(records(7, 6000))
    count = min(64, len(text) // CHUNK_BYTES)
    chunks = [
        os.urandom(CHUNK_BYTES) if kind == "random" else text[at * CHUNK_BYTES : (at + 1) * CHUNK_BYTES]
        for at in range(count)
    ]
    exchange, taken = bytes(16), 0
    cpu, started = time.process_time(), time.perf_counter()
    while time.perf_counter() - started < seconds:
        record = ChannelChunk(exchange, taken, 1, False, chunks[taken % count])
        log.append(encode_record(record), urgent=False)
        taken += 1
        while log.pending_bytes > LAG_BYTES:
            told.get()
    spent, cpu = time.perf_counter() - started, time.process_time() - cpu
    log.close(30)
    mb = taken * CHUNK_BYTES / 1e6
    return {
        "stream": kind,
        "chunk_bytes": CHUNK_BYTES,
        "mb_per_s": round(mb / spent),
        "mb_per_s_per_core": round(mb / cpu),
    }


def row(
    size: int, callers: int, urgent: bool, appends: list[float], waits: list[float], spent: float, cpu: float
) -> dict[str, float]:
    return {
        "record_bytes": size,
        "callers": callers,
        "urgent": urgent,
        "records_per_s": round(len(appends) / spent),
        "wait_p50_us": percentile(waits, 0.5),
        "wait_p99_us": percentile(waits, 0.99),
        "append_p50_us": percentile(appends, 0.5),
        "append_p99_us": percentile(appends, 0.99),
        "cpu_us_per_record": round(cpu / len(appends) * 1e6, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--directory", type=Path, help="on the disk to measure; default: the temporary one")
    parser.add_argument("--seconds", type=float, default=1.0, help="per row")
    parser.add_argument("--streams", action="store_true", help="chunks of streams instead")
    parser.add_argument("--json", action="store_true", help="one object per row")
    arguments = parser.parse_args()
    directory = Path(tempfile.mkdtemp(dir=arguments.directory))
    try:
        if arguments.streams:
            show((measure_stream(directory, kind, arguments.seconds) for kind in KINDS), arguments.json)
        else:
            show(measure_records(directory, arguments.seconds), arguments.json)
    finally:
        shutil.rmtree(directory)


def measure_records(directory: Path, seconds: float) -> Iterator[dict[str, float]]:
    for size in SIZES:
        for callers in CALLERS:
            yield measure_urgent(directory, size, callers, seconds)
        yield measure_lazy(directory, size, seconds)


def show(rows: Iterable[Mapping[str, float | str]], as_json: bool) -> None:
    for number, measured in enumerate(rows):
        if as_json:
            print(json.dumps(measured))
            continue
        if not number:
            print("  ".join(measured), f"  ({os.cpu_count()} CPUs)")
        print("  ".join(str(value).rjust(len(name)) for name, value in measured.items()))


if __name__ == "__main__":
    main()
