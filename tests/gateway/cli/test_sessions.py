"""The verbs as a user runs them: processes over a real log, live and copied, intact and damaged."""

import fcntl
import json
import os
import pty
import shutil
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from storage.index import Indexer
from storage.index_schema import day_files
from storage.records import ChannelChunk, Outcome, encode_record
from tests.kit.hostile_terminal import SEQUENCES
from tests.kit.recorded import SESSIONS, START_NS, Tape, open_log, whole_story, write_log
from tests.kit.running import Ran, environment, run_cli
from tests.storage.test_ansi import assert_harmless


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("story")
    write_log(directory, whole_story())
    return directory


def sessions(directory: Path, *arguments: str) -> Ran:
    ran = run_cli("sessions", *arguments, "--data-dir", str(directory))
    assert "Traceback" not in ran.err
    return ran


def command_id(directory: Path, *filters: str) -> str:
    (line,) = sessions(directory, "ls", *filters, "-o", "name").lines
    return line


# --- ls -----------------------------------------------------------------------------------------


def test_ls_shows_one_row_a_kubectl_command_newest_first(story: Path) -> None:
    ran = sessions(story, "ls")
    rows = [line.split("\t") for line in ran.lines]
    assert rows[0] == ["ID", "TIME", "USER", "COMMAND", "CALLS", "DECISION", "RESULT", "DURATION", "TARGET"]
    assert [row[6] for row in rows[1:]] == [
        "unknown (crash)",
        "ok",
        "client-left",
        "exit 42",
        "denied",
        "ok",
        "ok",
        "ok",
    ]
    assert rows[4][1:] == [
        "2026-01-31T10:04:00.053Z",
        "ann@example.com",
        "kubectl exec",
        "2",
        "allow",
        "exit 42",
        "1m3s",
        "exec pods/payments-0 -n prod -- sh -c 'exec bash'",
    ]
    assert (ran.code, ran.err) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        (["--user", "agent-7"], 1),
        (["--verb", "delete,patch"], 4),
        (["--ns", "prod", "--resource", "pods/exec"], 1),
        (["--name", "web*"], 3),
        (["--code", "4xx"], 1),
        (["--decision", "deny"], 1),
        (["--kind", "exec,log"], 2),
        (["--since", "2026-01-31T10:05:00Z"], 3),
        (["--until", "2026-01-31"], 0),
        (["verb:delete", "-user:agent-7"], 2),
        (["verb:delete -user:agent-7"], 2),
        (["connection"], 2),
        (["--limit", "3"], 3),
        (["--calls"], 13),
        (["--sessions"], 2),
        (["--calls", "--", "verb:delete", "-prod"], 0),
    ],
)
def test_flags_and_filter_words_narrow_the_list(story: Path, arguments: list[str], count: int) -> None:
    assert len(sessions(story, "ls", "--no-headers", *arguments).lines) == count


def test_ls_in_every_format_says_the_same(story: Path) -> None:
    data = json.loads(sessions(story, "ls", "-o", "json").out)
    assert [row["calls"] for row in data] == [1, 1, 1, 2, 1, 1, 2, 4]
    assert data[3]["main"]["argv"] == ["sh", "-c", "exec bash"]
    assert data[3]["main"]["exit_code"] == 42
    assert [json.loads(line) for line in sessions(story, "ls", "-o", "jsonl").lines] == data
    assert yaml.safe_load(sessions(story, "ls", "-o", "yaml").out) == data
    assert sessions(story, "ls", "-o", "name").lines == [row["id"] for row in data]
    assert "10.0.0.9:50100" in sessions(story, "ls", "-o", "wide").out
    assert "ago" in sessions(story, "ls", "--relative").out


def test_ls_sessions_shows_who(story: Path) -> None:
    data = json.loads(sessions(story, "ls", "--sessions", "-o", "json").out)
    assert [(row["id"], row["user"], row["groups"]) for row in data] == [
        (SESSIONS["ann@example.com"], "ann@example.com", ["sre", "staff"]),
        (SESSIONS["agent-7"], "agent-7", ["agents"]),
    ]


@pytest.mark.parametrize("expression", ["usr:ann", '"half', "code:42", "--since", "since:soon"])
def test_a_bad_filter_is_wrong_usage(story: Path, expression: str) -> None:
    ran = sessions(story, "ls", expression)
    assert ran.code == 2
    assert ran.out == ""


# --- get ----------------------------------------------------------------------------------------


def test_get_shows_a_card_with_every_call(story: Path) -> None:
    ran = sessions(story, "get", command_id(story, "verb:patch")[:9], "--bodies")
    assert ran.out.count("  * ") == 2
    assert "patch deployments.apps/web -n prod  200 ok  20ms" in ran.out
    assert '"replicas": 3' in ran.out
    assert "decision allow (enforce)" in ran.out


def test_get_of_a_session_has_a_card_for_each_command(story: Path) -> None:
    ran = sessions(story, "get", SESSIONS["ann@example.com"])
    assert ran.out.count("\nk") == 7
    assert "outcome unknown" in ran.out


def test_get_says_who_denied_and_why(story: Path) -> None:
    ran = sessions(story, "get", command_id(story, "decision:deny"))
    assert "decision deny (enforce) by no-delete-for-agents: agents may not delete in prod" in ran.out


def test_get_of_one_call_for_programs(story: Path) -> None:
    (line,) = sessions(story, "ls", "--calls", "verb:patch", "-o", "name").lines
    data = json.loads(sessions(story, "get", line, "-o", "json", "--bodies").out)
    assert data["kind"] == "call"
    (call,) = data["calls"]
    assert call["request"]["size"] == 43
    assert json.loads(call["response"]["text"]) == {"spec": {"replicas": 3}}
    assert yaml.safe_load(sessions(story, "get", line, "-o", "yaml").out)["calls"][0]["verb"] == "patch"
    assert sessions(story, "get", line, "-o", "name").lines == [line]
    assert json.loads(sessions(story, "get", line, "-o", "jsonl").out)["id"] == line
    assert (
        "ports"
        in json.loads(sessions(story, "get", command_id(story, "kind:portforward"), "-o", "json").out)[
            "calls"
        ][0]
    )
    assert "ports 5432" in sessions(story, "get", command_id(story, "kind:portforward")).out


@pytest.mark.parametrize(
    "id", ["k0000000", "../../../etc/passwd", "x", "ffffffff", "'; DROP TABLE calls", "01KG9ZK7M0A"]
)
def test_an_id_that_is_not_there_is_said_in_one_line(story: Path, id: str) -> None:
    for verb in ("get", "play", "export", "tail"):
        ran = sessions(story, verb, id)
        assert ran.code == 1
        assert ran.err.startswith("error: ")
        assert ran.err.count("\n") == 1


# --- search -------------------------------------------------------------------------------------


def test_search_tells_where_and_when(story: Path) -> None:
    ran = sessions(story, "search", '"4111 1111"', "--no-headers")
    (row,) = [line.split("\t") for line in ran.lines]
    assert row[3:5] == ["stdout", "2.0s"]  # to the second
    assert row[5].endswith("4111 1111 1111 1111,grün")


def test_search_for_programs_names_the_second(story: Path) -> None:
    hits = json.loads(sessions(story, "search", "customers", "-o", "json").out)
    assert [(hit["kind"], hit["at_seconds"], hit["match"]) for hit in hits] == [
        ("stdin", 1.9, "customers"),
        ("stdout", 2.0, "customers"),
    ]


def test_search_by_name_gives_each_call_once(story: Path) -> None:
    (id,) = sessions(story, "search", "customers", "-o", "name").lines
    assert sessions(story, "play", id).code == 0


def test_nothing_found_is_no_failure(story: Path) -> None:
    assert sessions(story, "search", "nowhere", "--no-headers") == Ran(0, "", "")


def test_the_help_of_search_names_every_field(story: Path) -> None:
    assert "decision:  allow, deny, hold" in run_cli("sessions", "search", "--help").out


# --- play and export ----------------------------------------------------------------------------


def test_play_into_a_pipe_goes_at_once_and_is_neutral(story: Path) -> None:
    began = time.monotonic()
    ran = sessions(story, "play", command_id(story, "kind:exec"))
    assert time.monotonic() - began < 20
    assert ran.out.startswith("root@payments-0:/# cat /etc/customers.csv\r\n\x1b[1;32m4111")
    assert "[exit code 42]" in ran.err
    assert "\x1b]0;" in sessions(story, "play", command_id(story, "kind:exec"), "--raw").out


def test_play_of_logs_and_of_what_cannot_be_played(story: Path) -> None:
    assert sessions(story, "play", command_id(story, "kind:log")).out.count("\n") == 5
    ran = sessions(story, "play", command_id(story, "kind:portforward"))
    assert (ran.code, "holds no terminal" in ran.err) == (1, True)
    ran = sessions(story, "play", SESSIONS["ann@example.com"])
    assert (ran.code, "holds 2 streams, name one" in ran.err) == (1, True)


def on_a_terminal(*arguments: str, keys: bytes = b"", once: bytes = b"") -> tuple[int, bytes]:
    """Run under a pseudo-terminal; returns exit code and everything that was written to it.

    keys: pressed when `once` was written.
    """
    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway.cli", *arguments],
        stdin=child,
        stdout=child,
        stderr=child,
        env=environment(TERM="xterm"),
    )
    os.close(child)
    written = b""
    while True:
        try:
            some = os.read(parent, 65536)
        except OSError:  # the other side is closed
            break
        if not some:
            break
        written += some
        if keys and once in written:
            os.write(parent, keys)
            keys = b""
    os.close(parent)
    return process.wait(timeout=30), written


def test_play_on_a_terminal_shows_restores_and_quits_on_q(story: Path) -> None:
    id = command_id(story, "kind:exec")
    code, written = on_a_terminal("sessions", "play", id, "--data-dir", str(story), "--speed", "1000")
    assert code == 0
    assert "grün".encode() in written
    assert b"recorded in 120x40, this terminal is 80x24" in written
    assert_harmless(written.replace(b"\r\n", b"\n"))
    code, written = on_a_terminal("sessions", "play", id, "--data-dir", str(story), keys=b"q", once=b"root@")
    assert code == 0
    assert b"exit 42" not in written


def test_hostile_output_on_a_terminal_types_nothing_back(tmp_path: Path) -> None:
    tape = Tape()
    tape.exec(output=tuple((at, b"%d " % at + sequence) for at, sequence in enumerate(SEQUENCES)), typed=())
    tape.logs(run="hostile\x1b]0;x\x07")
    write_log(tmp_path, tape)
    for verb in (
        ["play", command_id(tmp_path, "kind:exec"), "--speed", "1000"],
        ["ls"],
        ["get", SESSIONS["ann@example.com"]],
    ):
        code, written = on_a_terminal("sessions", *verb, "--data-dir", str(tmp_path))
        assert code == 0
        assert_harmless(written.replace(b"\r\n", b"\n"))


@pytest.mark.parametrize(("form", "version"), [("cast", 3), ("cast3", 3), ("cast2", 2)])
def test_export_as_asciicast_parses(story: Path, form: str, version: int) -> None:
    header, *events = map(
        json.loads, sessions(story, "export", command_id(story, "kind:exec"), "--format", form).lines
    )
    assert header["version"] == version
    assert header["timestamp"] == START_NS // 10**9 + 240
    times = [at for at, _, _ in events]
    total = times[-1] if version == 2 else sum(times)
    assert total == pytest.approx(63.0 if version == 2 else 63.2)
    assert "".join(data for _, code, data in events if code == "o").count("root@payments-0") == 2


def test_export_as_text_json_and_records(story: Path) -> None:
    id = command_id(story, "kind:exec")
    assert sessions(story, "export", id).lines[0] == "root@payments-0:/# cat /etc/customers.csv"
    calls = json.loads(sessions(story, "export", id, "--format", "json").out)
    assert [call["kind"] for call in calls] == ["call", "exec"]
    records = [json.loads(line) for line in sessions(story, "export", id, "--format", "jsonl").lines]
    assert [record["type"] for record in records][:5] == [
        "Intent",
        "ResponseStarted",
        "ResponseBody",
        "Outcome",
        "Intent",
    ]
    assert {record.get("data_base64") for record in records} - {None} == {
        "G1sxOzMybTQxMTEgMTExMSAxMTExIDExMTEbWzBtLGdyww==",
        "vG4NCnJvb3RAcGF5bWVudHMtMDovIyA=",
    }
    assert '"replicas": 3' in sessions(story, "export", command_id(story, "verb:patch")).out


def test_export_to_a_file_does_not_overwrite_unless_told(story: Path, tmp_path: Path) -> None:
    id, file = command_id(story, "kind:exec"), tmp_path / "out.cast"
    assert sessions(story, "export", id, "--format", "cast", "-f", str(file)) == Ran(0, "", "")
    assert file.stat().st_mode & 0o077 == 0
    ran = sessions(story, "export", id, "-f", str(file))
    assert (ran.code, "--force" in ran.err) == (1, True)
    assert sessions(story, "export", id, "-f", str(file), "--force").code == 0
    assert file.read_text().startswith("root@payments-0")
    ran = sessions(story, "export", id, "-f", str(tmp_path / "no" / "dir"))
    assert (ran.code, ran.err.count("\n")) == (1, 1)


# --- where the data is --------------------------------------------------------------------------


def test_a_copied_directory_works_without_index_and_again_with_it(story: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(story / "log", copy / "log")
    first = sessions(copy, "ls")
    assert (copy / "index").is_dir()
    assert sessions(copy, "ls") == first
    assert len(first.lines) == 9


def test_where_nothing_can_be_written_a_temporary_index_serves(story: Path, tmp_path: Path) -> None:
    copy, scratch = tmp_path / "copy", tmp_path / "scratch"
    scratch.mkdir()
    shutil.copytree(story / "log", copy / "log")
    (copy / "index").write_bytes(b"in the way, as a read-only directory is")
    ran = run_cli("sessions", "ls", "--data-dir", str(copy), TMPDIR=str(scratch))
    assert (ran.code, len(ran.lines), ran.err) == (0, 9, "")
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("damage", ["garbage", "no tables", "gone"])
def test_a_garbled_index_is_made_again_and_the_answer_is_right(
    story: Path, tmp_path: Path, damage: str
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(story / "log", copy / "log")
    expected = sessions(copy, "search", "customers").out
    (day,) = day_files(copy / "index").values()
    if damage == "gone":
        day.unlink()
    else:
        content = day.read_bytes()
        day.write_bytes(
            b"garbage" * 2000 if damage == "garbage" else content[:100] + bytes(len(content) - 100)
        )
    ran = sessions(copy, "search", "customers")
    assert (ran.code, ran.out) == (0, expected)


def test_an_index_that_is_damaged_in_its_middle_is_made_again(story: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(story / "log", copy / "log")
    expected = sessions(copy, "get", SESSIONS["agent-7"]).out
    (day,) = day_files(copy / "index").values()
    content = bytearray(day.read_bytes())
    for page in range(2, len(content) // 4096):
        content[page * 4096 : page * 4096 + 2000] = b"\xa5" * 2000
    day.write_bytes(content)
    ran = sessions(copy, "get", SESSIONS["agent-7"])
    assert (ran.code, ran.out) == (0, expected)


def test_a_damaged_log_is_said_and_what_lies_before_it_is_shown(tmp_path: Path) -> None:
    tape = Tape()
    for number in range(300):
        tape.delete(name=f"pod-{number}", run=str(number))
    log = open_log(tmp_path)
    for at, record in enumerate(tape.records):
        log.append(encode_record(record), urgent=True)
        if at % 100 == 0:
            time.sleep(0.005)  # several frames
    log.close(10)
    (segment,) = (tmp_path / "log" / "0").glob("*.kseg")
    content = bytearray(segment.read_bytes())
    content[len(content) // 2] ^= 1
    segment.write_bytes(content)
    ran = sessions(tmp_path, "ls", "--no-headers", "--limit", "1000")
    assert "warning: the log is damaged" in ran.err
    assert ran.code == 0
    assert 0 < len(ran.lines) < 300


def test_rebuild_index_says_what_it_did(story: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(story / "log", copy / "log")
    ran = run_cli("store", "rebuild-index", str(copy))
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("indexed 75 records in ")
    indexer = Indexer(copy)
    assert indexer.take_lock()
    ran = run_cli("store", "rebuild-index", str(copy))
    indexer.close()
    assert (ran.code, "stop it first" in ran.err) == (1, True)


def test_the_data_directory_can_come_from_the_environment(story: Path, tmp_path: Path) -> None:
    assert len(run_cli("sessions", "ls", KUBETAPE_RECORD__DIR=str(story)).lines) == 9
    assert run_cli("sessions", "ls", cwd=tmp_path).code == 1


def test_a_reader_that_has_seen_enough_is_no_error(story: Path) -> None:
    done = subprocess.run(
        f"{sys.executable} -m gateway.cli sessions export {SESSIONS['ann@example.com']} --format json --data-dir {story} | head -c 1",
        shell=True,
        capture_output=True,
        env=environment(),
        check=False,
    )
    assert done.stderr == b""


# --- live ---------------------------------------------------------------------------------------


class Gateway:
    """A log that is being written, and an indexer that follows it, as in a running gateway."""

    def __init__(self, directory: Path) -> None:
        self.log = open_log(directory)
        self.indexer = Indexer(directory)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow)
        self._thread.start()

    def _follow(self) -> None:
        while not self._stop.wait(0.02):
            self.indexer.run_once()

    def write(self, *records: object) -> None:
        for record in records:
            self.log.append(encode_record(record), urgent=True)  # type: ignore[arg-type]

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self.indexer.close()
        self.log.close(10)


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    running = Gateway(tmp_path)
    yield running
    running.close()


def test_a_live_directory_is_read_through_the_index_of_the_gateway(gateway: Gateway, tmp_path: Path) -> None:
    tape = whole_story()
    gateway.write(*tape.records)
    ran = sessions(tmp_path, "ls")
    assert (ran.code, len(ran.lines), ran.err) == (0, 9, "")
    assert ran.lines[1].split("\t")[6] == "live"


def _obey_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Following:
    """`sessions tail` in the background."""

    def __init__(self, directory: Path, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-u",
                "-m",
                "gateway.cli",
                "sessions",
                "tail",
                *arguments,
                "--data-dir",
                str(directory),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
            # A shell that starts the tests in the background has them ignore SIGINT, children included.
            preexec_fn=_obey_interrupts,
        )

    def first(self) -> bytes:
        """The first bytes it writes."""
        assert self.process.stdout is not None
        return os.read(self.process.stdout.fileno(), 65536)

    def finish(self) -> Ran:
        out, err = self.process.communicate(timeout=30)
        return Ran(self.process.returncode, out.decode(), err.decode())


@pytest.mark.parametrize("with_gateway", [True, False])
def test_tail_shows_calls_as_they_end(tmp_path: Path, with_gateway: bool) -> None:
    gateway = Gateway(tmp_path) if with_gateway else None
    log = gateway.log if gateway else open_log(tmp_path)
    try:
        tape = Tape(start_ns=time.time_ns() + 60_000_000_000)
        tail = Following(tmp_path, "--limit", "3", "--verb", "delete,get")
        assert tail.first().startswith(b"ID\tTIME")
        tape.delete(name="one")
        stream = tape.logs(end=False)
        tape.records.append(Outcome(stream, 9_000_000, "client-left", 200))
        tape.get_pods()
        for record in tape.records[:-12]:
            log.append(encode_record(record), urgent=True)
        for record in tape.records[-12:]:
            log.append(encode_record(record), urgent=True)
        ran = tail.finish()
        tail_rows = [line.split("\t")[3:6] for line in ran.lines]
    finally:
        if gateway:
            gateway.close()
        else:
            log.close(10)
    assert ran.code == 0
    assert tail_rows[0] == ["200", "allow", "ok"]
    assert len(tail_rows) == 3


def test_tail_of_a_stream_shows_output_until_it_ends(gateway: Gateway, tmp_path: Path) -> None:
    tape = Tape(start_ns=time.time_ns())
    exchange = tape.exec(end=False, typed=())
    gateway.write(*tape.records)
    tail = Following(tmp_path, exchange.hex())
    assert b"root@payments-0" in tail.first()
    gateway.write(
        ChannelChunk(exchange, 70_000_000, 1, False, b"live \x1b]52;c;x"),
        ChannelChunk(exchange, 71_000_000, 1, False, b"\x07words\r\n"),
        Outcome(exchange, 72_000_000, "completed", 101, exit_code=7),
    )
    ran = tail.finish()
    assert "live words\r\n" in ran.out
    assert "\x1b]" not in ran.out
    assert (ran.code, "[exit code 7]" in ran.err) == (0, True)


def test_tail_of_what_is_over_shows_it_and_ends(story: Path) -> None:
    ran = sessions(story, "tail", command_id(story, "kind:log"))
    assert (ran.code, ran.out.count("\n")) == (0, 5)
    assert sessions(story, "tail", command_id(story, "kind:log"), "--new").out == ""


def test_tail_is_interrupted_in_order(gateway: Gateway, tmp_path: Path) -> None:
    tail = Following(tmp_path)
    assert tail.first()
    tail.process.send_signal(signal.SIGINT)
    ran = tail.finish()
    assert (ran.code, ran.err.strip()) == (130, "")


def test_tail_since_shows_the_past(story: Path) -> None:
    ran = sessions(story, "tail", "--since", "2026-01-31", "--limit", "13", "-o", "name")
    assert len(ran.lines) == 13
