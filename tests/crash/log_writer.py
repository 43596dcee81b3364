"""A process that writes a log and says on stdout how far it is durable, until somebody kills it.

    python -m tests.crash.log_writer <directory> <seed> [<data directory>]

Each line is a position that was durable when it was printed. Record n of the log is `content(n)`, so that
whoever reads the log after the kill knows what every record must be. Small segments, so that kills fall
into rotation, sealing and spare making too. With a data directory the log is encrypted under its local key.
"""

import hashlib
import os
import random
import sys
import time
from pathlib import Path

from storage.encryption.key_pool import KeyPool
from storage.encryption.keys import KeyMaker
from storage.encryption.local_key import default_path, ensure_local_key
from storage.errors import LogFailed
from storage.log import Commit, LogIdentity, SegmentLog
from storage.pace import LogSettings

IDENTITY = LogIdentity("gw", "example.com/kubetape/gw", 0)
SETTINGS = LogSettings(
    segment_bytes=128 << 10, first_segment_bytes=32 << 10, spares=2, company_s=0.002, sync_s=0.01
)


def content(position: int) -> bytes:
    """The record at a position: of a length and with bytes that depend on it alone."""
    digest = hashlib.sha256(b"%d" % position).digest()
    return digest * (1 + digest[0] % 40)


def _keys(data_dir: Path) -> KeyPool:
    pool = KeyPool(KeyMaker(IDENTITY.log_origin, [ensure_local_key(default_path(data_dir))]))
    pool.start()
    return pool


def main() -> None:
    rng = random.Random(int(sys.argv[2]))

    def report(commit: Commit) -> None:
        os.write(1, b"%d\n" % commit.durable_position)

    def fail(failure: LogFailed) -> None:
        os._exit(3)

    log = SegmentLog.open(
        Path(sys.argv[1]),
        identity=IDENTITY,
        on_commit=report,
        on_failure=fail,
        settings=SETTINGS,
        keys=_keys(Path(sys.argv[3])) if len(sys.argv) > 3 else None,
    )
    position = log.next_position
    while True:
        for _ in range(rng.randrange(1, 40)):
            assert log.append(content(position), urgent=rng.random() < 0.2) == position
            position += 1
        time.sleep(rng.random() * 0.002)


if __name__ == "__main__":
    main()
