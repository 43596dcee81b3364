"""Rows of single exchanges: tunnels, odd requests, times, names that are no text."""

import msgspec
import pytest

from protocol.events import Channel
from storage.lake.rows import MAX_INT
from storage.lake.settings import RowSettings
from storage.records import (
    CallRecord,
    ChannelChunk,
    CommandSeen,
    FileCopied,
    Intent,
    Masked,
    Outcome,
    PrincipalRecord,
    Timings,
    TunnelStarted,
    VerdictRecord,
)
from tests.kit.governed import APPROVED_HOLD, DENIED_HOLD, governed_story
from tests.kit.lake_logs import all_rows, calls, events
from tests.kit.recorded import ANN, SESSIONS, START_NS, Tape


def bare_intent(**changes: object) -> Intent:
    intent = Intent(
        exchange=b"e" * 16,
        at_ns=START_NS,
        session="",
        connection="c1",
        source="[2001:db8::7]:50100",
        http_version="1.1",
        method="GET",
        target=b"/",
        headers=(),
        principal=None,
        call=None,
        verdict=VerdictRecord("allow", "observe"),
        durability=2,
    )
    return msgspec.structs.replace(intent, **changes)


def outcome(result: str = "completed", status: int = 200, **changes: object) -> Outcome:
    return msgspec.structs.replace(Outcome(b"e" * 16, 9000, result, status), **changes)


# --- streams ---------------------------------------------------------------------------------------


def test_an_exec_is_open_typed_printed_resized_and_closed() -> None:
    tape = Tape()
    tape.exec()
    rows = events(all_rows(tape.records))
    assert [row.event for row in rows] == [
        "open",
        "resize",
        "out",
        "resize",
        "in",
        "out",
        "out",
        "in",
        "close",
    ]
    assert {(row.kind, row.protocol, row.tty, row.pod, row.container, row.namespace) for row in rows} == {
        ("exec", "ws-v5", True, "payments-0", "app", "prod")
    }
    assert {row.command for row in rows} == {("sh", "-c", "exec bash")}
    assert {(row.user, row.user_sub, row.groups, row.actor_type) for row in rows} == {
        ("ann@example.com", "ann", ("sre", "staff"), "human")
    }
    assert [(row.cols, row.rows) for row in rows if row.event == "resize"] == [(120, 40), (100, 30)]
    assert (rows[-1].exit_code, rows[-1].bytes) == (42, 160)
    assert [row.exit_code for row in rows[:-1]] == [None] * 8


def test_text_is_plain_and_points_at_the_record_it_began_with() -> None:
    tape = Tape()
    tape.exec()
    chunks = {
        (index // 5, index % 5): record
        for index, record in enumerate(tape.records)
        if isinstance(record, ChannelChunk)
    }
    rows = [row for row in events(all_rows(tape.records)) if row.text is not None]
    assert any("4111 1111 1111 1111,grün" in (row.text or "") for row in rows)
    assert not any("\x1b" in (row.text or "") for row in rows)
    for row in rows:
        first_line = (row.text or "").splitlines()[0].split(" ")[-1].encode()
        chunk = chunks[row.block_seq, row.rec_off]
        assert first_line[:5] in chunk.data or b"cat" in chunk.data
        assert row.bytes == len((row.text or "").encode())


def test_text_is_cut_into_parts_of_8_kib_between_characters() -> None:
    tape = Tape()
    line = "gün x".encode() * 800 + b"\n"
    tape.exec(output=tuple((700_000 + at, line) for at in range(6)), typed=())
    parts = [row.text or "" for row in events(all_rows(tape.records)) if row.event == "out"]
    assert max(len(part.encode()) for part in parts) <= 8192
    assert len(parts) >= 3
    assert "".join(parts).replace("\n", "").count("gün") == 4800


def test_a_port_forward_has_a_row_for_each_connection() -> None:
    tape = Tape()
    tape.port_forward()
    rows = events(all_rows(tape.records))
    event_id = rows[0].event_id
    assert [(row.event, row.stream_id, row.port, row.bytes) for row in rows] == [
        ("open", event_id, None, None),
        ("open", f"{event_id}/0", 5432, None),
        ("err", event_id, None, 26),
        ("close", f"{event_id}/0", 5432, 9),
        ("close", event_id, None, 9),
    ]
    assert {row.protocol for row in rows} == {"ws-spdy"}


def test_a_stream_whose_end_is_unknown_is_closed_without_a_code() -> None:
    tape = Tape()
    tape.exec(end=False)
    tape.started()
    rows = all_rows(tape.records)
    close = events(rows)[-1]
    assert (close.event, close.exit_code) == ("close", None)
    assert "root@payments-0:/# exit 42\n" in [row.text for row in events(rows)]
    assert calls(rows)[-1].status_reason == "unknown"


def test_logs_and_bodies_are_no_stream_events() -> None:
    tape = Tape()
    tape.logs()
    tape.apply()
    assert events(all_rows(tape.records)) == []


def test_a_stream_with_more_text_than_is_kept_says_so() -> None:
    tape = Tape()
    tape.exec(output=((700_000, bytes(range(256)) * 8),), typed=())
    rows = all_rows(tape.records)
    assert calls(rows)[-1].truncated is True
    assert events(rows)[-1].bytes == 2048


@pytest.mark.parametrize(
    ("command", "argv", "subresource", "kind"),
    [
        ("kubectl cp", ("tar", "cf", "-", "/etc"), "exec", "cp"),
        ("kubectl cp", ("sh", "-c", "rm -rf /"), "exec", "exec"),
        ("kubectl debug", (), "attach", "debug"),
        ("kubectl exec", ("sh",), "exec", "exec"),
    ],
)
def test_a_copy_is_a_copy_only_if_it_runs_tar(
    command: str, argv: tuple[str, ...], subresource: str, kind: str
) -> None:
    tape = Tape()
    call = CallRecord("create", "", "v1", "pods", subresource, "prod", "web", "/p", argv=argv)
    exchange = tape.intent(call, command=command)
    tape.records.append(TunnelStarted(exchange, 5, subresource, "spdy", "v4.channel.k8s.io"))
    (row,) = events(all_rows(tape.records))
    assert (row.kind, row.protocol, row.command) == (kind, "spdy", argv or None)


@pytest.mark.parametrize(
    ("transport", "protocol", "shown"),
    [
        ("websocket", "v5.channel.k8s.io", "ws-v5"),
        ("websocket", "v4.base64.channel.k8s.io", "ws-v4.base64"),
        ("websocket", "SPDY/3.1+portforward.k8s.io", "ws-spdy"),
        ("websocket", "", "ws"),
        ("spdy", "portforward.k8s.io", "spdy"),
    ],
)
def test_a_protocol_says_transport_and_version(transport: str, protocol: str, shown: str) -> None:
    records = [bare_intent(), TunnelStarted(b"e" * 16, 5, "exec", transport, protocol)]
    (row,) = events(all_rows(records))
    assert row.protocol == shown


# --- odd requests -----------------------------------------------------------------------------------


def test_a_request_that_nobody_was_found_behind_has_nulls() -> None:
    records = [bare_intent(target=b"/a\xff?q=\xe9"), outcome("refused", 401)]
    (row,) = calls(all_rows(records))
    assert (row.user, row.groups, row.actor_type, row.session_id) == (None, None, None, None)
    assert (row.api_group, row.resource, row.dry_run, row.verb) == (None, None, None, "get")
    assert (row.path, row.query) == ("/a\xff", "q=\xe9")
    assert (row.src_ip, row.rule_id, row.policy_sha256) == ("2001:db8::7", None, None)
    assert msgspec.json.decode(msgspec.json.encode(row), type=type(row)) == row
    (bare,) = calls(all_rows(records, RowSettings(metadata_only=True)))
    assert (bare.path, bare.query) == ("/a\xff", None)


def test_names_that_are_no_utf8_on_the_wire_are_rows_like_others() -> None:
    call = CallRecord("get", "", "v1", "pods", "", "prod", "caf\\udcff\u202e", "/p")
    (row,) = calls(all_rows([bare_intent(call=call, target=b"/p%ff/\xff\x00\n"), outcome()]))
    assert row.name == "caf\\udcff\u202e"
    assert b"\n" not in msgspec.json.encode(row)


def test_an_exchange_id_that_is_no_uuid_is_still_an_id() -> None:
    (row,) = calls(all_rows([bare_intent(exchange=b"short"), outcome(exchange=b"short")]))
    assert row.event_id == b"short".hex()


@pytest.mark.parametrize(
    ("user", "groups", "actor"),
    [
        ("system:serviceaccount:ci:runner", (), "service"),
        ("system:node:n1", (), "service"),
        ("bot", ("agents",), "agent"),
        ("ann", ("sre",), "human"),
    ],
)
def test_an_actor_is_human_agent_or_service(user: str, groups: tuple[str, ...], actor: str) -> None:
    who = PrincipalRecord(user, groups, "token", "c" * 32)
    (row,) = calls(all_rows([bare_intent(principal=who), outcome()]))
    assert (row.actor_type, row.agent) == (actor, user if actor == "agent" else None)


def test_the_core_group_is_an_empty_name_and_a_selector_is_kept() -> None:
    call = CallRecord("list", "", "v1", "pods", label_selector="app=web", dry_run=True)
    (row,) = calls(all_rows([bare_intent(call=call, principal=ANN, session=SESSIONS[ANN.user]), outcome()]))
    assert (row.api_group, row.label_selector, row.dry_run) == ("", "app=web", True)


# --- times --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("timings", "upstream", "gateway", "record"),
    [
        (Timings(10, 20, 70, 100, 5000, 6000, 6400), 5900, 500, 50),
        (Timings(10, 20, None, 100, 5000), 4900, 4100, None),
        (Timings(10, 20), None, 9000, None),
        (Timings(0, 0, 0, 0, None, 2**40, 2**40 + 1), MAX_INT, 1, 0),
        (Timings(0, 9, 3, 100, 90), 0, 9000, 0),
    ],
)
def test_times_are_split_between_cluster_gateway_and_record(
    timings: Timings, upstream: int | None, gateway: int, record: int | None
) -> None:
    (row,) = calls(all_rows([bare_intent(), outcome(timings=timings)]))
    assert (row.t_upstream_us, row.t_gateway_us, row.t_record_us) == (upstream, gateway, record)


def test_times_beyond_every_clock_make_no_row_fail() -> None:
    records = [
        bare_intent(at_ns=2**63),
        TunnelStarted(b"e" * 16, 2**62, "exec", "spdy", ""),
        ChannelChunk(b"e" * 16, 2**62, Channel.STDOUT, False, b"x\n"),
        outcome(at_us=2**62),
    ]
    rows = all_rows(records)
    assert calls(rows)[0].ts == "2262-04-11 23:47:16.854775"
    assert [row.event for row in events(rows)] == ["open", "out", "close"]


# --- policy -------------------------------------------------------------------------------------------


def test_a_call_says_what_policy_did_to_it() -> None:
    rows = calls(all_rows(governed_story().records))
    by_rule = {(row.verb, row.resource, row.status_reason): row for row in rows}
    secrets = by_rule["list", "secrets", "completed"]
    assert (secrets.decision, secrets.masked_fields, secrets.grant_id) == (
        "mask",
        4,
        "01KG9ZK7M0GRANT00000000000",
    )
    assert (secrets.hold_ms, secrets.approval_id, secrets.approver) == (None, None, None)
    approved = by_rule["delete", "namespaces", "completed"]
    assert (approved.decision, approved.approval_id, approved.approver) == ("hold", APPROVED_HOLD, "bob")
    assert (approved.hold_ms, approved.masked_fields) == (20, 0)
    denied = [row for row in rows if row.approval_id == DENIED_HOLD]
    assert [(row.approver, row.status_reason, row.hold_ms) for row in denied] == [(None, "denied", 20)]


def test_lines_and_files_are_stream_events_where_they_happened() -> None:
    records = governed_story().records
    rows = events(all_rows(records))
    assert [(row.event, row.text, row.bytes) for row in rows if row.event in ("command", "file")] == [
        ("command", "ls /srv", None),
        ("command", "rm -rf /srv/data", None),
        ("file", "/etc/passwd", 1024),
        ("file", "tmp/[x]/key.pem", 9),
    ]
    assert [row.seq for row in rows] == list(range(len(rows)))
    line = next(row for row in rows if row.event == "command")
    assert isinstance(records[line.block_seq * 5 + line.rec_off], CommandSeen)


def test_in_metadata_mode_that_something_was_typed_is_known_and_not_what() -> None:
    rows = all_rows(governed_story().records, RowSettings(metadata_only=True))
    told = [(row.event, row.text, row.bytes) for row in events(rows) if row.event in ("command", "file")]
    assert told == [("command", None, None)] * 2 + [("file", None, 1024), ("file", None, 9)]
    content = msgspec.json.encode(rows)
    for text in (b"rm -rf", b"passwd", b"canary", b"4711", b"not today"):
        assert text not in content


def test_names_and_sizes_without_bounds_fit_their_columns() -> None:
    records = [
        bare_intent(),
        CommandSeen(b"e" * 16, 1, ""),
        FileCopied(b"e" * 16, 2, "up", "n" * 9000, 2**64 - 1),
        Masked(b"e" * 16, 3, "answer", (("r", 2**64 - 1), ("q", 2**64 - 1))),
        outcome(),
    ]
    rows = all_rows(records)
    assert [(len(row.text or ""), row.bytes) for row in events(rows)] == [(0, None), (8192, 2**63 - 1)]
    assert calls(rows)[0].masked_fields == MAX_INT
