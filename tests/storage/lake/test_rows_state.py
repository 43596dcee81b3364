"""How far rows are: replaced as a whole, and what is garbled is nothing."""

from pathlib import Path

import msgspec
import pytest

from storage.lake.rows_state import STATE_VERSION, RowsState, load_state, rows_path, save_state
from storage.lake.settings import RowSettings
from tests.kit.faulty_files import FailingFiles

STEM = "1769853600000-000001-00000002-0badcafe"
STATE = RowsState(STEM, b"open calls", RowSettings(cluster="prod"))


def test_a_state_comes_back_as_it_went(tmp_path: Path) -> None:
    save_state(tmp_path, "0", STATE)
    loaded = load_state(tmp_path, "0")
    assert loaded == STATE
    assert loaded is not None
    assert loaded.name.number == 2
    assert [path.name for path in (tmp_path / "0").iterdir()] == ["state"]


def test_a_log_without_state_has_none(tmp_path: Path) -> None:
    assert load_state(tmp_path, "0") is None
    (tmp_path / "LOCK").touch()
    assert load_state(tmp_path, "LOCK") is None


@pytest.mark.parametrize(
    "garbled",
    [
        b"",
        b"\xc1",
        msgspec.msgpack.encode(msgspec.structs.replace(STATE, version=STATE_VERSION + 1)),
        msgspec.msgpack.encode(msgspec.structs.replace(STATE, done="../../etc/passwd")),
    ],
)
def test_a_state_that_cannot_be_understood_is_none(tmp_path: Path, garbled: bytes) -> None:
    save_state(tmp_path, "0", STATE)
    (tmp_path / "0" / "state").write_bytes(garbled)
    assert load_state(tmp_path, "0") is None


def test_a_state_is_old_or_new_whatever_fails(tmp_path: Path) -> None:
    save_state(tmp_path, "0", STATE)
    newer = msgspec.structs.replace(STATE, maker=b"more")
    for fail_at in range(1, 10):
        files = FailingFiles(fail_at)
        try:
            save_state(tmp_path, "0", newer, files=files)
        except OSError:
            assert load_state(tmp_path, "0") in (STATE, newer)
            save_state(tmp_path, "0", STATE)
            continue
        assert not files.failed
        assert load_state(tmp_path, "0") == newer
        return
    raise AssertionError("it never succeeded")


def test_row_files_lie_by_log_and_table() -> None:
    assert rows_path(Path("rows"), "0", "api_calls", STEM) == Path(f"rows/0/api_calls/{STEM}.ndjson.zst")
