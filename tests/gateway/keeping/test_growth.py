"""Whether logs may have grown, told by the times of their files."""

from pathlib import Path

import pytest

from gateway.file_times import SETTLED_S
from gateway.keeping import growth
from gateway.keeping.growth import LONGEST_REST_S, LogGrowth


class Now:
    """A clock that stands until it is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 1000.0
        monkeypatch.setattr(growth.time, "monotonic", lambda: self.now_s)


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> Now:
    return Now(monkeypatch)


def settle(logs: LogGrowth, now: Now) -> None:
    """Ask until nothing has changed for a while."""
    assert logs.may_have_grown()
    now.now_s += SETTLED_S - 0.1
    assert logs.may_have_grown(), "a later change may look the same"
    now.now_s += 0.2
    assert not logs.may_have_grown()


def test_a_write_to_an_open_segment_is_growth(tmp_path: Path, now: Now) -> None:
    segment = tmp_path / "log" / "0" / "1.open"
    segment.parent.mkdir(parents=True)
    segment.write_text("a")
    logs = LogGrowth(tmp_path)
    settle(logs, now)
    segment.write_text("ab")
    settle(logs, now)


def test_new_logs_and_segments_are_growth(tmp_path: Path, now: Now) -> None:
    logs = LogGrowth(tmp_path)
    assert logs.may_have_grown(), "there is no directory yet"
    now.now_s += 100
    assert logs.may_have_grown(), "nor now"
    (tmp_path / "log" / "0").mkdir(parents=True)
    settle(logs, now)
    segment = tmp_path / "log" / "0" / "1.open"
    segment.write_text("a")
    settle(logs, now)
    segment.rename(segment.with_suffix(".kseg"))
    settle(logs, now)


def test_now_and_then_there_is_work_whatever_it_looks_like(tmp_path: Path, now: Now) -> None:
    (tmp_path / "log" / "0").mkdir(parents=True)
    logs = LogGrowth(tmp_path)
    settle(logs, now)
    now.now_s += LONGEST_REST_S
    assert logs.may_have_grown()
    assert not logs.may_have_grown()
