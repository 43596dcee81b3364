"""Destroying the content of a segment: what is gone, what stays, and what a crash in between leaves."""

import fcntl
import json
import sqlite3
import time
from pathlib import Path

import pytest

from storage.encryption.envelopes import SegmentKeys, list_segment_keys
from storage.encryption.keys import KeyRing
from storage.encryption.segment_contents import opened_ns, segments_of_session, sessions_in
from storage.encryption.shredding import (
    ShredRefused,
    check_shreddable,
    find_segments,
    purge_index,
    shred,
    unfinished,
)
from storage.errors import LogFailed, Shredded
from storage.files import REAL_FILES, RealFiles
from storage.index import Indexer
from storage.index_rows import RECORDS_LOST
from storage.index_schema import GarbledIndex, day_files
from storage.query import Query, parse_query
from storage.reader import iter_records, read_block_table
from storage.search import Archive
from storage.sources import SegmentLogs
from storage.timeline import read_call, read_detail
from tests.kit.faulty_files import FailingFiles
from tests.kit.recorded import AGENT, ANN, SESSIONS, START_NS, Tape, write_log
from tests.kit.sealing import RING, write_encrypted_log

DAY_S = 86_400
SECRET = b"4111 1111 1111 1111"


def never(_: SegmentKeys) -> str:
    return ""


def indexed(data_dir: Path, ring: KeyRing = RING) -> Archive:
    """Bring the index up to date, as the keeper does: in steps, so that a call is written down in parts."""
    source = SegmentLogs(data_dir, keys=ring)
    indexer = Indexer(data_dir, source=source)
    while indexer.run_once(7):
        pass
    indexer.close()
    return Archive(indexer.directory, source)


def story(data_dir: Path) -> list[SegmentKeys]:
    """Three runs, a segment each: Ann reads pods; the agent is denied and Ann is in a pod; Ann deletes."""
    for number, scenes in enumerate((("get_pods",), ("denied", "exec"), ("delete",))):
        tape = Tape(start_ns=START_NS + number * DAY_S * 1_000_000_000, tag=str(number))
        tape.started()
        for scene in scenes:
            getattr(tape, scene)(run=f"{scene}-{number}")
        tape.stopped()
        write_encrypted_log(data_dir, tape)
    return list(list_segment_keys(REAL_FILES, data_dir))


def destroy(
    data_dir: Path, segments: list[SegmentKeys], files: RealFiles | None = None, settle_s: float = 0
) -> list[str]:
    return shred(
        files or REAL_FILES,
        data_dir,
        segments,
        at="2026-02-01T00:00:00+00:00",
        by="root",
        reason="request 4711",
        settle_s=settle_s,
    )


def holds_text(directory: Path, text: bytes) -> list[str]:
    """Files below a directory with this text; index bodies are compressed, so words of the full text too."""
    found = [str(path) for path in directory.rglob("*") if path.is_file() and text in path.read_bytes()]
    for path in day_files(directory / "index").values():
        with sqlite3.connect(path) as connection:
            words = "SELECT count(*) FROM texts WHERE texts MATCH ?"
            if connection.execute(words, (f'"{text.decode()}"',)).fetchone()[0]:
                found.append(f"words of {path}")
        connection.close()
    return found


def test_the_content_is_gone_and_everything_else_is_as_it_was(tmp_path: Path) -> None:
    segments = story(tmp_path)
    indexed(tmp_path)
    assert holds_text(tmp_path, SECRET)
    before = {path: path.read_bytes() for path in tmp_path.glob("log/0/*.kseg")}
    blocks = {path: read_block_table(path) for path in before}
    assert destroy(tmp_path, [segments[1]]) == ["2026-02-01"]
    assert {path: path.read_bytes() for path in tmp_path.glob("log/0/*.kseg")} == before
    assert {path: read_block_table(path) for path in before} == blocks
    assert holds_text(tmp_path, SECRET) == []
    assert [segment.state for segment in list_segment_keys(REAL_FILES, tmp_path)] == [
        "wrapped",
        "shredded",
        "wrapped",
    ]
    archive = indexed(tmp_path)
    assert holds_text(tmp_path, SECRET) == []
    assert archive.search(parse_query("4111", now_ns=0), limit=10) == []
    assert [call.verb for call in archive.calls(Query(), limit=20)] == ["delete", "list", "get", "get", "get"]
    for call in archive.calls(Query(), limit=20):
        assert read_detail(SegmentLogs(tmp_path, keys=RING), archive, call).outcome is not None


def test_the_note_says_who_when_why_and_which_keys(tmp_path: Path) -> None:
    segment = story(tmp_path)[1]
    assert segment.envelope is not None
    destroy(tmp_path, [segment])
    note = json.loads((segment.directory / f"{segment.name.stem}.shredded").read_bytes())
    assert note == {
        "segment_id": segment.envelope.segment_id,
        "kek_ids": ["local:test"],
        "at": "2026-02-01T00:00:00+00:00",
        "by": "root",
        "reason": "request 4711",
    }


def test_the_envelope_is_overwritten_before_it_is_unlinked(tmp_path: Path) -> None:
    segment = story(tmp_path)[1]
    content = segment.envelope_path.read_bytes()
    segment.envelope_path.with_name(segment.envelope_path.name + ".tmp").write_bytes(content)
    (tmp_path / "link").hardlink_to(segment.envelope_path)
    destroy(tmp_path, [segment])
    overwritten = (tmp_path / "link").read_bytes()
    assert len(overwritten) == len(content)
    assert overwritten[:20] != content[:20]
    assert not list(segment.directory.glob(f"{segment.name.stem}.keys*"))


def test_rows_made_from_the_segment_are_deleted_and_no_others(tmp_path: Path) -> None:
    segments = story(tmp_path)
    rows = tmp_path / "rows" / "0"
    for table in ("calls", "texts"):
        (rows / table).mkdir(parents=True)
        for segment in segments:
            (rows / table / f"{segment.name.stem}.ndjson.zst").write_bytes(b"rows")
    (rows / "calls" / f"{segments[1].name.stem}.ndjson.zst.tmp").write_bytes(b"rows")
    (rows / "state").write_bytes(b"state")
    destroy(tmp_path, [segments[1]])
    left = sorted(path.name for path in rows.rglob("*.zst*"))
    assert left == sorted(f"{segments[at].name.stem}.ndjson.zst" for at in (0, 0, 2, 2))
    assert (rows / "state").exists()


# --- a crash in between ---------------------------------------------------------------------------


def test_a_crash_at_any_step_is_completed_by_running_it_again(tmp_path: Path) -> None:
    fail_at = 0
    while True:
        fail_at += 1
        data_dir = tmp_path / str(fail_at)
        segments = story(data_dir)
        rows = data_dir / "rows" / "0" / "calls"
        rows.mkdir(parents=True)
        for segment in segments[:2]:
            (rows / f"{segment.name.stem}.ndjson.zst").write_bytes(b"rows")
        indexed(data_dir)
        files = FailingFiles(fail_at)
        try:
            destroy(data_dir, segments[:2], files)
        except OSError:
            decided = [path.stem for path in data_dir.glob("log/0/*.shredded")]
            keyless = [
                segment.name.stem
                for segment in list_segment_keys(REAL_FILES, data_dir)
                if not segment.envelope_path.exists()
            ]
            assert set(keyless) <= set(decided), "no key goes without the word that it was meant"
            assert not keyless or len(decided) == 2
            left = unfinished(REAL_FILES, data_dir)
            assert {segment.name.stem for segment in left} <= set(decided)
            if any(path.exists() for path in rows.iterdir()) and len(decided) == 2:
                assert left
            if left:
                destroy(data_dir, left)
            if len(decided) == 2:
                assert holds_text(data_dir, SECRET) == []
                assert not list(rows.iterdir())
                assert unfinished(REAL_FILES, data_dir) == []
        if not files.failed:
            break
    assert fail_at > 15


def test_what_was_completed_is_not_unfinished_and_may_be_repeated(tmp_path: Path) -> None:
    segments = story(tmp_path)
    indexed(tmp_path)
    destroy(tmp_path, [segments[1]])
    note = (segments[1].directory / f"{segments[1].name.stem}.shredded").read_bytes()
    assert unfinished(REAL_FILES, tmp_path) == []
    (again,) = find_segments(REAL_FILES, tmp_path, [segments[1].name.stem])
    check_shreddable(REAL_FILES, [again], never)
    assert destroy(tmp_path, [again]) == []
    assert (segments[1].directory / f"{segments[1].name.stem}.shredded").read_bytes() == note


def test_an_index_that_still_names_a_destroyed_segment_is_unfinished_work(tmp_path: Path) -> None:
    segments = story(tmp_path)
    indexed(tmp_path)
    path = day_files(tmp_path / "index")["2026-02-01"]
    kept = path.read_bytes()
    destroy(tmp_path, [segments[1]])
    path.write_bytes(kept)
    assert [segment.name for segment in unfinished(REAL_FILES, tmp_path)] == [segments[1].name]
    assert purge_index(tmp_path, [segments[1]], REAL_FILES) == ["2026-02-01"]
    assert unfinished(REAL_FILES, tmp_path) == []


def test_a_damaged_day_file_may_hold_the_text_and_goes_too(tmp_path: Path) -> None:
    segments = story(tmp_path)
    indexed(tmp_path)
    day_files(tmp_path / "index")["2026-01-31"].write_bytes(b"garbage" * 1000)
    assert destroy(tmp_path, [segments[1]]) == ["2026-01-31", "2026-02-01"]
    indexed(tmp_path)
    assert list(day_files(tmp_path / "index")) == ["2026-02-02", "2026-01-31"]


def test_the_opening_of_a_session_goes_with_the_day_of_its_segment(tmp_path: Path) -> None:
    """It has no place in the index, so its day goes though no call of it names the segment."""
    now_ns = time.time_ns()
    tape = Tape(start_ns=now_ns)
    tape.get_pods()
    opening = tape.records[:1]
    tape.records = opening
    write_encrypted_log(tmp_path, tape)
    (segment,) = list_segment_keys(REAL_FILES, tmp_path)
    indexed(tmp_path)
    assert holds_text(tmp_path, ANN.user.encode())
    assert len(destroy(tmp_path, [segment])) == 1
    indexed(tmp_path)
    assert holds_text(tmp_path / "index", ANN.user.encode()) == []


def test_an_index_being_written_is_looked_at_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An indexer may write down what it read just before the key went."""
    segments = story(tmp_path)
    indexed(tmp_path)
    path = day_files(tmp_path / "index")["2026-02-01"]
    kept = path.read_bytes()
    destroy(tmp_path, [segments[1]])

    looked = 0

    def late(_: float) -> None:
        nonlocal looked
        looked += 1
        if looked == 1:
            path.write_bytes(kept)

    monkeypatch.setattr("storage.encryption.shredding.time.sleep", late)
    with (tmp_path / "index" / "LOCK").open("r+b") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert purge_index(tmp_path, [segments[1]], REAL_FILES, settle_s=0.05) == ["2026-02-01"]
    assert looked > 1
    assert not path.exists()


def test_a_recovered_segment_and_an_empty_one_are_destroyed_like_any(tmp_path: Path) -> None:
    one = write_encrypted_log(tmp_path, Tape(), running=True)
    one._intake.latch(LogFailed("kill", "", "the test ends the process here"))
    with pytest.raises(LogFailed):
        one.close(20)
    write_encrypted_log(tmp_path, Tape())
    segments = list(list_segment_keys(REAL_FILES, tmp_path))
    assert len(list(tmp_path.glob("log/0/*.recovered"))) == 1
    check_shreddable(REAL_FILES, segments, never)
    assert destroy(tmp_path, segments) == []
    assert [segment.state for segment in list_segment_keys(REAL_FILES, tmp_path)] == ["shredded"] * 2
    for path in tmp_path.glob("log/0/*.recovered"):
        path.write_bytes(b"damaged")
    assert destroy(tmp_path, segments) == []


# --- refused --------------------------------------------------------------------------------------


def test_a_segment_being_written_is_refused_and_says_when_it_will_not_be(tmp_path: Path) -> None:
    tape = Tape()
    tape.get_pods()
    log = write_encrypted_log(tmp_path, tape, running=True)
    try:
        (segment,) = list_segment_keys(REAL_FILES, tmp_path)
        with pytest.raises(ShredRefused, match="is still being written: it is sealed a minute after"):
            check_shreddable(REAL_FILES, [segment], never)
    finally:
        log.close(20)
    check_shreddable(REAL_FILES, [segment], never)


def test_a_segment_under_legal_hold_is_refused_with_the_hold(tmp_path: Path) -> None:
    segments = story(tmp_path)
    with pytest.raises(ShredRefused, match=r"is under legal hold: case-7"):
        check_shreddable(REAL_FILES, segments, lambda one: "case-7" if one == segments[2] else "")
    assert not list(tmp_path.glob("log/0/*.shredded"))


def test_a_segment_without_a_key_is_refused(tmp_path: Path) -> None:
    write_log(tmp_path, Tape())
    (clear,) = list_segment_keys(REAL_FILES, tmp_path)
    with pytest.raises(ShredRefused, match="is not encrypted: it has no key to destroy"):
        check_shreddable(REAL_FILES, [clear], never)
    segment = story(tmp_path / "b")[0]
    segment.envelope_path.unlink()
    (missing,) = find_segments(REAL_FILES, tmp_path / "b", [segment.name.stem])
    with pytest.raises(ShredRefused, match=r"has no key here .*\.keys is missing"):
        check_shreddable(REAL_FILES, [missing], never)


def test_a_garbled_envelope_can_be_destroyed(tmp_path: Path) -> None:
    segment = story(tmp_path)[0]
    segment.envelope_path.write_bytes(b"")
    (garbled,) = find_segments(REAL_FILES, tmp_path, [segment.name.stem])
    check_shreddable(REAL_FILES, [garbled], never)
    destroy(tmp_path, [garbled])
    note = json.loads((segment.directory / f"{segment.name.stem}.shredded").read_bytes())
    assert segment.envelope is not None
    assert (note["segment_id"], note["kek_ids"]) == (segment.envelope.segment_id, [])
    assert not segment.envelope_path.exists()


def test_the_key_of_a_damaged_segment_can_be_destroyed(tmp_path: Path) -> None:
    one, two, _ = story(tmp_path)
    assert one.envelope is not None
    for segment in (one, two):
        (segment.directory / f"{segment.name.stem}.kseg").write_bytes(b"damaged")
    two.envelope_path.write_bytes(b"{")
    (garbled,) = find_segments(REAL_FILES, tmp_path, [two.name.stem])
    destroy(tmp_path, [one, garbled])
    notes = [
        json.loads((segment.directory / f"{segment.name.stem}.shredded").read_bytes())
        for segment in (one, two)
    ]
    assert [note["segment_id"] for note in notes] == [one.envelope.segment_id, ""]


def test_a_name_that_no_segment_has_is_refused(tmp_path: Path) -> None:
    segments = story(tmp_path)
    with pytest.raises(ShredRefused, match="there is no segment nonsense"):
        find_segments(REAL_FILES, tmp_path, [segments[0].name.stem, "nonsense"])


# --- reading across it ----------------------------------------------------------------------------


def test_a_call_inside_says_that_its_key_was_destroyed_and_others_are_read(tmp_path: Path) -> None:
    """With an index that still knows the call: of a copy, or before it is purged."""
    segments = story(tmp_path)
    archive = indexed(tmp_path)
    segments[1].envelope_path.rename(segments[1].envelope_path.with_suffix(".shredded"))
    source = SegmentLogs(tmp_path, keys=RING)
    details = [read_detail(source, archive, call) for call in archive.calls(Query(), limit=20)]
    assert [bool(detail.unreadable) for detail in details] == [False, True, True, True, *[False] * 4]
    assert "its key was destroyed" in details[1].unreadable
    (exec_call,) = [detail.row for detail in details if detail.row.kind == "exec"]
    with pytest.raises(Shredded, match="its key was destroyed"):
        list(read_call(source, archive, exec_call))
    indexer = Indexer(tmp_path, source=source)
    assert not indexer.run_once(), "an index that was made before keeps what it has"
    indexer.close()
    assert len(archive.calls(Query(), limit=20)) == 8


def test_a_call_that_reaches_into_a_destroyed_segment_says_that_records_are_gone(tmp_path: Path) -> None:
    tape = Tape()
    tape.exec()
    whole = tape.records
    for part in (whole[:8], whole[8:14], whole[14:]):
        tape.records = part
        write_encrypted_log(tmp_path, tape)
    segments = list(list_segment_keys(REAL_FILES, tmp_path))
    destroy(tmp_path, [segments[1]])
    archive = indexed(tmp_path)
    (call,) = archive.calls(parse_query("kind:exec", now_ns=0), limit=5)
    assert call.result == "completed"
    assert call.text_cut
    destroy(tmp_path, [segments[2]])
    tape = Tape(start_ns=START_NS + 3600 * 10**9, tag="later")
    tape.started()
    write_encrypted_log(tmp_path, tape)
    archive = indexed(tmp_path)
    (call,) = archive.calls(parse_query("kind:exec", now_ns=0), limit=5)
    assert (call.result, call.why) == ("unknown", RECORDS_LOST)


def test_the_index_survives_a_destroyed_segment_at_its_end(tmp_path: Path) -> None:
    segments = story(tmp_path)
    indexed(tmp_path)
    segments[2].envelope_path.rename(segments[2].envelope_path.with_suffix(".shredded"))
    archive = indexed(tmp_path)
    assert len(archive.calls(Query(), limit=20)) == 8
    assert [at.record_seq for at, _ in iter_records(segments[0].directory, keys=RING)][-1] > 0


# --- whose calls ----------------------------------------------------------------------------------


def test_segments_of_a_session_and_whose_calls_else_are_in_them(tmp_path: Path) -> None:
    segments = story(tmp_path)
    indexed(tmp_path)
    index, stems = tmp_path / "index", [segment.name.stem for segment in segments]
    assert list(segments_of_session(index, SESSIONS[ANN.user])) == [("0", stem) for stem in stems]
    assert list(segments_of_session(index, SESSIONS[AGENT.user])) == [("0", stems[1])]
    assert list(segments_of_session(index, "nobody")) == []
    parts = sessions_in(index, [("0", stems[1])])
    assert [(part.user, part.calls) for part in parts] == [(ANN.user, 2), (AGENT.user, 1)]
    assert [(part.user, part.calls) for part in sessions_in(index, [("0", stems[0])])] == [(ANN.user, 4)]
    assert sessions_in(index, [("1", stems[0])]) == []
    assert opened_ns(index, SESSIONS[AGENT.user]) == [START_NS + DAY_S * 1_000_000_000]


def test_an_index_with_damaged_places_is_not_believed(tmp_path: Path) -> None:
    story(tmp_path)
    indexed(tmp_path)
    index = tmp_path / "index"
    path = day_files(index)["2026-01-31"]
    kept = path.read_bytes()
    asked = {
        "UPDATE positions SET packed = x'c1'": lambda: segments_of_session(index, SESSIONS[ANN.user]),
        "DELETE FROM segments": lambda: segments_of_session(index, SESSIONS[ANN.user]),
        "DROP TABLE positions": lambda: sessions_in(index, []),
        "DROP TABLE sessions": lambda: opened_ns(index, "x"),
    }
    for damage, ask in asked.items():
        with sqlite3.connect(path) as connection:
            connection.execute(damage)
        connection.close()
        with pytest.raises(GarbledIndex):
            ask()
        path.write_bytes(kept)


def test_a_call_without_places_is_in_no_segment(tmp_path: Path) -> None:
    segments = story(tmp_path)
    indexed(tmp_path)
    path = day_files(tmp_path / "index")["2026-01-31"]
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE positions SET packed = x'90'")
    connection.close()
    assert sessions_in(tmp_path / "index", [("0", segments[0].name.stem)]) == []
