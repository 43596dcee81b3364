"""K11 and K12: a thousand segments through an S3 that fails one request in five, killed again and again.

    .venv/bin/python -m tests.crash.s3_faults --segments 1000

Two gateways export the same files to the same prefix. Every few passes one of them is dropped where it stands, half
the time with its ledger, and begins anew. In the end every segment is there once, with its bytes, locked, and no
object was ever written twice. Prints the seed; the same seed makes the same faults.
"""

import argparse
import hashlib
import math
import os
import random
import tempfile
import time
from pathlib import Path

import trio
import trio.testing

from gateway.export.exporter import Exporter
from gateway.export.ledger import LEDGER
from gateway.export.s3 import S3Store
from gateway.export.settings import LockMode, ObjectLock, S3Settings
from tests.kit.segments import header, sealed_file
from tests.kit.strict_s3 import BUCKET, Fault, StrictS3, credentials, every

FAULTS = [
    Fault.ERROR,
    Fault.SLOW_DOWN,
    Fault.CONFLICT,
    Fault.TAKEN,
    Fault.RESET,
    Fault.LOST_ACK,
    Fault.CORRUPT,
    Fault.SKEW,
    Fault.EXPIRED,
    Fault.DENIED,
]
PASSES_BEFORE_A_KILL = 2


def check(s3: StrictS3, paths: list[Path]) -> None:
    """INV9 to INV11: all of them, once each, the same bytes, locked."""
    found = {key.rpartition("/")[2]: versions for key, versions in s3.versions.items() if "/segments/" in key}
    written = {name: len(versions) for name, versions in found.items() if len(versions) != 1}
    assert written == {}, f"written more than once: {written}"
    missing = {path.name for path in paths} - set(found)
    assert not missing, f"{len(missing)} of {len(paths)} are missing"
    assert set(found) == {path.name for path in paths}
    for path in paths:
        [version] = found[path.name]
        assert version.body is not None
        assert hashlib.sha256(version.body).digest() == hashlib.sha256(path.read_bytes()).digest(), path.name
        assert version.lock_mode == "COMPLIANCE"


async def run(directory: Path, count: int, share: float, seed: int) -> None:
    rng = random.Random(seed)
    log = directory / "a" / "log" / "0"
    log.mkdir(parents=True)
    (directory / "b").mkdir()
    (directory / "b" / "log").symlink_to(directory / "a" / "log")
    paths = [sealed_file(log, 1, head=header(number, dict_id=0)) for number in range(1, count + 1)]
    clock = trio.lowlevel.current_clock()
    assert isinstance(clock, trio.testing.MockClock)
    started, kills = time.monotonic(), 0
    with StrictS3().running() as s3:
        lock = ObjectLock(mode=LockMode.COMPLIANCE, days=1)
        settings = S3Settings(bucket=BUCKET, endpoint_url=s3.endpoint, object_lock=lock)

        def gateway(name: str) -> Exporter:
            return Exporter(
                directory / name, settings, S3Store(settings, attempts=1), cluster="c", jitter=rng.random
            )

        s3.faults = every(share, seed, FAULTS)
        exporters = {name: gateway(name) for name in "ab"}
        unfinished = set(exporters)
        while unfinished:
            for name in sorted(unfinished):
                lifetime_s = rng.random() / 5 if rng.random() < 1 / PASSES_BEFORE_A_KILL else math.inf
                left = await one_pass(exporters[name], lifetime_s)
                if left is None:
                    kills += 1
                    if rng.random() < 0.5:
                        (directory / name / LEDGER).unlink(missing_ok=True)
                    exporters[name] = gateway(name)
                elif not left:
                    unfinished.discard(name)
            clock.jump(60.0)
        check(s3, paths)
        alarms = [alarm for exporting in exporters.values() for alarm in exporting.status().alarms]
        assert alarms == []
        print(
            f"{count} segments, {share:.0%} faults, seed {seed}: {len(s3.requests)} requests, {kills} kills, "
            f"{time.monotonic() - started:.1f} s: each exactly once"
        )


async def one_pass(exporting: Exporter, lifetime_s: float) -> bool | None:
    """What `run_once` says; None when it was killed after so many seconds (of real time: the other clock stands)."""
    left = None
    async with trio.open_nursery() as nursery:
        if lifetime_s < math.inf:
            nursery.start_soon(_kill, nursery.cancel_scope, lifetime_s)
        left = await exporting.run_once()
        nursery.cancel_scope.cancel()
    return left


async def _kill(scope: trio.CancelScope, after_s: float) -> None:
    await trio.to_thread.run_sync(time.sleep, after_s, abandon_on_cancel=True)
    scope.cancel()


def main() -> None:
    parser = argparse.ArgumentParser(description="the export at injected S3 faults")
    parser.add_argument("--segments", type=int, default=1000)
    parser.add_argument("--share", type=float, default=0.2)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    options = parser.parse_args()
    credentials(os.environ.__setitem__)
    print(f"seed {options.seed}")
    with tempfile.TemporaryDirectory() as directory:
        trio.run(
            run,
            Path(directory),
            options.segments,
            options.share,
            options.seed,
            clock=trio.testing.MockClock(),
        )


if __name__ == "__main__":
    main()
