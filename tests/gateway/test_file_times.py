"""Whether files were written to, told by their times."""

from pathlib import Path

import pytest

from gateway import file_times
from gateway.file_times import SETTLED_S, FileTimes


def test_a_file_may_have_changed_until_no_change_can_look_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 100.0
    monkeypatch.setattr(file_times.time, "monotonic", lambda: now_s)
    path = tmp_path / "log"
    watch = FileTimes([path])
    assert watch.may_have_changed(), "there is none"
    path.write_text("a")
    assert watch.may_have_changed()
    now_s += SETTLED_S - 0.1
    assert watch.may_have_changed()
    now_s += 0.2
    assert not watch.may_have_changed()
    path.write_text("ab")
    assert watch.may_have_changed()
