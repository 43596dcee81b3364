"""Segments to row files: each once, over crashes, damage, missing keys and other writers."""

import errno
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from storage.errors import NoKey
from storage.files import REAL_FILES, RealFiles
from storage.format import PAGE_BYTES, parse_header_page
from storage.lake.row_maker import UNREADABLE_SEGMENT
from storage.lake.rows import TABLES, Row
from storage.lake.rows_file import read_rows
from storage.lake.rows_state import load_state, save_state
from storage.lake.rows_writer import RowsWriter, forget_open_texts
from storage.lake.settings import RowSettings
from storage.records import encode_record
from tests.kit import segments
from tests.kit.faulty_files import FailingFiles
from tests.kit.lake_logs import calls, controls, events, write_segments
from tests.kit.recorded import Tape, whole_story
from tests.kit.sealing import RING, begin_encrypted

BORDERS = (12, 30, 45, 50, 60)


def story() -> Tape:
    tape = whole_story()
    tape.started()
    tape.apply()
    return tape


def run(writer: RowsWriter) -> int:
    """Until there is no more; returns how many steps did something."""
    steps = 0
    try:
        while writer.run_once():
            steps += 1
    finally:
        writer.close()
    return steps


def files_of(data_dir: Path) -> dict[str, bytes]:
    rows = data_dir / "rows"
    return {str(path.relative_to(rows)): path.read_bytes() for path in sorted(rows.rglob("*.ndjson.zst"))}


def rows_in(data_dir: Path) -> list[Row]:
    found: list[Row] = []
    for table in TABLES:
        for path in sorted((data_dir / "rows" / "0" / table).glob("*.ndjson.zst")):
            found += read_rows(path, table, files=REAL_FILES)
    return found


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    write_segments(tmp_path, story().records, BORDERS)
    return tmp_path


# --- the straight way ----------------------------------------------------------------------------


def test_every_sealed_segment_gets_its_rows_once(data_dir: Path) -> None:
    writer = RowsWriter(data_dir, settings=RowSettings(cluster="prod"))
    assert run(writer) == len(BORDERS) + 1
    made = rows_in(data_dir)
    assert len(calls(made)) == 15
    assert len({row.event_id for row in calls(made)}) == 15
    assert {row.cluster for row in made} == {"prod"}
    assert writer.rows_made == len(made)
    assert writer.unreadable == []
    before = files_of(data_dir)
    assert run(RowsWriter(data_dir)) == 0
    assert files_of(data_dir) == before


def test_rows_say_segment_block_and_leaf(data_dir: Path) -> None:
    asked = set()

    def leaf_index(log: str, stem: str, block_seq: int) -> int:
        asked.add((log, stem))
        return block_seq + 1000

    run(RowsWriter(data_dir, leaf_index=leaf_index))
    row = calls(rows_in(data_dir))[-1]
    assert row.leaf_index == row.block_seq + 1000
    assert row.segment_id[-8:] in max(asked)[1]
    assert row.gateway_id == "gw"
    assert {log for log, _ in asked} == {"0"}


def test_a_table_without_rows_has_no_file(tmp_path: Path) -> None:
    tape = Tape()
    tape.delete()
    write_segments(tmp_path, tape.records)
    run(RowsWriter(tmp_path))
    assert {path.split("/")[1] for path in files_of(tmp_path)} == {"api_calls", "control_events"}


def test_a_segment_without_rows_is_done_all_the_same(tmp_path: Path) -> None:
    tape = Tape()
    tape.exec()
    (first, *_) = write_segments(tmp_path, tape.records, (7, 8, 9))
    run(RowsWriter(tmp_path))
    state = load_state(tmp_path / "rows", "0")
    assert state is not None
    assert state.name.number == 4
    assert first.exists()


def test_a_directory_without_logs_has_nothing_to_do(tmp_path: Path) -> None:
    assert run(RowsWriter(tmp_path)) == 0
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "a file").touch()
    (tmp_path / "log" / "empty").mkdir()
    assert run(RowsWriter(tmp_path)) == 0


def test_each_log_is_followed_on_its_own(tmp_path: Path) -> None:
    write_segments(tmp_path, story().records, (20,), log="0")
    write_segments(tmp_path, story().records, (40,), log="1")
    assert RowsWriter(tmp_path).logs() == ["0", "1"]
    assert run(RowsWriter(tmp_path)) == 2
    assert {path.split("/")[0] for path in files_of(tmp_path)} == {"0", "1"}


def test_an_open_segment_waits_until_it_is_sealed(tmp_path: Path) -> None:
    *_, last = write_segments(tmp_path, story().records, (40,), seal=False)
    writer = RowsWriter(tmp_path)
    assert writer.run_once()
    assert not writer.run_once()
    before = len(files_of(tmp_path))
    last.rename(last.with_suffix(".recovered"))
    assert writer.run_once()
    assert len(files_of(tmp_path)) > before
    writer.close()


def test_a_sealed_segment_behind_an_open_one_waits_too(data_dir: Path) -> None:
    second = sorted((data_dir / "log" / "0").glob("*.kseg"))[1]
    sealed = second.read_bytes()
    second.rename(second.with_suffix(".open"))
    writer = RowsWriter(data_dir)
    assert (writer.run_once(), writer.run_once()) == (True, False)
    second.with_suffix(".open").unlink()
    second.write_bytes(sealed)
    assert run(writer) == len(BORDERS)


def test_only_one_at_a_time_makes_rows(data_dir: Path) -> None:
    first, second = RowsWriter(data_dir), RowsWriter(data_dir)
    assert first.take_lock()
    assert not second.run_once()
    first.close()
    first.close()
    assert second.run_once()
    second.close()


def test_rows_can_be_made_elsewhere(data_dir: Path, tmp_path: Path) -> None:
    run(RowsWriter(data_dir, rows_dir=tmp_path / "elsewhere" / "rows"))
    assert not (data_dir / "rows").exists()
    assert list((tmp_path / "elsewhere" / "rows" / "0" / "api_calls").iterdir())


# --- restarts ----------------------------------------------------------------------------------------


def test_a_restart_after_every_segment_changes_no_byte(data_dir: Path) -> None:
    run(RowsWriter(data_dir))
    expected = files_of(data_dir)
    again = data_dir / "again"
    for _ in range(len(BORDERS) + 1):
        writer = RowsWriter(data_dir, rows_dir=again / "rows")
        assert writer.run_once()
        writer.close()
    assert files_of(again) == expected


def test_a_body_cut_by_a_border_is_hashed_over_a_restart(tmp_path: Path) -> None:
    tape = Tape()
    tape.apply()
    write_segments(tmp_path, tape.records, (len(tape.records) - 1,))
    for _ in range(2):
        writer = RowsWriter(tmp_path)
        writer.run_once()
        writer.close()
    assert calls(rows_in(tmp_path))[-1].req_sha256 is not None


def test_without_the_segment_of_its_beginning_a_hash_is_null(tmp_path: Path) -> None:
    tape = Tape()
    tape.apply()
    size = len(tape.records)
    first, *_ = write_segments(tmp_path, tape.records, (size - 2, size - 1))
    for step in range(3):
        writer = RowsWriter(tmp_path)
        writer.run_once()
        writer.close()
        if step == 0:
            segments.flip(first, 4096 + 70)
        if step == 1:
            first.unlink()
    row = calls(rows_in(tmp_path))[-1]
    assert (row.status_reason, row.req_sha256) == ("completed", None)


def test_a_state_that_is_lost_or_garbled_makes_the_same_rows_again(data_dir: Path) -> None:
    run(RowsWriter(data_dir))
    expected = files_of(data_dir)
    state = data_dir / "rows" / "0" / "state"
    whole = state.read_bytes()
    broken_maker = whole.replace(b"maker\xc4", b"maker\xa3", 1)
    for content in (None, b"garbled", broken_maker):
        state.unlink() if content is None else state.write_bytes(content)
        assert run(RowsWriter(data_dir)) == len(BORDERS) + 1
        assert files_of(data_dir) == expected


def test_open_calls_that_cannot_be_understood_are_read_again(data_dir: Path) -> None:
    run(RowsWriter(data_dir))
    state = load_state(data_dir / "rows", "0")
    assert state is not None
    save_state(data_dir / "rows", "0", msgspec.structs.replace(state, maker=b"garbled"))
    assert run(RowsWriter(data_dir)) == len(BORDERS) + 1


def test_rows_of_another_log_do_not_hide_this_one(data_dir: Path) -> None:
    run(RowsWriter(data_dir))
    for path in (data_dir / "log" / "0").iterdir():
        path.unlink()
    write_segments(data_dir, story().records, BORDERS)
    assert run(RowsWriter(data_dir)) == len(BORDERS) + 1


@pytest.mark.parametrize("borders", [(12, 45), (60,)])
def test_a_failure_at_every_operation_costs_nothing(tmp_path: Path, borders: tuple[int, ...]) -> None:
    write_segments(tmp_path, story().records, borders)
    run(RowsWriter(tmp_path))
    expected = files_of(tmp_path)
    fail_at, survived = 0, False
    while not survived:
        fail_at += 1
        files, other = FailingFiles(fail_at, errno.ENOSPC), tmp_path / f"{fail_at}"
        try:
            run(RowsWriter(tmp_path, rows_dir=other / "rows", files=files))
            survived = not files.failed
        except OSError:
            run(RowsWriter(tmp_path, rows_dir=other / "rows"))
        assert files_of(other) == expected
    assert fail_at > 20


def test_the_same_writer_goes_on_after_a_failure(data_dir: Path) -> None:
    writer = RowsWriter(data_dir, files=FailingFiles(12, errno.ENOSPC))
    with pytest.raises(OSError, match="injected"):
        run(writer)
    run(writer)
    made = files_of(data_dir)
    run(RowsWriter(data_dir, rows_dir=data_dir / "again" / "rows"))
    assert files_of(data_dir / "again") == made


def test_a_step_can_be_stopped_between_frames(data_dir: Path) -> None:
    class Stop(Exception):
        pass

    def stop() -> None:
        raise Stop

    with pytest.raises(Stop):
        run(RowsWriter(data_dir, between_frames=stop))
    assert files_of(data_dir) == {}
    assert run(RowsWriter(data_dir)) == len(BORDERS) + 1


# --- what cannot be read ------------------------------------------------------------------------------


def test_a_damaged_segment_is_said_and_does_not_block_the_rest(data_dir: Path) -> None:
    damaged = sorted((data_dir / "log" / "0").glob("*.kseg"))[1]
    segments.flip(damaged, 4096 + 60)
    writer = RowsWriter(data_dir)
    assert run(writer) == len(BORDERS) + 1
    (skipped,) = writer.unreadable
    assert (skipped.log, skipped.stem) == ("0", damaged.stem)
    made = rows_in(data_dir)
    (said,) = [row for row in controls(made) if row.kind == UNREADABLE_SEGMENT]
    assert (said.segment_id[-8:], said.gateway_id) == (damaged.stem[-8:], "gw")
    assert calls(made)[-1].status_reason == "completed"


def test_rows_before_the_damage_are_kept(tmp_path: Path) -> None:
    (path,) = write_segments(tmp_path, story().records)
    segments.flip(path, path.stat().st_size // 2)
    run(RowsWriter(tmp_path))
    made = rows_in(tmp_path)
    assert 0 < len(calls(made)) < 15
    assert controls(made)[-1].kind == UNREADABLE_SEGMENT


def test_a_segment_without_header_is_said_too(data_dir: Path) -> None:
    damaged = sorted((data_dir / "log" / "0").glob("*.kseg"))[0]
    segments.flip(damaged, 20)
    run(RowsWriter(data_dir))
    said = [row for row in controls(rows_in(data_dir)) if row.kind == UNREADABLE_SEGMENT]
    assert [row.event_id for row in said] == [f"{damaged.stem}/unreadable"]


class ReadErrors(RealFiles):
    """Opening one file for reading fails."""

    def __init__(self, suffix: str, error: Callable[[], Exception]) -> None:
        self.suffix, self.error = suffix, error

    def open_read(self, path: Path) -> int:
        if path.name.endswith(self.suffix):
            raise self.error()
        return super().open_read(path)


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOENT])
def test_a_bad_sector_or_an_expired_segment_is_skipped(data_dir: Path, code: int) -> None:
    files = ReadErrors(".kseg", lambda: OSError(code, "gone"))
    writer = RowsWriter(data_dir, files=files)
    assert run(writer) == len(BORDERS) + 1
    assert len(writer.unreadable) == len(BORDERS) + 1


def test_other_errors_of_the_system_are_raised_and_lose_nothing(data_dir: Path) -> None:
    files = ReadErrors(".kseg", lambda: OSError(errno.EMFILE, "too many open files"))
    with pytest.raises(OSError, match="too many"):
        run(RowsWriter(data_dir, files=files))
    assert run(RowsWriter(data_dir)) == len(BORDERS) + 1


class KeyServiceDown(NoKey):
    pass


def test_an_error_that_may_pass_is_raised_and_loses_nothing(data_dir: Path) -> None:
    files = ReadErrors(".kseg", lambda: KeyServiceDown("the key service does not answer"))
    with pytest.raises(KeyServiceDown):
        run(RowsWriter(data_dir, files=files, transient=(KeyServiceDown,)))
    skipping = RowsWriter(data_dir, rows_dir=data_dir / "other", files=files)
    run(skipping)
    assert len(skipping.unreadable) == len(BORDERS) + 1
    assert run(RowsWriter(data_dir)) == len(BORDERS) + 1


def test_an_error_that_may_pass_while_bodies_are_read_again_is_raised_too(tmp_path: Path) -> None:
    tape = Tape()
    tape.apply()
    write_segments(tmp_path, tape.records, (len(tape.records) - 1,))
    writer = RowsWriter(tmp_path)
    writer.run_once()
    writer.close()
    files = ReadErrors(".kseg", lambda: KeyServiceDown("the key service does not answer"))
    with pytest.raises(KeyServiceDown):
        run(RowsWriter(tmp_path, files=files, transient=(KeyServiceDown,)))
    run(RowsWriter(tmp_path))
    assert calls(rows_in(tmp_path))[-1].req_sha256 is not None


def test_metadata_only_holds_for_what_is_on_disk(data_dir: Path) -> None:
    run(RowsWriter(data_dir, settings=RowSettings(metadata_only=True)))
    assert all(row.text is None for row in events(rows_in(data_dir)))
    state = (data_dir / "rows" / "0" / "state").read_bytes()
    assert b"customers" not in state


def test_open_texts_are_forgotten_when_their_segment_is_shredded(data_dir: Path) -> None:
    run(RowsWriter(data_dir))
    forget_open_texts(data_dir, "0")
    assert b"customers" not in (data_dir / "rows" / "0" / "state").read_bytes()
    assert RowsWriter(data_dir).run_once() is False  # nothing is made again


def test_a_state_that_cannot_be_understood_holds_no_text_either(data_dir: Path) -> None:
    run(RowsWriter(data_dir))
    state = load_state(data_dir / "rows", "0")
    assert state is not None
    save_state(data_dir / "rows", "0", msgspec.structs.replace(state, maker=b"customers"))
    forget_open_texts(data_dir, "0")
    assert b"customers" not in (data_dir / "rows" / "0" / "state").read_bytes()


def test_without_rows_there_is_nothing_to_forget(tmp_path: Path) -> None:
    forget_open_texts(tmp_path, "0")
    assert not (tmp_path / "rows").exists()


# --- encrypted logs ----------------------------------------------------------------------------------


def write_encrypted(data_dir: Path) -> list[Path]:
    """Two encrypted segments of one call each."""
    paths, seq, previous = [], 1, ""
    (data_dir / "log" / "0").mkdir(parents=True)
    for number in (1, 2):
        tape = Tape(tag=str(number))
        tape.delete()
        segment = begin_encrypted(data_dir / "log" / "0", number, first_record_seq=seq, prev=previous)
        segment.append([encode_record(record) for record in tape.records], segments.START_NS)
        segment.sync()
        paths.append(segment.seal())
        seq += len(tape.records)
        previous = parse_header_page(paths[-1].read_bytes()[:PAGE_BYTES], "").segment_id
    return paths


def test_an_encrypted_log_has_rows_for_who_holds_its_key(tmp_path: Path) -> None:
    write_encrypted(tmp_path)
    writer = RowsWriter(tmp_path, keys=RING)
    assert run(writer) == 2
    assert (len(calls(rows_in(tmp_path))), writer.unreadable) == (2, [])


def test_without_the_key_each_segment_is_said_once(tmp_path: Path) -> None:
    paths = write_encrypted(tmp_path)
    writer = RowsWriter(tmp_path)
    assert run(writer) == 2
    assert [skipped.stem for skipped in writer.unreadable] == [path.stem for path in paths]
    said = controls(rows_in(tmp_path))
    assert [row.kind for row in said] == [UNREADABLE_SEGMENT] * 2
    assert all(row.segment_id for row in said)  # the header is in the clear


def test_a_shredded_segment_is_said_and_the_next_has_its_rows(tmp_path: Path) -> None:
    first, second = write_encrypted(tmp_path)
    first.with_suffix(".keys").unlink()
    first.with_suffix(".shredded").touch()
    writer = RowsWriter(tmp_path, keys=RING)
    run(writer)
    assert [skipped.stem for skipped in writer.unreadable] == [first.stem]
    assert [row.segment_id[-8:] for row in calls(rows_in(tmp_path))] == [second.stem[-8:]]
