"""What a supervisor and its processes say to each other."""

import pytest

from gateway.config import Listen, Settings
from gateway.decision_counts import DecisionCounts
from gateway.keeper_messages import SegmentKey, encode_line
from gateway.policy.model import Action, Mode, Verdict
from gateway.process_messages import (
    Drain,
    Drained,
    Finish,
    FromWorker,
    Started,
    StartFailed,
    ToWorker,
    WorkerOrders,
    WorkerStatus,
    add_counts,
    pack_counts,
    parse_from_worker,
    parse_to_worker,
)

SETTINGS = Settings(listen=Listen(console="127.0.0.1:0", shutdown_delay_seconds=3), workers="auto")


@pytest.mark.parametrize(
    "message",
    [WorkerOrders("worker", "worker-0", 3, [7, 8], SETTINGS), Drain("why", accepting=True), Finish(True)],
)
def test_what_a_worker_is_told_comes_back_as_it_was(message: ToWorker) -> None:
    line = encode_line(message)
    assert line.count(b"\n") == 1
    assert parse_to_worker(line[:-1]) == message


@pytest.mark.parametrize(
    "message",
    [
        Started("log+key", "policy\nin two lines"),
        StartFailed("no", is_config=True),
        WorkerStatus({"recorder": ""}, {"kubetape_calls_active": 1.0}),
        Drained(),
        SegmentKey("origin", "segment", b"k" * 32),
    ],
)
def test_what_a_worker_says_comes_back_as_it_was(message: FromWorker) -> None:
    assert parse_from_worker(encode_line(message)[:-1]) == message


def test_counts_of_several_processes_add_up() -> None:
    counts = DecisionCounts()
    counts.decided(Verdict(Action.DENY, Mode.ENFORCE, rules=("p/r",), shadow=("p/s",)))
    counts.masked_values("p/m", 3)
    counts.approval_ended("approved", 2.0)
    total = DecisionCounts()
    for _ in range(2):
        add_counts(total, pack_counts(counts))
    assert total.decisions == {("deny", "p/r"): 2}
    assert (total.shadow, total.masked) == ({"p/s": 2}, {"p/m": 6})
    assert (sum(total.waits["approved"].counts), total.waits["approved"].sum_s) == (2, 4.0)
    assert sum(counts.waits["approved"].counts) == 1, "what was added to is not what was added"
