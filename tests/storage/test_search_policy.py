"""Questions about what policy did, over the story of tests.kit.governed."""

import sqlite3
from pathlib import Path

import msgspec
import pytest

from storage.index import Indexer
from storage.index_rows import IndexSettings
from storage.index_schema import LIST_COLUMNS, CallRow, day_files
from storage.policy_story import MAX_COMMANDS, MAX_FILES
from storage.query import parse_query
from storage.records import CommandSeen, FileCopied, LogStarted
from storage.search import Archive, TextsNotIndexed
from storage.search_rows import describe
from tests.kit.governed import (
    APPROVED_HOLD,
    DENIED_HOLD,
    EXEC,
    TYPED_HOLD,
    WAITING_HOLD,
    governed_story,
    held_delete,
)
from tests.kit.recorded import START_NS, MemoryLogs, Tape


def index(
    directory: Path, source: MemoryLogs, settings: IndexSettings | None = None, budget: int = 4000
) -> Archive:
    indexer = Indexer(directory, source=source, settings=settings)
    while indexer.run_once(budget):
        pass
    indexer.close()
    return Archive(indexer.directory, source)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    return index(tmp_path_factory.mktemp("story"), MemoryLogs(a=governed_story()))


def rows(archive: Archive, expression: str) -> list[CallRow]:
    return archive.calls(parse_query(expression, now_ns=START_NS), limit=100, oldest_first=True)


SECRETS = "list secrets -n prod"
NAMESPACE = "delete namespaces/prod"
SHELL = "exec pods/web-1 -n prod -- sh"
DENIED = "delete namespaces/prod -n prod"


@pytest.mark.parametrize(
    ("expression", "calls"),
    [
        ("decision:hold", [NAMESPACE] * 3),
        ("hold:approved", [NAMESPACE]),
        ("hold:denied", [NAMESPACE, SHELL]),
        ("hold:denied -kind:exec", [NAMESPACE]),
        ("hold:waiting", []),
        ("hold:unknown", [NAMESPACE]),
        ("hold:approved,expired", [NAMESPACE]),
        ("-hold:approved decision:hold", [NAMESPACE] * 2),
        (f"approval:{APPROVED_HOLD}", [NAMESPACE]),
        ("approval:heldappr", [NAMESPACE]),
        ("approval:01kg9zk7m0heldden", [NAMESPACE]),
        (f"approval:{DENIED_HOLD[10:18]},{TYPED_HOLD}", [NAMESPACE, SHELL]),
        ("approval:yes", [NAMESPACE, NAMESPACE, SHELL, NAMESPACE]),
        ("approval:no verb:list", ["list pods -n prod", SECRETS]),
        ("approver:bob", [NAMESPACE, SHELL]),
        ("approver:c*", [NAMESPACE, SHELL]),
        ("approver:bob hold:approved", [NAMESPACE]),
        ("rule:prod/no-wipe", [SHELL]),
        ("rule:agents/*", [SHELL]),
        ("rule:secrets/read", [SECRETS]),
        ("rule:secrets/strict", []),
        ("shadow:secrets/*", [SECRETS]),
        ("shadow:yes", [SECRETS]),
        ("-shadow:no", [SECRETS]),
        ("grant:01KG9ZK7M0GRANT", [SECRETS]),
        ("grant:yes", [SECRETS]),
        ("masked:yes", [SECRETS, SHELL]),
        ("masked:pii/mail", [SECRETS]),
        ("masked:secrets/mask", [SECRETS, SHELL]),
        ("masked:no verb:list", ["list pods -n prod"]),
        ("budget:execMinutes", [SHELL]),
        ("budget:yes", [SHELL]),
        ("budget:deletes", []),
        ("typed:ls", [SHELL]),
        ('typed:"rm -rf"', [SHELL]),
        ("typed:wip*", []),
        ("typed:dat*", [SHELL]),
        ("-typed:ls kind:exec", []),
        ("typed:secretlist", []),
        ("file:/etc/passwd", [SHELL]),
        ("file:*.pem", [SHELL]),
        ("file:tmp/[x]/*", [SHELL]),
        ("file:passwd", []),
        ("-file:* kind:exec", []),
    ],
)
def test_a_question_about_policy_finds_just_these_calls(
    story: Archive, expression: str, calls: list[str]
) -> None:
    assert [describe(row) for row in rows(story, expression)] == calls


def test_a_row_says_what_policy_did(story: Archive) -> None:
    (row,) = rows(story, "kind:exec")
    assert (row.held_us, row.masked, row.commands, row.files) == (2_000_000, 2, 2, 2)
    assert (row.hold_results, row.deciders) == ('["denied"]', '["bob","cid"]')
    (approved,) = rows(story, "hold:approved")
    assert (approved.sub_requests, approved.held_us, approved.status) == (1, 20_000, 200)
    (secrets,) = rows(story, "grant:yes")
    assert (secrets.scope, secrets.shadow, secrets.mask_rules) == (
        "full",
        '["secrets/strict"]',
        '["secrets/mask","pii/mail"]',
    )


def test_who_waits_in_a_live_log_waits_and_else_was_never_answered(tmp_path: Path) -> None:
    tape = Tape()
    held_delete(tape, WAITING_HOLD, None)
    source = MemoryLogs(a=tape)
    source.live = {"a"}
    archive = index(tmp_path, source)
    assert [row.hold_results for row in rows(archive, "hold:waiting")] == ['["waiting"]']
    assert rows(archive, "hold:unknown") == []
    source.live = set()
    assert [row.hold_results for row in rows(archive, "hold:unknown")] == ['["unknown"]']
    assert rows(archive, "hold:waiting") == []
    tape.started()
    source.live = {"a"}
    assert [row.hold_results for row in rows(index(tmp_path, source), "hold:unknown")] == ['["unknown"]']


def test_a_restart_of_the_indexer_at_every_record_tells_the_same(tmp_path: Path) -> None:
    source = MemoryLogs(a=governed_story())
    whole = index(tmp_path / "whole", source)
    indexed = True
    while indexed:
        indexer = Indexer(tmp_path / "bit", source=source)
        indexed = indexer.run_once(1)
        indexer.close()
    assert rows(Archive(tmp_path / "bit" / "index", source), "") == rows(whole, "")


def test_typed_lines_and_files_are_the_places_that_were_found(story: Archive) -> None:
    (typed,) = story.search(parse_query("typed:srv typed:rm -typed:nothing", now_ns=0), limit=9)[1:]
    assert (typed.kind, typed.at_us, typed.text) == ("typed", 2_000_000, "rm -rf /srv/data")
    (file,) = story.search(parse_query("file:*pem,nothing -file:x", now_ns=0), limit=9)
    assert (file.kind, file.at_us, file.text) == ("file", 5_000_100, "up tmp/[x]/key.pem")
    kinds = [hit.kind for hit in story.search(parse_query("typed:ls data", now_ns=0), limit=9)]
    assert kinds == ["typed", "typed"]
    (call,) = story.search(parse_query("-typed:ls verb:list name:* resource:secrets", now_ns=0), limit=9)
    assert call.kind == "call"


def test_changes_of_state_and_policy_are_events(story: Archive) -> None:
    (path,) = day_files(story.directory).values()
    with sqlite3.connect(path) as connection:
        events = connection.execute("SELECT kind, detail FROM events ORDER BY seq").fetchall()
    connection.close()
    assert [kind for kind, _ in events] == ["LogStarted", "PolicyLoaded", "StateChanged", "StateChanged"]
    assert msgspec.json.decode(events[3][1])["note"] == "go on, 4711"


def test_a_metadata_index_has_who_decided_and_no_line_file_or_note(tmp_path: Path) -> None:
    archive = index(tmp_path, MemoryLogs(a=governed_story()), IndexSettings(metadata_only=True))
    assert len(rows(archive, "approver:bob")) == 2
    (shell,) = rows(archive, "masked:yes kind:exec")
    assert (shell.commands, shell.files) == (2, 2)
    content = b"".join(path.read_bytes() for path in archive.directory.iterdir())
    for text in (b"rm -rf", b"passwd", b"canary", b"4711", b"not today"):
        assert text not in content
    for expression in ("typed:ls", "file:*"):
        with pytest.raises(TextsNotIndexed):
            rows(archive, expression)


def test_more_lines_and_files_than_are_kept_are_said_to_be_cut(tmp_path: Path) -> None:
    tape = Tape()
    exchange = tape.intent(EXEC)
    tape.records += [CommandSeen(exchange, 2**63 if at == 0 else at, "y" * 9000) for at in range(3)]
    tape.records += [CommandSeen(exchange, 9, "x") for _ in range(MAX_COMMANDS)]
    tape.records += [FileCopied(exchange, 9, "up", f"f{at}", 2**63) for at in range(MAX_FILES + 2)]
    tape.records.append(LogStarted(tape.now_ns, "gw-1", "0", 0, "enforce"))
    archive = index(tmp_path, MemoryLogs(a=tape))
    (row,) = rows(archive, "")
    assert (row.text_cut, row.commands, row.files) == (True, MAX_COMMANDS + 3, MAX_FILES + 2)
    (path,) = day_files(archive.directory).values()
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM copied").fetchone() == (MAX_FILES,)
        assert connection.execute("SELECT count(*) FROM pieces WHERE kind = 'typed'").fetchone() == (
            MAX_COMMANDS,
        )
    connection.close()
    assert rows(archive, f"file:f{MAX_FILES - 1}")
    assert rows(archive, "typed:yyy*")


def test_every_list_column_is_a_list(story: Archive) -> None:
    for row in rows(story, ""):
        for column in LIST_COLUMNS:
            assert isinstance(msgspec.json.decode(getattr(row, column)), list)
