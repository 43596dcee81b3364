"""What a witness remembers: durable, one witness at a time, and never less than before."""

import errno
from pathlib import Path

import pytest

from storage.errors import LogFailed, LogInUse
from storage.files import REAL_FILES
from storage.tlog.witness import Head
from storage.tlog.witness_state import WitnessState, WitnessStateDamaged, origin_hash
from tests.kit.faulty_files import CrashFiles, FailingFiles
from tests.kit.trees import ORIGIN, note_at, root_at

STATE = Path("/witness")


def test_what_was_saved_is_there_for_the_next_witness(tmp_path: Path) -> None:
    state = WitnessState(REAL_FILES, tmp_path / "state")
    assert state.head(ORIGIN) is None
    assert state.note(ORIGIN) is None
    state.save(ORIGIN, note_at(3))
    state.save(ORIGIN, note_at(7))
    state.close()
    state = WitnessState(REAL_FILES, tmp_path / "state")
    assert state.head(ORIGIN) == Head(7, root_at(7))
    assert state.note(ORIGIN) == note_at(7)
    assert state.head("another log") is None
    state.close()


def test_two_witnesses_do_not_share_a_state(tmp_path: Path) -> None:
    state = WitnessState(REAL_FILES, tmp_path)
    with pytest.raises(LogInUse, match="is the state of another running witness"):
        WitnessState(REAL_FILES, tmp_path)
    state.close()
    WitnessState(REAL_FILES, tmp_path).close()


def test_a_state_that_cannot_be_opened_says_so(tmp_path: Path) -> None:
    with pytest.raises(LogFailed, match="open witness state"):
        WitnessState(FailingFiles(1, errno.EACCES, only="lock"), tmp_path)


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 300, note_at(3).replace(b"\n3\n", b"\nx\n"), b"x" * (2 << 20)]
)
def test_a_garbled_state_is_never_taken_for_an_empty_one(tmp_path: Path, content: bytes) -> None:
    state = WitnessState(REAL_FILES, tmp_path)
    (tmp_path / f"{origin_hash(ORIGIN)}.note").write_bytes(content)
    with pytest.raises(WitnessStateDamaged, match=origin_hash(ORIGIN)):
        state.head(ORIGIN)
    state.close()


def test_the_note_of_another_log_is_no_state_of_this_one(tmp_path: Path) -> None:
    state = WitnessState(REAL_FILES, tmp_path)
    (tmp_path / f"{origin_hash('other')}.note").write_bytes(note_at(3))
    with pytest.raises(WitnessStateDamaged, match=f"is of the log '{ORIGIN}', not of 'other'"):
        state.head("other")
    state.close()


def test_an_unreadable_state_is_an_error(tmp_path: Path) -> None:
    state = WitnessState(REAL_FILES, tmp_path)
    (tmp_path / f"{origin_hash(ORIGIN)}.note").mkdir()
    with pytest.raises(LogFailed, match="read"):
        state.head(ORIGIN)
    state.close()


def test_the_first_conflict_is_kept(tmp_path: Path) -> None:
    state = WitnessState(REAL_FILES, tmp_path)
    state.keep_conflict(ORIGIN, b"first")
    state.keep_conflict(ORIGIN, b"second")
    assert (tmp_path / f"{origin_hash(ORIGIN)}.conflict").read_bytes() == b"first"
    state.close()


def test_after_a_failed_write_nothing_is_saved_any_more(tmp_path: Path) -> None:
    for fail_at in range(1, 20):
        directory = tmp_path / str(fail_at)
        state = WitnessState(REAL_FILES, directory)
        state.save(ORIGIN, note_at(3))
        state.close()
        files = FailingFiles(fail_at)
        try:
            state = WitnessState(files, directory)
        except LogFailed:
            continue
        if fail_at == 7:  # lock, create, write, sync, rename, directory: all came through
            state.save(ORIGIN, note_at(7))
            state.close()
            return
        for _ in range(2):
            with pytest.raises(LogFailed, match="write"):
                state.save(ORIGIN, note_at(7))
        head = state.head(ORIGIN)
        assert head in (Head(3, root_at(3)), Head(7, root_at(7)))
        state.close()


def test_after_a_power_cut_what_was_saved_is_there() -> None:
    for cut_at in range(1, 40):
        files = CrashFiles(cut_at=cut_at)
        saved = 0
        try:
            state = WitnessState(files, STATE)
            for size in (3, 7, 9):
                state.save(ORIGIN, note_at(size))
                saved = size
        except LogFailed:
            pass
        names = files.pending_names()
        for kept in range(names + 1):
            for whole in (True, False):
                image = files.image(lambda number, data, whole=whole: data if whole else None, kept)  # type: ignore[misc]
                head = WitnessState(image, STATE).head(ORIGIN)
                assert (head.size if head else 0) >= saved
        if saved == 9:
            return
    pytest.fail("never came through")
