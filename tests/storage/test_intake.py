import threading
from pathlib import Path

import pytest

from storage.errors import LogFailed
from storage.format import MAX_RECORD_BYTES
from storage.intake import Intake
from storage.pace import NEVER, NOW, Clock, LogSettings, Queued

PLACE = Path("/log/0")


class Time:
    """A clock that stands until it is set."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.clock = Clock(monotonic_s=lambda: self.now_s)


def intake(time: Time | None = None, **settings: float) -> Intake:
    return Intake(PLACE, LogSettings(**settings), (time or Time()).clock)  # type: ignore[arg-type]


class Taker(threading.Thread):
    """A thread asleep in `take`; `asleep()` returns once it is."""

    def __init__(self, queue: Intake, due_s: float = NEVER) -> None:
        super().__init__()
        self.queue, self.due_s = queue, due_s
        self.taken: list[Queued | None] = []
        self.failure: LogFailed | None = None

    def run(self) -> None:
        try:
            self.taken.append(self.queue.take(self.due_s))
        except LogFailed as failure:
            self.failure = failure

    def asleep(self) -> "Taker":
        self.start()
        while self.queue._asleep_until_s == NOW and self.is_alive():
            pass
        return self

    def woken(self) -> Queued | None:
        self.join(20)
        return self.taken[0]


def test_positions_are_dense_and_everything_is_taken_at_once() -> None:
    queue = intake()
    assert [queue.append(b"%d" % number, urgent=number == 3) for number in (1, 2, 3)] == [1, 2, 3]
    taken = queue.take(NEVER)
    assert taken is not None
    assert (taken.records, taken.byte_count, taken.urgent, taken.since_s) == (
        [b"1", b"2", b"3"],
        3,
        True,
        100.0,
    )
    assert queue.pending_bytes == 3
    queue.durable_bytes = 2
    assert queue.pending_bytes == 1


def test_an_urgent_record_wakes_the_writer() -> None:
    queue = intake()
    taker = Taker(queue).asleep()
    queue.append(b"x", urgent=True)
    taken = taker.woken()
    assert taken is not None
    assert taken.records == [b"x"]


def test_without_a_ring_the_writer_sleeps_until_somebody_rings() -> None:
    queue = intake(company_s=50.0)
    taker = Taker(queue).asleep()
    queue.append(b"x", urgent=True, ring=False)
    assert queue.is_due
    assert queue._asleep_until_s == NEVER, "it sleeps on"
    queue.append(b"y", urgent=False, quiet=True)
    taken = taker.woken()
    assert taken is not None
    assert taken.records == [b"x", b"y"], "whoever rings, rings for all"
    assert not queue.is_due


def test_a_ring_wakes_for_what_was_appended_without() -> None:
    queue = intake()
    queue.ring()
    assert not queue.is_due, "nobody sleeps, nothing waits"
    taker = Taker(queue).asleep()
    queue.append(b"x", urgent=True, ring=False)
    queue.ring()
    taken = taker.woken()
    assert taken is not None
    assert not queue.is_due


def test_a_writer_that_has_worked_dozes_so_that_a_lazy_record_need_not_wake_it() -> None:
    time = Time()
    queue = intake(time, company_s=50.0)
    queue.append(b"x", urgent=True)
    queue.take(NEVER)
    taker = Taker(queue).asleep()
    assert queue._asleep_until_s == 150.0, "as long as a record may wait for company"
    queue.append(b"y", urgent=False, ring=False)
    assert not queue.is_due
    queue.append(b"z", urgent=True)
    taken = taker.woken()
    assert taken is not None
    assert taken.records == [b"y", b"z"]


def test_a_doze_in_which_nothing_came_becomes_a_sleep() -> None:
    time = Time()
    queue = intake(time, company_s=0.001)
    queue.append(b"x", urgent=True)
    queue.take(NEVER)
    taker = Taker(queue).asleep()
    time.now_s += 1.0
    while queue._asleep_until_s != NEVER:
        assert taker.is_alive()
    queue.close()
    assert taker.woken() is None


def test_a_lazy_record_only_sets_the_alarm_and_company_ends_the_wait() -> None:
    queue = intake(company_s=50.0, company_bytes=10)
    taker = Taker(queue).asleep()
    queue.append(b"12345", urgent=False)
    while queue._asleep_until_s != 150.0:
        assert taker.is_alive()
    queue.append(b"1234", urgent=False)
    assert queue._asleep_until_s == 150.0, "it sleeps on"
    queue.append(b"1", urgent=False)
    taken = taker.woken()
    assert taken is not None
    assert len(taken.records) == 3


def test_what_is_due_ends_the_sleep_even_if_nothing_is_queued() -> None:
    time = Time()
    queue = intake(time)
    taker = Taker(queue, due_s=100.001).asleep()
    time.now_s = 101.0
    taken = taker.woken()
    assert taken is not None
    assert taken.records == []


def test_closing_gives_out_the_rest_and_then_nothing() -> None:
    queue = intake()
    queue.append(b"x", urgent=False)
    queue.close()
    with pytest.raises(LogFailed, match="the log is closed"):
        queue.append(b"y", urgent=True)
    taken = queue.take(NEVER)
    assert taken is not None
    assert taken.records == [b"x"]
    assert queue.take(NEVER) is None


def test_closing_wakes_the_writer() -> None:
    queue = intake()
    taker = Taker(queue).asleep()
    queue.close()
    assert taker.woken() is None


def test_the_first_failure_is_kept_wakes_the_writer_and_empties_the_queue() -> None:
    queue = intake(company_s=50.0)
    queue.append(b"x", urgent=False)
    taker = Taker(queue).asleep()
    queue.latch(LogFailed("write", "f", "first"))
    taker.join(20)
    assert taker.failure is queue.failed
    queue.latch(LogFailed("write", "f", "second"))
    for _ in range(2):
        with pytest.raises(LogFailed, match="first") as caught:
            queue.append(b"y", urgent=True)
        assert caught.value is not queue.failed
    with pytest.raises(LogFailed, match="first"):
        queue.take(NEVER)


def test_more_than_the_bound_fails_the_log() -> None:
    queue = intake(max_pending_bytes=10)
    queue.append(bytes(10), urgent=False)
    with pytest.raises(LogFailed, match="10 bytes wait for the disk"):
        queue.append(b"x", urgent=False)
    assert queue.failed is not None


@pytest.mark.parametrize("size", [0, MAX_RECORD_BYTES + 1])
def test_a_record_no_frame_can_hold_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="a record of"):
        intake().append(bytes(size), urgent=True)


def test_a_ring_between_timeout_and_lock_is_taken_back() -> None:
    """Else the next sleep would end at once, and the one after it never ring."""
    queue = intake()
    queue._asleep_until_s = 100.0
    mutex = queue._mutex

    class RingingMutex:
        """Rings while the sleeper is on its way from the timed-out bell to the lock."""

        def __enter__(self) -> None:
            queue._mutex = mutex
            mutex.acquire()
            queue._ring()

        def __exit__(self, *_: object) -> None:
            mutex.release()

    queue._mutex = RingingMutex()  # type: ignore[assignment]
    queue._sleep(0.0)
    assert not queue._bell.acquire(blocking=False)
    assert queue._asleep_until_s == NOW
