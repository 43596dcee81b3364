import errno
import threading
import time
from pathlib import Path

import msgspec
import pytest

from storage.errors import CorruptFrame, LogFailed, LogInUse
from storage.files import Headroom, Watermarks
from storage.format import MAX_RECORD_BYTES
from storage.log import Commit, SegmentLog
from storage.pace import NOW, Clock, LogSettings
from storage.reader import first_position, iter_records, list_segments, read_block_table, read_segment
from storage.records import SegmentRecovered, decode_record
from tests.kit.acks import PATIENCE_S, SMALL, Acks, open_log
from tests.kit.faulty_files import FailingFiles
from tests.kit.segments import START_NS, flip, record

LAZY = msgspec.structs.replace(SMALL, company_s=3600.0, sync_s=3600.0)
"""Nothing happens by time: only urgency and size count."""


def seqs(directory: Path) -> list[int]:
    return [position.record_seq for position, _ in iter_records(directory)]


def crash(log: SegmentLog) -> None:
    """Leave the files as a kill would: the thread ends, nothing is sealed, the lock is free."""
    log._intake.latch(LogFailed("kill", "", "the test ends the process here"))
    with pytest.raises(LogFailed):
        log.close(PATIENCE_S)


def test_an_urgent_record_becomes_durable_and_everything_before_it(tmp_path: Path) -> None:
    acks = Acks()
    log = open_log(tmp_path, acks, settings=LAZY)
    assert log.append(b"one", urgent=False) == 1
    assert log.append(b"two", urgent=True) == 2
    assert acks.wait_durable(2)
    assert log.pending_bytes == 0
    log.close(PATIENCE_S)
    assert [data for _, data in iter_records(tmp_path)] == [b"one", b"two"]
    assert acks.failures == []


def test_whoever_appends_without_a_ring_rings_later(tmp_path: Path) -> None:
    acks = Acks()
    log = open_log(tmp_path, acks, settings=LAZY)
    while log._intake._asleep_until_s == NOW:
        pass
    log.append(b"one", urgent=True, ring=False)
    assert log.is_due
    log.ring()
    assert not log.is_due
    assert acks.wait_durable(1)
    log.close(PATIENCE_S)


def test_records_that_wait_for_company_share_a_frame(tmp_path: Path) -> None:
    acks = Acks()
    log = open_log(tmp_path, acks, settings=LAZY)
    for number in range(10):
        log.append(record(number), urgent=False)
    assert log.pending_bytes == sum(len(record(number)) for number in range(10))
    assert acks.commits == []
    log.append(b"urgent", urgent=True)
    assert acks.wait_durable(11)
    log.close(PATIENCE_S)
    (name,) = list_segments(tmp_path)
    assert [info.nrec for info in read_block_table(tmp_path / (name.stem + ".kseg"))] == [11]


def test_enough_company_is_written_though_not_synced(tmp_path: Path) -> None:
    acks = Acks()
    log = open_log(tmp_path, acks, settings=LAZY)
    log.append(bytes(LAZY.company_bytes), urgent=False)
    acks.wait_written(1)
    assert acks.commits == [Commit(1, 0)]
    assert log.pending_bytes == LAZY.company_bytes
    log.close(PATIENCE_S)
    assert acks.commits[-1] == Commit(1, 1)


def test_lag_is_bounded_by_time(tmp_path: Path) -> None:
    acks = Acks()
    log = open_log(tmp_path, acks, settings=SMALL)
    log.append(b"chunk", urgent=False)
    acks.wait_written(1)
    assert acks.wait_durable(1)
    log.append(b"chunk", urgent=False)
    assert acks.wait_durable(2)
    log.close(PATIENCE_S)


def test_lag_is_bounded_by_size(tmp_path: Path) -> None:
    acks = Acks()
    settings = msgspec.structs.replace(LAZY, sync_bytes=1000, company_bytes=1)
    log = open_log(tmp_path, acks, settings=settings)
    for number in range(60):
        log.append(bytes(range(256)) + record(number), urgent=False)
    assert acks.wait_durable(50)
    log.close(PATIENCE_S)


def test_records_appended_together_that_fill_several_blocks_are_synced_on_the_way(tmp_path: Path) -> None:
    files, acks = FailingFiles(), Acks()
    size = 16 << 20
    settings = msgspec.structs.replace(
        LAZY, sync_bytes=1000, segment_bytes=size, first_segment_bytes=size, spares=0
    )
    log = open_log(tmp_path, acks, settings=settings, files=files)
    before = files.calls.count("sync_data")
    half = bytes(MAX_RECORD_BYTES // 2 + 1)
    assert log.append(half, half, b"end", urgent=False) == 3
    assert acks.wait_durable(3)
    assert files.calls.count("sync_data") == before + 2
    log.close(PATIENCE_S)
    assert [data for _, data in iter_records(tmp_path)] == [half, half, b"end"]


def test_positions_are_dense_and_go_on_after_a_restart(tmp_path: Path) -> None:
    expected = 1
    for _ in range(3):
        acks = Acks()
        log = open_log(tmp_path, acks)
        assert log.next_position == expected
        for _ in range(20):
            assert log.append(record(expected), urgent=True) == expected
            expected += 1
        log.close(PATIENCE_S)
        assert acks.durable == expected - 1
    assert list(iter_records(tmp_path))[-1][1] == record(60)
    assert seqs(tmp_path) == list(range(1, 61))


def test_segments_rotate_by_size_and_link_to_each_other(tmp_path: Path) -> None:
    acks = Acks()
    log = open_log(tmp_path, acks)
    noise = [bytes((n * k) % 251 for k in range(1500)) for n in range(1, 80)]
    for data in noise:
        assert acks.wait_durable(log.append(data, urgent=True))
    log.close(PATIENCE_S)
    assert len(list_segments(tmp_path)) > 3
    assert [data for _, data in iter_records(tmp_path)] == noise
    for name in list_segments(tmp_path):
        list(read_segment(tmp_path / (name.stem + ".kseg")))


def test_a_spare_is_used_when_there_is_one(tmp_path: Path) -> None:
    (tmp_path / "a.spare").write_bytes(bytes(SMALL.segment_bytes))
    acks = Acks()
    log = open_log(tmp_path, acks, settings=msgspec.structs.replace(SMALL, spares=1))
    while len(list_segments(tmp_path)) < 3:
        assert acks.wait_durable(log.append(bytes(range(256)) * 4, urgent=True))
    assert not (tmp_path / "a.spare").exists()
    log.close(PATIENCE_S)
    assert seqs(tmp_path) == list(range(1, acks.durable + 1))


def test_a_segment_is_sealed_by_age_and_never_when_empty(tmp_path: Path) -> None:
    acks = Acks()
    log = open_log(tmp_path, acks, settings=msgspec.structs.replace(SMALL, max_segment_age_s=0.01))
    for expected in (2, 3):
        assert acks.wait_durable(log.append(b"x", urgent=True))
        deadline = time.monotonic() + PATIENCE_S
        while len(list_segments(tmp_path)) < expected:
            assert time.monotonic() < deadline
    log.close(PATIENCE_S)
    assert len(list_segments(tmp_path)) == 3
    assert seqs(tmp_path) == [1, 2]


def test_quiet_records_do_not_age_their_segment(tmp_path: Path) -> None:
    acks = Acks()
    log = open_log(tmp_path, acks, settings=msgspec.structs.replace(SMALL, max_segment_age_s=0.0))
    for _ in range(3):
        assert acks.wait_durable(log.append(b"heartbeat", urgent=True, quiet=True))
    assert len(list_segments(tmp_path)) == 1
    assert acks.wait_durable(log.append(b"x", urgent=True))
    log.close(PATIENCE_S)
    assert len(list_segments(tmp_path)) == 2
    assert seqs(tmp_path) == [1, 2, 3, 4]


def test_a_segment_holds_one_hour_whatever_the_clock_does(tmp_path: Path) -> None:
    hour = 3_600_000_000_000
    now = START_NS
    acks = Acks()
    log = open_log(tmp_path, acks, clock=Clock(now_ns=lambda: now))
    for step in (0, 1, hour, 0, -hour, 0):
        now += step
        assert acks.wait_durable(log.append(b"x", urgent=True))
    log.close(PATIENCE_S)
    assert seqs(tmp_path) == [1, 2, 3, 4, 5, 6]
    blocks = [len(read_block_table(tmp_path / (name.stem + ".kseg"))) for name in list_segments(tmp_path)]
    assert blocks == [2, 2, 2]


def test_a_queue_larger_than_a_frame_becomes_several(tmp_path: Path) -> None:
    acks = Acks()
    log = open_log(tmp_path, acks, settings=msgspec.structs.replace(LAZY, company_bytes=1 << 30))
    large = bytes(MAX_RECORD_BYTES)
    for _ in range(3):
        log.append(large, urgent=False)
    log.append(b"last", urgent=True)
    assert acks.wait_durable(4)
    log.close(PATIENCE_S)
    assert [len(data) for _, data in iter_records(tmp_path)] == [MAX_RECORD_BYTES] * 3 + [4]


@pytest.mark.parametrize("data", [b"", bytes(MAX_RECORD_BYTES + 1)])
def test_a_record_no_frame_can_hold_is_a_bug_of_the_caller(tmp_path: Path, data: bytes) -> None:
    log = open_log(tmp_path, Acks())
    with pytest.raises(ValueError, match="the log takes 1 to"):
        log.append(data, urgent=True)
    log.close(PATIENCE_S)


def test_a_second_opener_is_refused(tmp_path: Path) -> None:
    log = open_log(tmp_path, Acks())
    with pytest.raises(LogInUse, match="another process"):
        open_log(tmp_path, Acks())
    log.close(PATIENCE_S)
    open_log(tmp_path, Acks()).close(PATIENCE_S)


def test_a_closed_log_refuses_and_may_be_closed_again(tmp_path: Path) -> None:
    log = open_log(tmp_path, Acks())
    log.close(PATIENCE_S)
    log.close(PATIENCE_S)
    with pytest.raises(LogFailed, match="the log is closed"):
        log.append(b"x", urgent=True)
    assert log.failed is None


def test_closing_writes_what_is_queued(tmp_path: Path) -> None:
    acks = Acks()
    log = open_log(tmp_path, acks, settings=LAZY)
    for number in range(5):
        log.append(record(number), urgent=False)
    log.close(PATIENCE_S)
    assert acks.commits[-1] == Commit(5, 5)
    assert all(path.suffix in (".kseg", "") for path in tmp_path.iterdir())


def test_after_a_kill_the_next_run_says_what_it_found_first(tmp_path: Path) -> None:
    acks = Acks()
    log = open_log(tmp_path, acks)
    assert acks.wait_durable(log.append(record(1), urgent=True))
    crash(log)
    assert len(list(tmp_path.glob("*.open"))) == 1
    again = Acks()
    log = open_log(tmp_path, again)
    (found,) = log.recovered
    assert (found.finding, found.torn_bytes) == ("clean", 0)
    assert log.pending_bytes == 0
    assert log.append(record(3), urgent=True) == 3
    assert again.wait_durable(3)
    log.close(PATIENCE_S)
    records = [data for _, data in iter_records(tmp_path)]
    assert records[0] == record(1)
    assert decode_record(records[1]) == found
    assert sorted(path.suffix for path in tmp_path.iterdir()) == ["", ".kseg", ".recovered"]


def test_damage_of_an_earlier_run_is_reported_and_does_not_stop_the_log(tmp_path: Path) -> None:
    acks = Acks()
    log = open_log(tmp_path, acks)
    for number in range(1, 4):
        assert acks.wait_durable(log.append(record(number), urgent=True))
    crash(log)
    (path,) = tmp_path.glob("*.open")
    flip(path, read_block_table(path)[0].offset + 40)
    log = open_log(tmp_path, Acks())
    assert [found.finding for found in log.recovered] == ["corrupt"]
    log.close(PATIENCE_S)
    with pytest.raises(CorruptFrame):
        seqs(tmp_path)
    newest = first_position(tmp_path, list_segments(tmp_path)[-1])
    ((position, data),) = iter_records(tmp_path, start=newest)
    assert position.record_seq == 4, "the hole of the damaged records stays visible"
    assert isinstance(decode_record(data), SegmentRecovered)


def failing_run(directory: Path, files: FailingFiles, count: int) -> tuple[Acks, SegmentLog | None, int]:
    """Append until the log fails, or all and close: (what was said, the log, last position given out)."""
    acks, last = Acks(), 0
    try:
        log = open_log(directory, acks, files=files)
    except LogFailed:
        return acks, None, 0
    try:
        for number in range(count):
            last = log.append(bytes((number * k) % 251 for k in range(900)), urgent=True)
            if not acks.wait_durable(last):
                break
        log.close(PATIENCE_S)
    except LogFailed:
        pass
    return acks, log, last


@pytest.mark.crash
@pytest.mark.parametrize(("code", "short"), [(errno.EIO, False), (errno.ENOSPC, False), (errno.ENOSPC, True)])
def test_the_first_error_at_any_call_latches_for_ever(tmp_path: Path, code: int, short: bool) -> None:
    """For k = 1..N: fail the k-th writing call, and only it; later calls would succeed."""
    fail_at = 0
    while True:
        fail_at += 1
        directory = tmp_path / str(fail_at)
        directory.mkdir()
        files = FailingFiles(fail_at, code, short=short)
        acks, log, last = failing_run(directory, files, 24)
        if not files.failed:
            assert log is not None
            break
        if log is not None:
            failure = acks.wait_failure()
            acknowledged = acks.durable
            for _ in range(3):
                with pytest.raises(LogFailed) as refused:
                    log.append(b"after", urgent=True)
                assert (refused.value.operation, refused.value.why) == (failure.operation, failure.why)
            with pytest.raises(LogFailed):
                log.close(PATIENCE_S)
            assert log.failed is not None
            assert len(acks.failures) == 1
            assert acks.durable == acknowledged <= last
            assert failure.path.startswith(str(directory))
        found = open_log(directory, Acks())
        assert all(one.finding != "corrupt" for one in found.recovered)
        found.close(PATIENCE_S)
        kept = seqs(directory)
        assert kept == list(range(1, len(kept) + 1))
        assert len(kept) >= acks.durable, "an acknowledged record is gone"
    assert fail_at > 60


def test_a_failed_segment_is_kept_as_it_is(tmp_path: Path) -> None:
    files = FailingFiles()
    acks = Acks()
    log = open_log(tmp_path, acks, files=files)
    assert acks.wait_durable(log.append(b"kept", urgent=True))
    files._fail_at = files._counted + 2  # the next sync
    position = log.append(b"not acknowledged", urgent=True)
    assert not acks.wait_durable(position)
    assert acks.failures[0].operation == "fdatasync"
    with pytest.raises(LogFailed):
        log.close(PATIENCE_S)
    (path,) = tmp_path.glob("*.open")
    assert b"".join(next(iter(read_segment(path))).records) == b"kept"


def test_trouble_of_the_attendant_latches_the_log(tmp_path: Path) -> None:
    acks = Acks()
    log = open_log(
        tmp_path,
        acks,
        files=FailingFiles(2, only="sync_data"),
        settings=msgspec.structs.replace(SMALL, spares=1),
    )
    assert acks.wait_failure().operation == "spare"
    with pytest.raises(LogFailed):
        log.append(b"x", urgent=True)
    with pytest.raises(LogFailed):
        log.close(PATIENCE_S)


def test_a_seal_that_fails_at_the_close_is_reported(tmp_path: Path) -> None:
    acks = Acks()
    log = open_log(tmp_path, acks, files=FailingFiles(1, only="truncate"))
    log.append(b"durable all the same", urgent=True)
    with pytest.raises(LogFailed, match="seal"):
        log.close(PATIENCE_S)
    assert acks.durable == 1
    assert len(acks.failures) == 1


def test_a_callback_that_raises_stops_the_log_instead_of_the_thread_alone(tmp_path: Path) -> None:
    acks = Acks()

    def broken(commit: Commit) -> None:
        raise RuntimeError("the loop is gone")

    acks.on_commit = broken  # type: ignore[method-assign]
    log = open_log(tmp_path, acks)
    log.append(b"x", urgent=True)
    assert acks.wait_failure().why == "RuntimeError: the loop is gone"
    with pytest.raises(LogFailed):
        log.close(PATIENCE_S)


class Stuck(FailingFiles):
    """A disk that does not answer until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.hanging = False
        self.entered, self.let_go = threading.Event(), threading.Event()

    def sync_data(self, fd: int) -> None:
        if self.hanging:
            self.entered.set()
            assert self.let_go.wait(PATIENCE_S)
        super().sync_data(fd)


def test_a_disk_that_hangs_makes_the_close_fail_and_acknowledges_nothing_later(tmp_path: Path) -> None:
    files, acks = Stuck(), Acks()
    log = open_log(tmp_path, acks, files=files)
    files.hanging = True
    log.append(b"x", urgent=True)
    assert files.entered.wait(PATIENCE_S)
    with pytest.raises(LogFailed, match=r"did not finish within 0\.01 s"):
        log.close(0.01)
    with pytest.raises(LogInUse):
        open_log(tmp_path, Acks())
    files.let_go.set()
    assert acks.wait_failure().operation == "close"
    with pytest.raises(LogFailed):
        log.close(PATIENCE_S)
    assert acks.commits == []


def test_a_queue_the_disk_cannot_follow_fails_the_log(tmp_path: Path) -> None:
    files, acks = Stuck(), Acks()
    log = open_log(
        tmp_path, acks, files=files, settings=msgspec.structs.replace(SMALL, max_pending_bytes=10_000)
    )
    files.hanging = True
    log.append(bytes(6000), urgent=True)
    assert files.entered.wait(PATIENCE_S)
    log.append(bytes(4000), urgent=True)
    with pytest.raises(LogFailed, match="wait for the disk"):
        log.append(b"x", urgent=True)
    files.let_go.set()
    assert acks.wait_failure().operation == "append"
    with pytest.raises(LogFailed):
        log.close(PATIENCE_S)
    assert acks.commits == []


def test_a_start_after_a_crash_that_fails_at_any_call_can_be_repeated(tmp_path: Path) -> None:
    acks = Acks()
    log = open_log(tmp_path, acks)
    assert acks.wait_durable(log.append(record(1), urgent=True))
    crash(log)
    fail_at = 0
    while True:
        fail_at += 1
        files = FailingFiles(fail_at)
        try:
            log = open_log(tmp_path, Acks(), files=files)
        except LogFailed:
            continue
        files._fail_at = 0  # from here on the disk is well
        break
    log.close(PATIENCE_S)
    assert fail_at > 12
    kept = [data for _, data in iter_records(tmp_path)]
    assert kept[0] == record(1)
    assert all(isinstance(decode_record(data), SegmentRecovered) for data in kept[1:])
    assert seqs(tmp_path) == list(range(1, len(kept) + 1))


@pytest.mark.parametrize("fail_at", range(1, 9))
def test_a_log_that_cannot_start_leaves_the_directory_free(tmp_path: Path, fail_at: int) -> None:
    files = FailingFiles(fail_at)
    with pytest.raises(LogFailed):
        open_log(tmp_path, Acks(), files=files)
    open_log(tmp_path, Acks()).close(PATIENCE_S)


def test_headroom_is_judged_by_the_watermarks(tmp_path: Path) -> None:
    full = Watermarks(low_share=1.1, low_bytes=1 << 62, critical_share=1.1, critical_bytes=1 << 62)
    for watermarks, verdict in ((full, Headroom.CRITICAL), (Watermarks(0.0, 0, 0.0, 0), Headroom.OK)):
        log = open_log(tmp_path, Acks(), settings=msgspec.structs.replace(SMALL, watermarks=watermarks))
        assert log.headroom() == verdict
        log.close(PATIENCE_S)


def test_headroom_that_cannot_be_told_is_an_error(tmp_path: Path) -> None:
    log = open_log(tmp_path, Acks(), files=FailingFiles(1, only="space"))
    with pytest.raises(LogFailed, match="statvfs"):
        log.headroom()
    log.close(PATIENCE_S)


def test_the_log_knows_its_file_system(tmp_path: Path) -> None:
    log = open_log(tmp_path, Acks())
    assert log.filesystem.kind
    log.close(PATIENCE_S)


def test_many_threads_may_append_and_positions_stay_dense(tmp_path: Path) -> None:
    acks = Acks()
    log = open_log(tmp_path, acks, settings=LogSettings(spares=0))
    given: list[list[tuple[int, bytes]]] = [[] for _ in range(4)]

    def run(who: int) -> None:
        for number in range(300):
            data = b"%d/%d" % (who, number)
            given[who].append((log.append(data, urgent=number % 3 == 0), data))

    threads = [threading.Thread(target=run, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close(PATIENCE_S)
    assert sorted(pair for pairs in given for pair in pairs) == [
        (position.record_seq, data) for position, data in iter_records(tmp_path)
    ]


def test_a_reader_that_follows_the_log_sees_every_record_once_and_no_damage(tmp_path: Path) -> None:
    acks = Acks()
    log = open_log(tmp_path, acks, settings=msgspec.structs.replace(SMALL, first_segment_bytes=8 << 10))
    stop = threading.Event()
    seen: list[int] = []
    troubles: list[Exception] = []

    def follow() -> None:
        start = None
        try:
            while True:
                last_round = stop.is_set()
                for position, data in iter_records(tmp_path, start=start):
                    assert data == b"%d" % position.record_seq * 40
                    seen.append(position.record_seq)
                    start = position.next()
                if last_round:
                    return
        except Exception as error:
            troubles.append(error)

    reader = threading.Thread(target=follow)
    reader.start()
    for number in range(1, 1501):
        position = log.append(b"%d" % number * 40, urgent=number % 5 == 0)
        if number % 5 == 0:
            assert acks.wait_durable(position)
    log.close(PATIENCE_S)
    stop.set()
    reader.join()
    assert troubles == []
    assert seen == list(range(1, 1501))
    assert len(list_segments(tmp_path)) > 1
