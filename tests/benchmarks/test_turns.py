"""Whose turn it is, and that the background of the others stands still meanwhile."""

import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from benchmarks.http_client import Endpoint
from benchmarks.side_by_side.turns import Turns, order_of_round
from benchmarks.side_by_side.ways import Lane, Way


def test_every_lane_begins_as_often_and_follows_each_neighbour_as_often() -> None:
    rounds = [order_of_round("ABCD", number) for number in range(8)]
    assert all(sorted(one) == list("ABCD") for one in rounds)
    assert set(Counter(one[0] for one in rounds).values()) == {2}
    followed = Counter(pair for one in rounds for pair in pairwise(one))
    assert all(followed[first, second] == followed[second, first] for first, second in followed)


@pytest.fixture
def way() -> Iterator[Way]:
    with subprocess.Popen(["sleep", "60"]) as process:
        endpoint = Endpoint("127.0.0.1", 1, b"", "", None)
        yield Way("kubetape", endpoint, Path(), os.getpid(), roles={process.pid: "keeper"})
        process.kill()


def test_the_background_of_a_way_works_in_its_turns_alone(way: Way) -> None:
    (pid,) = way.roles
    other = Way("direct", way.endpoint, Path())

    def is_told(state: int) -> bool:
        told = os.waitid(os.P_PID, pid, state)
        return told is not None and told.si_pid == pid

    with Turns([Lane(other, "h1"), Lane(way, "h1")]) as turns:
        assert is_told(os.WSTOPPED)
        with turns.of(other):
            assert os.waitid(os.P_PID, pid, os.WCONTINUED | os.WNOHANG) is None
        with turns.of(way):
            assert is_told(os.WCONTINUED)
        assert is_told(os.WSTOPPED)
    assert is_told(os.WCONTINUED)


def test_a_background_that_has_ended_stops_nobody(way: Way) -> None:
    (pid,) = way.roles
    os.kill(pid, 9)
    os.waitid(os.P_PID, pid, os.WEXITED)
    with Turns([Lane(way, "h1")]) as turns, turns.of(way):
        pass
