"""What an append costs its caller, and how long a commit takes: record size x callers x urgent or not.

    python -m benchmarks.append [--directory DIR] [--seconds 1.0] [--json]

Callers are tasks of one event-loop-like thread: each appends one record and waits for its commit, as many
in flight as there are callers. Commits reach that thread through a queue, as they reach a real loop.
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
from pathlib import Path

from benchmarks.record_samples import records
from storage.encryption.key_pool import KeyPool
from storage.encryption.keys import KeyMaker
from storage.encryption.local_key import ensure_local_key
from storage.errors import LogFailed
from storage.log import Commit, LogIdentity, SegmentLog
from storage.pace import LogSettings

SIZES = (200, 2000, 16_000)
CALLERS = (1, 4, 16, 64)
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
    parser.add_argument("--json", action="store_true", help="one object per row")
    arguments = parser.parse_args()
    directory = Path(tempfile.mkdtemp(dir=arguments.directory))
    try:
        first = True
        for size in SIZES:
            for callers in (*CALLERS, 0):
                measured = (
                    measure_urgent(directory, size, callers, arguments.seconds)
                    if callers
                    else measure_lazy(directory, size, arguments.seconds)
                )
                if arguments.json:
                    print(json.dumps(measured))
                    continue
                if first:
                    print("  ".join(measured), f"  ({os.cpu_count()} CPUs)")
                    first = False
                print("  ".join(str(value).rjust(len(name)) for name, value in measured.items()))
    finally:
        shutil.rmtree(directory)


if __name__ == "__main__":
    main()
