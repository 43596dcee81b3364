"""What an index holds in clear text, and what it does where it cannot read."""

import sqlite3
from pathlib import Path

import pytest

from storage.errors import NoKey
from storage.index import Indexer
from storage.index_rows import IndexSettings
from storage.index_schema import STATE_FILE, day_files
from storage.index_state import IndexState, recorded_mode
from storage.query import Query, parse_query
from storage.search import Archive, TextsNotIndexed
from storage.sources import RecordSource
from tests.kit.recorded import MemoryLogs, Tape, whole_story

METADATA = IndexSettings(metadata_only=True)


def index(directory: Path, source: RecordSource, settings: IndexSettings | None = None) -> Archive:
    indexer = Indexer(directory, source=source, settings=settings)
    while indexer.run_once():
        pass
    indexer.close()
    return Archive(indexer.directory, source)


def everything_in(directory: Path) -> bytes:
    return b"".join(path.read_bytes() for path in directory.iterdir())


def story() -> MemoryLogs:
    return MemoryLogs(a=whole_story())


def test_a_metadata_index_knows_every_call_and_none_of_its_text(tmp_path: Path) -> None:
    full, bare = index(tmp_path / "full", story()), index(tmp_path / "bare", story(), METADATA)
    everywhere = parse_query("", now_ns=0)
    mine, theirs = bare.calls(everywhere, limit=100), full.calls(everywhere, limit=100)
    assert len(mine) == len(theirs) > 10
    for one, other in zip(mine, theirs, strict=True):
        same = ("user", "verb", "resource", "namespace", "name", "status", "result", "exit_code", "last_us")
        assert [getattr(one, field) for field in same] == [getattr(other, field) for field in same]
        assert (one.argv, one.why) == ("[]", "")
        assert "?" not in one.target
        assert other.target.startswith(one.target)
    content = everything_in(tmp_path / "bare" / "index")
    for text in (
        b"customers",
        b"CrashLoopBackOff",
        b"exec bash",
        b"limit=500",
        b"4111",
        b"connection refused",
    ):
        assert text not in content
    for path in day_files(tmp_path / "bare" / "index").values():
        with sqlite3.connect(path) as connection:
            assert connection.execute("SELECT count(*) FROM pieces").fetchone() == (0,)
            assert connection.execute("SELECT count(*) FROM texts").fetchone() == (0,)
        connection.close()


def test_words_are_refused_by_a_metadata_index_and_fields_are_not(tmp_path: Path) -> None:
    bare = index(tmp_path, story(), METADATA)
    words = parse_query("4111", now_ns=0)
    for ask in (bare.search, bare.calls, bare.commands, bare.sessions):
        with pytest.raises(TextsNotIndexed, match="holds metadata only"):
            ask(words, limit=5)  # type: ignore[operator]
    assert len(bare.calls(parse_query("verb:delete", now_ns=0), limit=9)) == 3
    assert bare.search(parse_query("kind:exec", now_ns=0), limit=5)


def test_an_index_says_what_it_holds_and_is_made_anew_when_that_changes(tmp_path: Path) -> None:
    directory = tmp_path / "index"
    assert recorded_mode(directory) == ""
    index(tmp_path, story())
    assert recorded_mode(directory) == "full"
    assert b"customers" in everything_in(directory) or index(tmp_path, story()).search(
        parse_query("customers", now_ns=0), limit=1
    )
    index(tmp_path, story(), METADATA)
    assert recorded_mode(directory) == "metadata"
    assert b"exec bash" not in everything_in(directory)
    assert index(tmp_path, story()).search(parse_query("4111", now_ns=0), limit=1)
    assert recorded_mode(directory) == "full"


def test_a_forbidden_index_is_deleted_and_leaves_word_that_it_is(tmp_path: Path) -> None:
    index(tmp_path, story())
    indexer = Indexer(tmp_path, source=story())
    assert indexer.take_lock()
    indexer.forbid()
    indexer.close()
    assert recorded_mode(tmp_path / "index") == "none"
    assert day_files(tmp_path / "index") == {}
    assert index(tmp_path, story()).calls(Query(), limit=1), "and is made when it is wanted again"


def test_a_state_file_that_is_none_says_nothing(tmp_path: Path) -> None:
    (tmp_path / STATE_FILE).write_bytes(b"garbage" * 1000)
    assert recorded_mode(tmp_path) == ""
    (tmp_path / STATE_FILE).unlink()
    IndexState(tmp_path / STATE_FILE).close()
    assert recorded_mode(tmp_path) == ""
    with sqlite3.connect(tmp_path / STATE_FILE) as connection:
        connection.execute("DROP TABLE settings")
    connection.close()
    assert recorded_mode(tmp_path) == ""


def test_a_log_that_lacks_a_key_is_reported_and_the_others_are_indexed(tmp_path: Path) -> None:
    source = MemoryLogs(a=whole_story(), b=Tape())
    source._tapes["b"].get_pods(run="other")
    source.locked_at = 3
    indexer = Indexer(tmp_path, source=source)
    with pytest.raises(NoKey):
        indexer.run_once()
    archive = Archive(indexer.directory, source)
    assert {call.log for call in archive.calls(Query(), limit=50)} == {"a", "b"}
    source.locked_at = None
    while indexer.run_once():
        pass
    indexer.close()
    assert len(archive.calls(Query(), limit=50)) == 17


def test_an_index_is_kept_while_its_log_cannot_be_opened(tmp_path: Path) -> None:
    source = MemoryLogs(a=whole_story())
    made = index(tmp_path, source)
    count = len(made.calls(Query(), limit=50))
    source.locked_at = 0
    source._tapes["a"].get_pods(run="behind")
    indexer = Indexer(tmp_path, source=source)
    with pytest.raises(NoKey):
        indexer.run_once()
    indexer.close()
    assert len(made.calls(Query(), limit=50)) == count


def test_an_index_is_kept_when_the_key_of_its_last_record_was_destroyed(tmp_path: Path) -> None:
    source = MemoryLogs(a=whole_story())
    made = index(tmp_path, source)
    count = len(made.calls(Query(), limit=50))
    source.destroyed = range(20, 10_000)
    assert len(index(tmp_path, source).calls(Query(), limit=50)) == count


def test_a_call_with_records_behind_a_hole_is_marked_and_one_begun_later_is_not(tmp_path: Path) -> None:
    other, tape = Tape(tag="other"), Tape()
    other.exec(end=False)
    tape.exec()
    tape.get_pods()
    source = MemoryLogs(b=tape, a=other)  # a is indexed first, and its call is open
    source._tapes["b"].records, whole = tape.records[:12], tape.records
    indexer = Indexer(tmp_path, source=source)
    indexer.run_once()
    source._tapes["b"].records = whole
    source.destroyed = range(12, 14)
    while indexer.run_once():
        pass
    indexer.close()
    calls = [call for call in Archive(indexer.directory, source).calls(Query(), limit=50) if call.log == "b"]
    assert [call.text_cut for call in calls if call.kind == "exec"] == [True]
    assert not any(call.text_cut for call in calls if call.kind != "exec")


def test_a_hole_is_remembered_over_a_restart_of_the_indexer(tmp_path: Path) -> None:
    tape = Tape()
    tape.exec(end=False)
    cut = len(tape.records)
    tape.get_pods()
    source = MemoryLogs(a=tape)
    source.destroyed = range(cut - 2, cut)
    indexer = Indexer(tmp_path, source=source)
    indexer.run_once(cut - 1)
    indexer.close()
    source.destroyed = range(0)
    tape.started()
    calls = index(tmp_path, source).calls(parse_query("kind:exec", now_ns=0), limit=5)
    assert [(call.result, "records of this call are gone" in call.why) for call in calls] == [
        ("unknown", True)
    ]
