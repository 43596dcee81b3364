"""K4 with encryption on: whatever a power cut keeps, no frame is there that nobody can read.

As `test_power_cut`, over an encrypted log: the envelope of a segment must survive every cut that its frames
survive, or records that were acknowledged are lost for ever.
"""

import random
from pathlib import Path

import msgspec
import pytest

from storage.encryption.key_pool import KeyPool
from storage.encryption.keys import SUFFIX_KEYS, read_envelope
from storage.errors import LogFailed
from storage.log import SegmentLog
from storage.reader import iter_records, list_segments, open_segment_file
from storage.records import SegmentRecovered, decode_record
from tests.crash.test_power_cut import DIRECTORY, SETTINGS, content, wait_written_or_failed
from tests.kit.acks import IDENTITY, PATIENCE_S, Acks
from tests.kit.faulty_files import CrashFiles
from tests.kit.sealing import RING, maker

SAMPLES = 10


def write_until_the_cut(files: CrashFiles, count: int) -> int:
    """Append records, every third urgent, until the power goes; the last durable position."""
    acks, pool = Acks(), KeyPool(maker(), 1)
    pool.start()
    try:
        log = SegmentLog.open(
            DIRECTORY,
            identity=IDENTITY,
            on_commit=acks.on_commit,
            on_failure=acks.on_failure,
            files=files,
            settings=msgspec.structs.replace(SETTINGS, first_segment_bytes=7 << 10),
            keys=pool,
        )
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
    finally:
        pool.stop()
    return acks.durable


def check(files: CrashFiles, durable: int) -> None:
    """Every segment has its envelope, and the log holds all that was durable."""
    for name in list_segments(DIRECTORY, files=files):
        with open_segment_file(DIRECTORY, name, files) as segment:
            assert read_envelope(files, segment.path).segment_id == segment.header.segment_id
    count = 0
    for position, data in iter_records(DIRECTORY, files=files, keys=RING):
        count += 1
        assert position.record_seq == count
        if data != content(count):
            found = decode_record(data)
            assert isinstance(found, SegmentRecovered)
            assert found.finding != "corrupt", "a crash alone is never damage"
    assert count >= durable


@pytest.mark.crash
def test_every_crash_image_of_an_encrypted_log_can_be_read() -> None:
    images = begun = 0
    cut_at = 0
    while True:
        cut_at += 1
        files = CrashFiles(cut_at=cut_at)
        durable = write_until_the_cut(files, 14)
        if files.calls < cut_at:
            break
        for image in files.images(random.Random(cut_at), SAMPLES):
            images += 1
            names = {Path(name) for name in image.names(DIRECTORY)}
            begun += any(name.suffix == SUFFIX_KEYS for name in names)
            check(image, durable)
            if images % 5 == 0:  # a restart costs ten times a look
                restarted = write_until_the_cut(image, 3)
                assert restarted > durable
                check(image, restarted)
                stems = {Path(name).stem for name in image.names(DIRECTORY) if name.endswith(SUFFIX_KEYS)}
                segments = {name.stem for name in list_segments(DIRECTORY, files=image)}
                assert stems == segments, "no envelope is left of a segment that was never begun"
    assert cut_at > 40
    assert images > 700
    assert begun > 600
