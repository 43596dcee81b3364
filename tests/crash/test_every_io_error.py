"""K6 and K7 for the log alone: every single file operation fails once, in each way there is.

One life of a log with everything in it (an earlier segment to recover, envelopes, spares, rotations, seals) makes
N operations; for each k from 1 to N it is run again with the k-th failing: EIO, a full disk, a used-up quota, or a
write that takes half. The file system is a directory in memory where there is one, for the sake of speed.
"""

import errno
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from storage.encryption.key_pool import KeyPool
from storage.encryption.keys import KeyMaker, KeyRing
from storage.encryption.local_key import LocalKey, ensure_local_key
from storage.errors import LogFailed
from storage.files import REAL_FILES, FileOps
from storage.log import SegmentLog
from storage.reader import iter_records
from storage.records import SegmentRecovered, decode_record
from tests.crash.frames import Witness, check_nonces
from tests.kit.acks import IDENTITY, PATIENCE_S, SMALL, Acks
from tests.kit.faulty_files import FailingFiles

pytestmark = pytest.mark.crash

SETTINGS = msgspec.structs.replace(SMALL, segment_bytes=8 << 10, first_segment_bytes=8 << 10, spares=1)
RECORDS = 12
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


@pytest.fixture
def fast(tmp_path: Path) -> Iterator[Path]:
    memory = Path("/dev/shm")
    directory = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else tmp_path))
    yield directory
    shutil.rmtree(directory)


def content(number: int) -> bytes:
    return b"%06d " % number + bytes((number * k) % 251 for k in range(1500))


def open_log(directory: Path, kek: LocalKey, acks: Acks, files: FileOps) -> SegmentLog:
    pool = KeyPool(KeyMaker(IDENTITY.log_origin, [kek]))
    pool.start()
    try:
        return SegmentLog.open(
            directory,
            identity=IDENTITY,
            on_commit=acks.on_commit,
            on_failure=acks.on_failure,
            files=files,
            settings=SETTINGS,
            keys=pool,
        )
    except BaseException:
        pool.stop()
        raise


def life(directory: Path, kek: LocalKey, files: FileOps) -> tuple[int, LogFailed | None]:
    """Append, rotate, seal, close: what was acknowledged, and how it failed."""
    acks = Acks()
    try:
        log = open_log(directory, kek, acks, files)
    except LogFailed as failure:
        return 0, failure
    try:
        for _ in range(RECORDS):
            position = log.append(content(log.next_position), urgent=True)
            if not acks.wait_durable(position):
                break
        if acks.failures:
            # The disk works again, and that changes nothing.
            with pytest.raises(LogFailed):
                log.append(b"late", urgent=True)
        log.close(PATIENCE_S)
    except LogFailed as failure:
        with pytest.raises(LogFailed):
            log.close(PATIENCE_S)
        assert log.failed is not None
        return acks.durable, failure
    return acks.durable, None


def check(directory: Path, ring: KeyRing, acknowledged: int) -> None:
    """All that was acknowledged is there, readable, and nothing else but what recovery says."""
    count = 0
    for position, data in iter_records(directory, keys=ring):
        count += 1
        assert position.record_seq == count
        if data != content(count):
            found = decode_record(data)
            assert isinstance(found, SegmentRecovered)
            assert found.finding != "corrupt"
    assert count >= acknowledged


def prepared(directory: Path, kek: LocalKey, ring: KeyRing) -> Path:
    """A log whose last life was killed: there is something to recover, and a spare."""
    before = directory / "before"
    log = open_log(before, kek, acks := Acks(), REAL_FILES)
    for _ in range(3):
        assert acks.wait_durable(log.append(content(log.next_position), urgent=True))
    killed = directory / "killed"
    shutil.copytree(before, killed)
    (left,) = killed.glob("*.open")
    with left.open("r+b") as file:
        file.seek(-1000, 2)
        file.write(b"torn")
    log.close(PATIENCE_S)
    check(killed, ring, 3)
    return killed


@pytest.mark.parametrize(
    ("code", "short"), [(errno.EIO, False), (errno.ENOSPC, False), (errno.EDQUOT, False), (errno.EIO, True)]
)
def test_each_operation_that_fails_latches_the_log_and_costs_nothing_acknowledged(
    fast: Path, code: int, short: bool
) -> None:
    kek = ensure_local_key(fast / "keys" / "local.key")
    ring = KeyRing([kek])
    killed = prepared(fast, kek, ring)
    k, failures, unnoticed = 0, 0, []
    while True:
        k += 1
        directory = fast / "log"
        shutil.copytree(killed, directory)
        witness = Witness(directory, keys=ring)
        assert witness.look() == []
        files = FailingFiles(k, code, short=short, only="write" if short else "")
        acknowledged, failure = life(directory, kek, files)
        if not files.failed:
            assert failure is None
            break
        failures += failure is not None
        if failure is None:
            unnoticed.append(files.calls[-1])
        check(directory, ring, max(acknowledged, 3))
        again, failure = life(directory, kek, REAL_FILES)
        assert failure is None, f"the start after operation {k} failed: {failure}"
        check(directory, ring, again)
        assert witness.look(whole=True) + check_nonces(directory, keys=ring) == []
        shutil.rmtree(directory)
    assert failures > (10 if short else 60)
    # A disk without room only means that there is no spare: the log finds out by itself. Anything else is final.
    assert not unnoticed or code in NO_ROOM or short, unnoticed
    print(f"figures: {k - 1} operations, {failures} latched the log, {len(unnoticed)} cost only a spare")
