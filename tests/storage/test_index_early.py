"""Requests that were made in order to decide come before the Intent, and are found with their call all the same."""

from pathlib import Path

import pytest

from storage.index import Indexer
from storage.index_early import MAX_EARLY, EarlyRecords
from storage.index_rows import IndexSettings
from storage.query import Query
from storage.reader import Position
from storage.records import Intent, LogStarted, SubRequest
from storage.search import Archive
from storage.timeline import read_call, read_detail
from tests.kit.recorded import MemoryLogs, Tape

TARGET = b"/api/v1/namespaces/prod/pods/web?canary=1"


def early_story() -> Tape:
    """A patch whose old object was looked at first: two records, then the Intent."""
    tape = Tape()
    tape.started()
    tape.get_pods()
    exchange = tape.delete()
    index = next(
        at for at, one in enumerate(tape.records) if isinstance(one, Intent) and one.exchange == exchange
    )
    tape.records[index:index] = [
        SubRequest(exchange, 10, "old-object", "GET", TARGET, status, b"o" * 16) for status in (0, 200)
    ]
    return tape


def index(directory: Path, source: MemoryLogs, budget: int, settings: IndexSettings | None = None) -> Archive:
    """Stopped and started again after every `budget` records."""
    more = True
    while more:
        indexer = Indexer(directory, source=source, settings=settings)
        more = indexer.run_once(budget)
        indexer.close()
    return Archive(indexer.directory, source)


@pytest.mark.parametrize("budget", [1, 2, 7, 4000])
def test_what_came_before_its_intent_is_found_with_its_call(tmp_path: Path, budget: int) -> None:
    source = MemoryLogs(a=early_story())
    archive = index(tmp_path, source, budget)
    row = archive.calls(Query(), limit=1)[0]
    assert (row.verb, row.sub_requests) == ("delete", 1)
    detail = read_detail(source, archive, row)
    assert [(one.purpose, one.status, one.target) for one in detail.sub_requests] == [
        ("old-object", 200, TARGET)
    ]
    kinds = [type(record).__name__ for _, record in read_call(source, archive, row)]
    assert kinds[:3] == ["SubRequest", "SubRequest", "Intent"]
    assert row.records == len(kinds)


def test_records_that_are_offered_again_are_not_counted_twice(tmp_path: Path) -> None:
    source = MemoryLogs(a=early_story())
    archive = index(tmp_path, source, 4000)
    (archive.directory / "state.sqlite").unlink()  # the days know what they have
    before = archive.calls(Query(), limit=1)[0]
    assert index(tmp_path, source, 4000).calls(Query(), limit=1)[0] == before


def test_a_request_whose_call_never_came_is_forgotten_with_the_next_run(tmp_path: Path) -> None:
    tape = early_story()
    asked = [one for one in tape.records if isinstance(one, SubRequest)]
    exchange = asked[0].exchange
    others = [one for one in tape.records if not isinstance(one, SubRequest)]
    tape.records = [*asked, LogStarted(tape.now_ns, "gw-1", "0", 0, "enforce"), *others]
    source = MemoryLogs(a=tape)
    row = index(tmp_path, source, 4000).calls(Query(), limit=1)[0]
    assert (row.exchange, row.sub_requests) == (exchange, 0)


def test_no_target_waits_in_an_index_of_metadata(tmp_path: Path) -> None:
    tape = early_story()
    tape.records = tape.records[
        : 1 + max(at for at, one in enumerate(tape.records) if isinstance(one, SubRequest))
    ]
    archive = index(tmp_path, MemoryLogs(a=tape), 4000, IndexSettings(metadata_only=True))
    assert b"canary" not in b"".join(path.read_bytes() for path in archive.directory.iterdir())


def test_what_waits_is_bounded_and_can_be_stored() -> None:
    early = EarlyRecords()
    for at in range(MAX_EARLY + 5):
        early.keep(Position("s", at, 0, at), SubRequest(b"%016d" % at, 1, "old-object", "GET", b"/", 0))
    early = EarlyRecords(early.encode())
    assert early.take(b"%016d" % 4) == []
    ((position, record),) = early.take(b"%016d" % 5)
    assert (position.record_seq, record.exchange) == (5, b"%016d" % 5)
    assert early.take(b"%016d" % 5) == []
