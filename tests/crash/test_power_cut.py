"""Power cuts in a model: after every single operation, with any part of the unsynced writes kept.

The file system is in memory (`CrashFiles`). For each cut the model is asked for many images: nothing
unsynced kept, everything, each write alone or missing, and random subsets torn at bytes and sectors.
"""

import random
from pathlib import Path

import msgspec
import pytest

from storage.errors import LogFailed
from storage.reader import iter_records
from storage.records import SegmentRecovered, decode_record
from tests.kit.acks import PATIENCE_S, SMALL, Acks, open_log
from tests.kit.faulty_files import CrashFiles

DIRECTORY = Path("/log")
SETTINGS = msgspec.structs.replace(
    SMALL, first_segment_bytes=6 << 10, company_s=0.0, sync_s=3600.0, sync_bytes=1 << 30
)
SAMPLES = 6


def content(position: int) -> bytes:
    return bytes((position * k) % 251 for k in range(30 + position * 37 % 400))


def write_until_the_cut(files: CrashFiles, count: int) -> int:
    """Append records, every third urgent, until the power goes; the last durable position."""
    acks = Acks()
    try:
        log = open_log(DIRECTORY, acks, files=files, settings=SETTINGS)
        first = log.next_position
        for position in range(first, first + count):
            log.append(content(position), urgent=position % 3 == 0)
            if position % 3 == 0 and not acks.wait_durable(position):
                break
            if position % 3 != 0:
                wait_written_or_failed(acks, position)
        log.close(PATIENCE_S)
    except LogFailed:
        pass
    return acks.durable


def wait_written_or_failed(acks: Acks, position: int) -> None:
    """One frame per record, so that unsynced frames pile up."""
    with acks._changed:
        assert acks._changed.wait_for(lambda: acks.written >= position or acks.failures, PATIENCE_S)


def check(files: CrashFiles, durable: int) -> int:
    """The log is readable, dense, and holds all that was durable; returns how many records."""
    count = 0
    for position, data in iter_records(DIRECTORY, files=files):
        count += 1
        assert position.record_seq == count
        if data != content(count):
            found = decode_record(data)
            assert isinstance(found, SegmentRecovered)
            assert found.finding != "corrupt", "a crash alone is never damage"
    assert count >= durable
    return count


@pytest.mark.crash
def test_every_crash_image_recovers_with_all_that_was_durable() -> None:
    """K4: cut at every operation of a run with rotation, then start on the image and read."""
    images = 0
    cut_at = 0
    while True:
        cut_at += 1
        files = CrashFiles(cut_at=cut_at)
        durable = write_until_the_cut(files, 14)
        if files.calls < cut_at:
            break
        for image in files.images(random.Random(cut_at), SAMPLES):
            images += 1
            check(image, durable)
            restarted = write_until_the_cut(image, 3)
            assert restarted > durable
            check(image, restarted)
    assert cut_at > 40
    assert images > 1000


@pytest.mark.crash
def test_cuts_during_recovery_five_deep_lose_nothing() -> None:
    """K14: the power goes again while the last cut is being recovered."""
    for seed in range(60):
        rng = random.Random(seed)
        files = CrashFiles(cut_at=rng.randrange(8, 60))
        durable = write_until_the_cut(files, 14)
        for _ in range(5):
            *_, image = files.images(rng, 3)
            files = CrashFiles(
                {path: bytes(inode.current) for path, inode in image._names.items()}, rng.randrange(1, 12)
            )
            durable = max(durable, write_until_the_cut(files, 2))
        *_, image = files.images(rng, 3)
        check(image, durable)
        assert write_until_the_cut(image, 3) > durable
        check(image, durable)
