"""`kubetape reconcile` as it is called: forms of audit logs, formats of output, exit codes, warnings."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gateway.cli import reconcile as module
from gateway.cli.reconcile import MAX_GARBLED_NAMED, reconcile
from storage.reader import Position
from storage.records import encode_record
from storage.sources import SegmentLogs
from tests.kit.audited import GATEWAY, as_lines, audited, story, stranger
from tests.kit.recorded import SECOND_NS, START_NS, Tape, open_log, write_log

INSIDE_NS = START_NS + 90 * SECOND_NS


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("data")
    write_log(directory, tape_of(story()))
    return directory


def tape_of(records: list[Any]) -> Tape:
    tape = Tape()
    tape.records = records
    return tape


def run(data_dir: Path, *arguments: str, content: bytes | None = None) -> Result:
    """Exit code as `gateway.cli.main` makes it from what the command returns."""
    result = CliRunner().invoke(
        reconcile, ["--data-dir", str(data_dir), *arguments], input=content, standalone_mode=False
    )
    return result


def on(data_dir: Path, tmp_path: Path, content: bytes, *arguments: str) -> Result:
    path = tmp_path / "audit.log"
    path.write_bytes(content)
    return run(data_dir, "--audit-log", str(path), *arguments)


GOOD = audited(story())
BAD = [*GOOD, stranger(GATEWAY, INSIDE_NS, verb="delete"), stranger("eve\x1b[2J", INSIDE_NS)]


def test_two_logs_that_agree_end_with_code_0_and_say_what_was_compared(
    data_dir: Path, tmp_path: Path
) -> None:
    result = on(data_dir, tmp_path, as_lines(GOOD))
    assert (result.return_value, result.stdout) == (0, "")
    assert result.stderr.splitlines() == [
        "compared 2026-01-31T10:00:03.000Z to 2026-01-31T10:06:57.024Z: 6 forwarded calls recorded, 6 of them "
        "audited, 8 audit events; 0 unrecorded, 0 differs, 0 unseen, 0 around",
        "not counted: 2 audited calls of times that are not compared",
    ]


def test_findings_end_with_code_1_as_a_harmless_table(data_dir: Path, tmp_path: Path) -> None:
    result = on(data_dir, tmp_path, as_lines(BAD))
    assert result.return_value == 1
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert rows[0] == ["FINDING", "TIME", "USER", "VERB", "STATUS", "TARGET", "DETAIL"]
    assert [row[0] for row in rows[1:]] == ["unrecorded", "around"]
    assert rows[2][2] == "eve\\x1b[2J"
    wide = on(data_dir, tmp_path, as_lines(BAD), "-o", "wide").stdout.splitlines()
    assert wide[0].split("\t")[-3:] == ["SOURCE", "AGENT", "AUDIT-ID"]


def test_json_says_it_all_and_jsonl_one_finding_a_line(data_dir: Path, tmp_path: Path) -> None:
    result = on(data_dir, tmp_path, as_lines(BAD), "-o", "json")
    document = json.loads(result.stdout)
    assert document["compared"] == {"from": "2026-01-31T10:00:03.000Z", "to": "2026-01-31T10:06:57.024Z"}
    assert document["counts"]["findings"] == {"unrecorded": 1, "differs": 0, "unseen": 0, "around": 1}
    assert document["gatewayUsers"] == [GATEWAY]
    assert [one["kind"] for one in document["findings"]] == ["unrecorded", "around"]
    lines = on(data_dir, tmp_path, as_lines(BAD), "-o", "jsonl").stdout.splitlines()
    assert [json.loads(line)["kind"] for line in lines] == ["unrecorded", "around"]
    assert json.loads(lines[0])["time"] == "2026-01-31T10:01:30.000Z"


@pytest.mark.parametrize("format", ["table", "json", "jsonl"])
def test_what_is_not_shown_is_counted_all_the_same(data_dir: Path, tmp_path: Path, format: str) -> None:
    result = on(data_dir, tmp_path, as_lines(BAD), "--limit", "1", "-o", format)
    assert result.return_value == 1
    assert result.stdout.count("around") == (1 if format == "json" else 0)
    assert "1 unrecorded, 0 differs, 0 unseen, 1 around" in result.stderr
    assert "only the first 1 of 2 findings are shown; --limit 0 shows all" in result.stderr
    everything = on(data_dir, tmp_path, as_lines(BAD), "--limit", "0")
    assert len(everything.stdout.splitlines()) == 3


def test_a_packed_log_several_logs_and_stdin_are_read(data_dir: Path, tmp_path: Path) -> None:
    packed = on(data_dir, tmp_path, gzip.compress(as_lines(GOOD)))
    assert packed.return_value == 0
    assert "6 of them audited" in packed.stderr
    (tmp_path / "first").write_bytes(as_lines(GOOD[:4]))
    (tmp_path / "second").write_bytes(as_lines(GOOD[4:]))
    both = run(data_dir, "--audit-log", str(tmp_path / "first"), "--audit-log", str(tmp_path / "second"))
    assert "6 of them audited" in both.stderr
    piped = run(data_dir, "--audit-log", "-", content=as_lines(GOOD))
    assert "6 of them audited" in piped.stderr


def test_packed_data_that_is_cut_is_an_error(data_dir: Path, tmp_path: Path) -> None:
    result = on(data_dir, tmp_path, gzip.compress(as_lines(GOOD))[:-20])
    assert "is not whole gzip data" in str(result.exception)


def test_garbled_lines_are_counted_and_named(data_dir: Path, tmp_path: Path) -> None:
    content = as_lines(GOOD[:3]) + b'{"auditID":"\n' * 3 + as_lines(GOOD[3:])
    result = on(data_dir, tmp_path, content)
    assert result.return_value == 0
    assert (
        f"warning: 3 lines of {tmp_path / 'audit.log'} are garbled and were not compared: 4, 5, 6"
        in result.stderr
    )
    many = on(data_dir, tmp_path, as_lines(GOOD) + b'{"auditID":"\n' * (MAX_GARBLED_NAMED + 5))
    assert f"warning: {MAX_GARBLED_NAMED + 5} lines" in many.stderr
    assert ", ... (the first: it is not JSON" in many.stderr


def test_a_gateway_user_can_be_named_and_parts_of_the_cluster_shown(data_dir: Path, tmp_path: Path) -> None:
    content = as_lines([*GOOD, stranger("other-gw", INSIDE_NS), stranger("system:apiserver", INSIDE_NS)])
    result = on(data_dir, tmp_path, content, "--gateway-user", "other-*")
    assert result.stdout.splitlines()[1].startswith("unrecorded\t")
    assert "1 calls of the cluster's own parts (--all shows them)" in result.stderr
    assert "2 around" in on(data_dir, tmp_path, content, "--all").stderr


def test_times_narrow_and_vouch(data_dir: Path, tmp_path: Path) -> None:
    content = as_lines([*BAD, stranger(GATEWAY, START_NS + 3600 * SECOND_NS)])
    assert on(data_dir, tmp_path, content, "--since", "2026-01-31T10:02:00Z").return_value == 0
    assert "2 unrecorded" in on(data_dir, tmp_path, content, "--until", "2026-01-31T12:00:00Z").stderr


def test_a_live_record_covers_the_time_up_to_now(tmp_path: Path) -> None:
    late = stranger(GATEWAY, START_NS + 3600 * SECOND_NS)
    log = open_log(tmp_path / "data")
    try:
        for record in story():
            log.append(encode_record(record), urgent=True)
        for _ in range(100):  # what was appended is being written meanwhile
            result = on(tmp_path / "data", tmp_path, as_lines([*GOOD, late]))
            if "6 of them audited" in result.stderr:
                break
    finally:
        log.close(10)
    assert "1 unrecorded" in result.stderr


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "there is no audit event in it"),
        (b"just text\n", "there is no audit event in it"),
        (
            as_lines([stranger("ann", START_NS - 86_400 * SECOND_NS)]),
            "nothing can be compared: the record covers",
        ),
    ],
)
def test_what_cannot_be_compared_is_an_error_and_no_all_clear(
    data_dir: Path, tmp_path: Path, content: bytes, complaint: str
) -> None:
    result = on(data_dir, tmp_path, content)
    assert complaint in str(result.exception)


def test_without_a_record_there_is_nothing_to_compare(tmp_path: Path) -> None:
    assert "holds no log/ directory" in str(on(tmp_path / "nowhere", tmp_path, as_lines(GOOD)).exception)
    (tmp_path / "empty" / "log" / "0").mkdir(parents=True)
    assert "records no call that went to a cluster" in str(
        on(tmp_path / "empty", tmp_path, as_lines(GOOD)).exception
    )


def test_a_record_that_is_none_is_an_error(tmp_path: Path) -> None:
    log = open_log(tmp_path / "data")
    log.append(b"\xc1", urgent=True)
    log.close(10)
    result = on(tmp_path / "data", tmp_path, as_lines(GOOD))
    assert "record 1 of log 0 is not readable" in str(result.exception)


def test_when_nothing_joins_the_user_is_asked_for(data_dir: Path, tmp_path: Path) -> None:
    borders = [GOOD[0], GOOD[-1]]
    result = on(data_dir, tmp_path, as_lines(borders))
    assert "6 unseen" in result.stderr
    assert "name it with --gateway-user" in result.stderr
    named = on(data_dir, tmp_path, as_lines(borders), "--gateway-user", GATEWAY)
    assert "6 unseen" in named.stderr
    assert "--gateway-user" not in named.stderr


def test_times_whose_records_are_gone_are_said(tmp_path: Path) -> None:
    whole = tape_of(story())
    write_log(tmp_path / "data", whole)
    content = as_lines([*GOOD, stranger(GATEWAY, INSIDE_NS)])
    assert on(tmp_path / "data", tmp_path, content).return_value == 1

    class OnlyTheEnd(SegmentLogs):
        def records(self, log: str, start: Position | None) -> Iterator[tuple[Position, bytes]]:
            return (one for one in super().records(log, start) if one[0].record_seq >= 15)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "SegmentLogs", OnlyTheEnd)
        result = on(tmp_path / "data", tmp_path, content)
        document = json.loads(on(tmp_path / "data", tmp_path, content, "-o", "json").stdout)
    assert "not compared: 1970-01-01T00:00:00.000Z to 2026-01-31T10:0" in result.stderr
    assert "where records are gone: deleted by retention, or their key was destroyed" in result.stderr
    assert "0 unrecorded" in result.stderr
    assert len(document["recordsGone"]) == 1
