"""Questions to the index, over the whole story of tests.kit.recorded."""

import sqlite3
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.errors import BadQuery
from storage.index import Indexer
from storage.index_rows import call_text
from storage.index_schema import GarbledIndex, day_files
from storage.query import Query, parse_query
from storage.records import CallRecord, Intent
from storage.search import AmbiguousId, Archive, NotFound
from storage.search_rows import Found, describe
from tests.kit.recorded import ANN, SECOND_NS, SESSIONS, START_NS, MemoryLogs, Tape, whole_story

NOW_NS = START_NS + 3600 * SECOND_NS


def archive_of(directory: Path, source: MemoryLogs) -> Archive:
    indexer = Indexer(directory, source=source)
    while indexer.run_once():
        pass
    indexer.close()
    return Archive(indexer.directory, source)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    return archive_of(tmp_path_factory.mktemp("story"), MemoryLogs(a=whole_story()))


def asked(archive: Archive, expression: str) -> list[str]:
    query = parse_query(expression, now_ns=NOW_NS)
    return [describe(row) for row in archive.calls(query, limit=100, oldest_first=True)]


EXEC = "exec pods/payments-0 -n prod -- sh -c 'exec bash'"
LOGS = "get pods/web-1/log -n prod"
LIST = "list pods -n prod"
DELETE = "delete pods/web-1 -n prod"
DENIED = "delete namespaces/prod -n prod"
PATCH = "patch deployments.apps/web -n prod"
FORWARD = "portforward pods/db-0 -n prod"
CRASHED = "delete secrets/tls -n prod"
READ = "get deployments.apps/web -n prod"
POD = "get pods/payments-0 -n prod"
DISCOVERY = ["GET /api?timeout=32s", "GET /apis?timeout=32s", "GET /api/v1?timeout=32s"]


@pytest.mark.parametrize(
    ("expression", "calls"),
    [
        ("user:agent-7", [DENIED]),
        ("user:agent*", [DENIED]),
        ("-user:ann@example.com", [DENIED]),
        ("group:agents", [DENIED]),
        ("group:sta* kind:exec", [EXEC]),
        ("verb:delete", [DELETE, DENIED, CRASHED]),
        ("verb:delete,patch user:ann*", [PATCH, DELETE, CRASHED]),
        ("verb:delete -ns:other -resource:pods,secrets", [DENIED]),
        ("resource:pods/exec", [EXEC]),
        ("resource:pods name:payments-0", [POD, EXEC]),
        ("resource:deployments.apps", [READ, PATCH]),
        ("resource:deployments.batch", []),
        ("resource:*/log", [LOGS]),
        ("name:web-?", []),
        ("name:[w]eb-1", []),
        ("name:web*", [READ, PATCH, DELETE, LOGS]),
        ("code:403", [DENIED]),
        ("code:4xx", [DENIED]),
        ("-code:2xx -code:101", [DENIED, CRASHED]),
        ("decision:deny", [DENIED]),
        ("rule:no-delete-for-agents", [DENIED]),
        ("kind:exec,portforward", [EXEC, FORWARD]),
        ("result:unknown", [CRASHED]),
        ("result:live", []),
        ("result:client-left", [LOGS]),
        ("exit:42", [EXEC]),
        ("-exit:42 kind:exec", []),
        ("-exit:42 kind:log", [LOGS]),
        (f"session:{SESSIONS['agent-7'][:14].lower()}", [DENIED]),
        ('command:"kubectl get"', [*DISCOVERY, LIST]),
        ("command:apply", [READ, PATCH]),
        ("source:10.0.0.9 kind:exec", [EXEC]),
        ("source:10.0.0.9:50100 kind:exec", [EXEC]),
        ("source:10.0.0.8", []),
        ("agent:kubectl/v1.31 kind:exec", [EXEC]),
        ("container:app", [EXEC]),
        ("until:2026-01-31T10:00:30Z verb:list", [LIST]),
        ("since:2026-01-31T10:08:00Z", [CRASHED]),
        ("since:2026-02-01", []),
        ("until:2026-01-30", []),
        ("CrashLoopBackOff", [LIST]),
        ("crashloopbackoff", [LIST]),
        ('"4111 1111 1111 1111"', [EXEC]),
        ('"1111 4111"', []),
        ("grun", [EXEC]),
        ("customers exit", [EXEC]),
        ("customers -exit", []),
        ("conn*", [LOGS, FORWARD]),
        ("connection -refused", [LOGS]),
        ('"connection from"', [LOGS]),
        ("replicas verb:patch", [PATCH]),
        ("Terminating", [DELETE]),
        ("propagationPolicy", [DELETE]),
        ("web-1 verb:delete", [DELETE]),
        ('"exec bash"', [EXEC]),
        ("1337;", []),
    ],
)
def test_a_question_finds_just_these_calls(story: Archive, expression: str, calls: list[str]) -> None:
    assert asked(story, expression) == calls


def test_ids_are_fields_too(story: Archive) -> None:
    (row,) = story.calls(parse_query("kind:exec", now_ns=0), limit=9)
    assert asked(story, f"exchange:{row.exchange.hex()[:8]}") == [EXEC]
    assert asked(story, "exchange:zzzz") == []
    assert asked(story, f"command:{row.command[:9]}") == [POD, EXEC]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.sampled_from(
            [
                "NEAR",
                "AND",
                "OR",
                "NOT",
                "(",
                ")",
                "^",
                "+",
                "{body}",
                "body:",
                "'",
                ";",
                "--",
                "\\",
                "%",
                "x",
                "*",
                "$",
            ]
        )
        | st.text(min_size=1, max_size=6),
        min_size=1,
        max_size=6,
    ).map("".join)
)
def test_no_text_is_ever_syntax_of_the_engine(story: Archive, words: str) -> None:
    for expression in (words, f'"{words}"', f"name:{words}", f"user:{words}", f'rule:"{words}"'):
        try:
            query = parse_query(expression, now_ns=NOW_NS)
        except BadQuery:
            continue
        story.search(query, limit=5)
        story.commands(query, limit=5)


def test_newest_come_first_and_the_limit_holds(story: Archive) -> None:
    rows = story.calls(Query(), limit=3)
    assert [describe(row) for row in rows] == [CRASHED, FORWARD, LOGS]


def test_a_command_has_all_its_calls_and_is_named_by_the_main_one(story: Archive) -> None:
    rows = story.commands(Query(), limit=50)
    assert [(describe(row.main), row.facts.calls) for row in rows] == [
        (CRASHED, 1),
        (FORWARD, 1),
        (LOGS, 1),
        (EXEC, 2),
        (DENIED, 1),
        (DELETE, 1),
        (PATCH, 2),
        (LIST, 4),
    ]
    by_main = {describe(row.main): row.facts for row in rows}
    assert by_main[CRASHED].unknown == 1
    assert by_main[DENIED].denied == by_main[DENIED].errors == 1
    assert by_main[EXEC].sent_bytes == 31
    assert by_main[EXEC].last_ns - by_main[EXEC].first_ns == 63_204_000_000
    assert story.command(rows[0].id) == rows[0]


def test_a_command_that_found_nothing_is_about_what_was_missing(tmp_path: Path) -> None:
    tape = Tape()
    for resource, name, status in (("pods", "gone", 404), ("namespaces", "prod", 200)):
        call = CallRecord("get", "", "v1", resource, "", "prod", name)
        tape.answer(tape.intent(call, run="get", command="kubectl get"), b"{}", status=status)
    (row,) = archive_of(tmp_path, MemoryLogs(a=tape)).commands(Query(), limit=9)
    assert (describe(row.main), row.main.status) == ("get pods/gone -n prod", 404)


@pytest.mark.parametrize(("refused", "came_to"), [("command=sh", (101, 42)), ("command=other", (403, None))])
def test_a_websocket_that_was_refused_before_the_same_ran_over_spdy_is_not_what_a_command_came_to(
    tmp_path: Path, refused: str, came_to: tuple[int, int | None]
) -> None:
    tape = Tape()
    path = f"/api/v1/namespaces/prod/pods/payments-0/exec?{refused}&stdin=true&stdout=true&tty=true"
    call = CallRecord("create", "", "v1", "pods", "exec", "prod", "payments-0", path)
    tape.answer(tape.intent(call, command="kubectl exec", run="run-exec"), b"", status=403)
    tape.exec(run="run-exec")
    (row,) = archive_of(tmp_path, MemoryLogs(a=tape)).commands(Query(), limit=9)
    assert (row.main.status, row.main.exit_code) == came_to
    assert (row.facts.calls, row.facts.errors) == (3, 1)


def test_a_command_is_listed_if_one_of_its_calls_matches(story: Archive) -> None:
    (row,) = story.commands(parse_query("verb:list", now_ns=0), limit=9)
    assert row.facts.calls == 4


def test_sessions_say_who_and_since_when(story: Archive) -> None:
    ann, agent = story.sessions(Query(), limit=9)
    assert (ann.id, ann.main.user, ann.method, ann.facts.calls) == (SESSIONS[ANN.user], ANN.user, "oidc", 12)
    assert (agent.id, agent.facts.denied, agent.expires_ns) == (SESSIONS["agent-7"], 1, None)


def test_a_hit_tells_the_moment_and_shows_the_word(story: Archive) -> None:
    hits = story.search(parse_query("customers", now_ns=0), limit=9)
    assert [(hit.kind, hit.at_us, hit.text[hit.start : hit.end]) for hit in hits] == [
        ("stdin", 1_900_000, "customers"),
        ("stdout", 2_000_000, "customers"),
    ]
    (hit,) = story.search(parse_query("exit kind:exec", now_ns=0), limit=1)
    assert (hit.kind, hit.at_us) == ("stdin", 62_000_000)


def test_at_most_three_places_of_one_call_are_shown(story: Archive) -> None:
    hits = story.search(parse_query("connection kind:log", now_ns=0), limit=99)
    assert [hit.at_us for hit in hits] == [10_000, 1_010_000, 2_010_000]


def test_a_hit_in_the_call_itself_and_one_without_words(story: Archive) -> None:
    (hit,) = story.search(parse_query("agents verb:delete", now_ns=0), limit=1)
    assert (hit.kind, hit.call.user) == ("call", "agent-7")
    (hit,) = story.search(parse_query("verb:patch", now_ns=0), limit=9)
    assert (hit.text, hit.start, hit.end) == (PATCH, 0, 0)


def test_an_id_may_be_short_and_says_what_it_is(story: Archive) -> None:
    (row,) = story.calls(parse_query("kind:exec", now_ns=0), limit=1)
    assert story.resolve(row.exchange.hex()[:7]) == Found("call", row.exchange.hex())
    assert story.resolve(row.command[:8].upper()) == Found("command", row.command)
    assert story.resolve(SESSIONS[ANN.user].lower()) == Found("session", SESSIONS[ANN.user])
    uuid = row.exchange.hex()
    assert story.resolve(f"{uuid[:8]}-{uuid[8:12]}-{uuid[12:16]}-{uuid[16:20]}-{uuid[20:]}").id == uuid


@pytest.mark.parametrize(
    "id",
    [
        "",
        "abc",
        "../../etc/passwd",
        "k' OR 1=1 --",
        "0" * 40,
        "%%%%",
        "kkkkk",
        "01KG9ZZZ",
        "\x00\x00\x00\x00",
    ],
)
def test_what_is_no_id_is_not_found(story: Archive, id: str) -> None:
    with pytest.raises(NotFound):
        story.resolve(id)


def test_an_ambiguous_id_names_the_candidates(story: Archive) -> None:
    with pytest.raises(AmbiguousId, match="session 01KG9ZK7M0A"):
        story.resolve("01KG9ZK7M0A")


def test_calls_of_a_session_come_oldest_first(story: Archive) -> None:
    rows = story.calls_of(Found("session", SESSIONS[ANN.user]))
    assert len(rows) == 12
    assert [row.at_ns for row in rows] == sorted(row.at_ns for row in rows)
    assert len(story.calls_of(Found("session", SESSIONS[ANN.user]), limit=5)) == 5


def test_the_limit_of_groups_spans_days(tmp_path: Path) -> None:
    tape = Tape()
    for number in range(6):
        tape.delete(run=str(number), name=f"pod-{number}")
        tape.wait(20_000)
    archive = archive_of(tmp_path, MemoryLogs(a=tape))
    assert [row.main.name for row in archive.commands(Query(), limit=2)] == ["pod-5", "pod-4"]
    assert len(archive.search(Query(), limit=2)) == 2
    assert len(archive.calls(Query(), limit=2)) == 2


def test_a_session_whose_opening_expired_is_still_listed(tmp_path: Path) -> None:
    tape = Tape()
    tape.delete()
    del tape.records[0]
    (row,) = archive_of(tmp_path, MemoryLogs(a=tape)).sessions(Query(), limit=9)
    assert (row.main.user, row.method, row.expires_ns) == (ANN.user, "", None)


def test_an_unknown_command_is_not_found(story: Archive) -> None:
    with pytest.raises(NotFound):
        story.command("k" + "0" * 32)


def test_a_command_over_midnight_is_one_row(tmp_path: Path) -> None:
    tape = Tape(start_ns=START_NS + 50_399 * SECOND_NS)
    tape.delete(run="long", name="before")
    tape.wait(5)
    tape.delete(run="long", name="after")
    archive = archive_of(tmp_path, MemoryLogs(a=tape))
    assert len(day_files(archive._directory)) == 2
    (row,) = archive.commands(Query(), limit=9)
    assert (row.facts.calls, row.main.name) == (2, "after")
    assert row.facts.last_ns - row.facts.first_ns > 5 * SECOND_NS
    assert len(archive.sessions(Query(), limit=9)) == 1
    assert [r.name for r in archive.calls(Query(), limit=1)] == ["after"]
    assert [r.name for r in archive.calls(Query(), limit=1, oldest_first=True)] == ["before"]


def test_calls_of_one_connection_are_one_row_for_other_clients(tmp_path: Path) -> None:
    tape = Tape()
    for connection in ("c1", "c1", "c2"):
        tape.intent(CallRecord("list", "", "v1", "pods"), agent="k9s/v0.32", connection=connection)
    rows = archive_of(tmp_path, MemoryLogs(a=tape)).commands(Query(), limit=9)
    assert sorted(row.facts.calls for row in rows) == [1, 2]


def test_a_live_call_is_live_only_while_its_log_is_written(tmp_path: Path) -> None:
    tape = Tape()
    tape.logs(end=False)
    source = MemoryLogs(a=tape)
    source.live.add("a")
    archive = archive_of(tmp_path, source)
    (row,) = archive.calls(Query(), limit=9)
    assert (row.result, archive.commands(Query(), limit=1)[0].facts.live) == ("live", 1)
    source.live.clear()
    assert archive.refreshed(row).result == "unknown"
    assert archive.commands(Query(), limit=1)[0].facts.unknown == 1


def test_hidden_output_of_a_hostile_program_is_found(tmp_path: Path) -> None:
    tape = Tape()
    tape.exec(
        output=(
            (1, b"\x1b_exfiltrated\x1b\\ok\r\n"),
            (2, b"overwritten\rXXXXXXXXXXX\r\n"),
            (3, b"half\x1b[3"),
            (4, b"1mred line\n"),
        )
    )
    archive = archive_of(tmp_path, MemoryLogs(a=tape))
    for word in ("exfiltrated", "overwritten", '"halfred line"'):
        assert len(asked(archive, word)) == 1


def test_damage_that_only_a_question_meets_is_said(tmp_path: Path) -> None:
    archive = archive_of(tmp_path, MemoryLogs(a=whole_story()))
    (path,) = day_files(tmp_path / "index").values()
    with sqlite3.connect(path) as day:
        day.execute("UPDATE pieces SET body = x'0102' WHERE body != x''")
        day.execute("UPDATE positions SET packed = x'c1'")
    day.close()
    with pytest.raises(GarbledIndex):
        archive.search(parse_query("customers", now_ns=0), limit=9)
    with pytest.raises(GarbledIndex):
        archive.positions(archive.calls(Query(), limit=1)[0])
    with sqlite3.connect(path) as day:
        day.execute("DROP TABLE pieces")
    day.close()
    with pytest.raises(GarbledIndex):
        archive.search(parse_query("customers", now_ns=0), limit=9)
    path.write_bytes(b"x" * 5000)
    with pytest.raises(GarbledIndex):
        archive.calls(Query(), limit=9)


def test_every_call_with_the_same_answer_is_found_by_its_words(tmp_path: Path) -> None:
    """The words are in the index once, also after a new indexer has forgotten that it had them."""
    tape = Tape()
    source = MemoryLogs(a=tape)
    for run in ("one", "two", "three"):
        tape.get_pods(run=run)
        tape.get_pods(run=f"{run} again")
        archive = archive_of(tmp_path, source)
    hits = archive.search(parse_query("web-1", now_ns=NOW_NS), limit=100)
    assert len(asked(archive, "web-1")) == len({hit.call.id for hit in hits}) == 6
    assert {(hit.kind, hit.text[hit.start : hit.end]) for hit in hits} == {("response", "web-1")}
    with sqlite3.connect(next(iter(day_files(tmp_path / "index").values()))) as day:
        texts, pieces = day.execute("SELECT count(DISTINCT text), count(*) FROM pieces").fetchone()
    day.close()
    assert (texts, pieces) == (3 * (4 + 2), 6 * 4 * 2)  # of four calls each, and their two kinds of answers


def test_words_of_an_answer_and_of_a_call_are_told_apart(tmp_path: Path) -> None:
    """Though somebody answers with the very words of a call."""
    tape = Tape()
    tape.delete()
    words = next(call_text(record) for record in tape.records if isinstance(record, Intent))
    echo = tape.intent(CallRecord("get", path="/echo"))
    tape.answer(echo, words.encode())
    archive = archive_of(tmp_path, MemoryLogs(a=tape))
    (hit,) = archive.search(parse_query(f'exchange:{echo.hex()} "pods web-1"', now_ns=NOW_NS), limit=9)
    assert hit.kind == "response"
    assert words.endswith(hit.text)
