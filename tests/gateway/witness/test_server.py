"""A witness over HTTP: it follows a log, refuses a fork and a rollback, and outlives its peers' manners."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from gateway.witness import server
from gateway.witness.server import MAX_CONNECTIONS, REQUEST_TIMEOUT_S, Witness, serve_witness
from storage.files import REAL_FILES, FileOps
from storage.tlog.checkpoint import (
    Checkpoint,
    check_signature,
    cosignatures,
    open_checkpoint,
    sign_checkpoint,
)
from storage.tlog.merkle import consistency_proof, leaf_hash
from storage.tlog.note import (
    KeyType,
    Note,
    encode_signer,
    parse_note,
    parse_signatures,
    parse_signer,
    signed_by,
)
from storage.tlog.witness import MAX_REQUEST_BYTES, AddCheckpoint, encode_request
from storage.tlog.witness_state import WitnessState, origin_hash
from tests.kit.faulty_files import FailingFiles
from tests.kit.trees import LOG, ORIGIN, entries_of, note_at, root_at
from tests.storage.tlog.test_merkle import reader_of

SIGNERS = [
    parse_signer(encode_signer("w.example/1", kind, bytes([kind]) * 32))
    for kind in (KeyType.COSIGNATURE, KeyType.MLDSA44)
]
KEYS = [signer.verifier for signer in SIGNERS]
LEAVES = [leaf_hash(entry) for entry in entries_of(0, 100)]
NOW_S = 1_790_000_000


def request_of(old: int, new: int) -> bytes:
    proof = tuple(consistency_proof(old, new, reader_of(LEAVES)))
    return encode_request(AddCheckpoint(old, proof, note_at(new)))


def witness_over(directory: Path, files: FileOps = REAL_FILES) -> tuple[Witness, WitnessState]:
    state = WitnessState(files, directory)
    return Witness(SIGNERS, [LOG.verifier], state, lambda: NOW_S + 0.9), state


@asynccontextmanager
async def serving(directory: Path) -> AsyncIterator[int]:
    witness, state = witness_over(directory)
    async with trio.open_nursery() as nursery:
        yield await nursery.start(serve_witness, "127.0.0.1", 0, witness)
        nursery.cancel_scope.cancel()
    state.close()


def post(body: bytes, extra: bytes = b"") -> bytes:
    head = b"POST /add-checkpoint HTTP/1.1\r\nHost: w\r\nContent-Length: %d\r\n%s\r\n"
    return head % (len(body), extra) + body


async def ask(port: int, wire: bytes) -> bytes:
    """Everything the server sends until it closes."""
    got = b""
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        with trio.fail_after(10):
            await stream.send_all(wire)
            await stream.send_eof()
            while data := await stream.receive_some(65_536):
                got += data
    return got


def body_of(answer: bytes) -> bytes:
    return answer.partition(b"\r\n\r\n")[2]


async def test_a_log_is_cosigned_checkpoint_after_checkpoint_on_one_connection(tmp_path: Path) -> None:
    async with serving(tmp_path) as port:
        got = await ask(port, post(request_of(0, 3)) + post(request_of(3, 50)) + post(request_of(50, 50)))
    answers = got.split(b"HTTP/1.1 ")[1:]
    assert [answer[:3] for answer in answers] == [b"200", b"200", b"200"]
    for answer, size in zip(answers, (3, 50, 50), strict=True):
        text = Checkpoint(ORIGIN, size, root_at(size)).text
        found = signed_by(Note(text, parse_signatures(body_of(answer))), KEYS, check_signature)
        assert list(found) == KEYS


async def test_the_last_cosigned_checkpoint_can_be_had_by_anyone(tmp_path: Path) -> None:
    get = b"GET /%s/checkpoint HTTP/1.1\r\nHost: w\r\n\r\n" % origin_hash(ORIGIN).encode()
    async with serving(tmp_path) as port:
        assert (await ask(port, get)).startswith(b"HTTP/1.1 404")
        await ask(port, post(request_of(0, 3)))
        note = body_of(await ask(port, get))
        assert (await ask(port, get.replace(b"/checkpoint", b"/other"))).startswith(b"HTTP/1.1 404")
        head = await ask(port, get.replace(b"GET", b"HEAD"))
        assert head.startswith(b"HTTP/1.1 404")
        assert body_of(head) == b""
    assert open_checkpoint(note, [LOG.verifier]).size == 3
    assert cosignatures(parse_note(note), KEYS) == dict.fromkeys(KEYS, NOW_S)


async def test_a_split_view_and_a_rollback_are_refused_and_the_proof_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    forked = sign_checkpoint(Checkpoint(ORIGIN, 60, bytes(32)), [LOG])
    fork = encode_request(AddCheckpoint(50, tuple(consistency_proof(50, 60, reader_of(LEAVES))), forked))
    async with serving(tmp_path) as port:
        await ask(port, post(request_of(0, 50)))
        assert (await ask(port, post(fork))).startswith(b"HTTP/1.1 422")
        rollback = await ask(port, post(request_of(20, 40)))
        assert rollback.startswith(b"HTTP/1.1 409")
        assert b"content-type: text/x.tlog.size\r\n" in rollback.lower()
        assert body_of(rollback) == b"50\n"
        assert (await ask(port, post(request_of(50, 60)))).startswith(b"HTTP/1.1 200")
    assert (tmp_path / f"{origin_hash(ORIGIN)}.conflict").read_bytes() == fork
    said = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(line["level"], line["origin"]) for line in said] == [("error", ORIGIN)]


async def test_a_restarted_witness_remembers(tmp_path: Path) -> None:
    async with serving(tmp_path) as port:
        await ask(port, post(request_of(0, 50)))
    async with serving(tmp_path) as port:
        assert body_of(await ask(port, post(request_of(0, 60)))) == b"50\n"


@pytest.mark.parametrize(
    ("wire", "status"),
    [
        (post(b"nonsense"), b"400"),
        (post(encode_request(AddCheckpoint(0, (), b"nonsense\n"))), b"400"),
        (post(request_of(0, 3).replace(ORIGIN.encode(), b"unknown")), b"404"),
        (post(request_of(0, 3).replace(b"\n3\n", b"\n4\n")), b"403"),
        (b"GET / HTTP/1.1\r\nHost: w\r\n\r\n", b"404"),
        (b"PUT /add-checkpoint HTTP/1.1\r\nHost: w\r\n\r\n", b"404"),
        (b"CONNECT w:80 HTTP/1.1\r\nHost: w\r\n\r\n", b"404"),
        (post(b"x" * (MAX_REQUEST_BYTES + 1)), b"413"),
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: w\r\nX: " + b"x" * 40_000 + b"\r\n\r\n", b"431"),
        (b"POST /add-checkpoint HTTP/1.1\r\nHost: w\r\nContent-Length: -1\r\n\r\n", b"400"),
        (b"", b""),
        (b"POST /add-checkpoint HTTP/1.1\r\nHost: w\r\n", b"400"),
        (b"POST /add-checkpoint HTTP/1.1\r\nHost: w\r\nContent-Length: 9\r\n\r\nold", b"400"),
    ],
)
async def test_bad_requests_are_answered_and_end_nothing_else(
    tmp_path: Path, wire: bytes, status: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    async with serving(tmp_path) as port:
        got = await ask(port, wire)
        assert got[9:12] == status
        assert (await ask(port, post(request_of(0, 3)))).startswith(b"HTTP/1.1 200")
    assert capsys.readouterr().err == ""


async def test_a_client_that_waits_to_be_asked_for_its_body_is_asked(tmp_path: Path) -> None:
    body = request_of(0, 3)
    wire = post(body, b"Expect: 100-continue\r\n")
    async with serving(tmp_path) as port:
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            with trio.fail_after(10):
                await stream.send_all(wire[: -len(body)])
                assert (await stream.receive_some(4096)).startswith(b"HTTP/1.1 100")
                await stream.send_all(body)
                assert (await stream.receive_some(65_536)).startswith(b"HTTP/1.1 200")


async def test_a_slow_client_is_left_and_holds_up_nobody(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with serving(tmp_path) as port:
        slow = await trio.open_tcp_stream("127.0.0.1", port)
        await slow.send_all(b"POST /add-checkpoint HTTP/1.1\r\nHost: w\r\nContent-Length: 100\r\n\r\nold")
        autojump_clock.autojump_threshold = float("inf")  # a thread at work is no idle program
        assert (await ask(port, post(request_of(0, 3)))).startswith(b"HTTP/1.1 200")
        began_s = trio.current_time()
        autojump_clock.autojump_threshold = 0.01
        assert await slow.receive_some(100) == b""
        assert trio.current_time() - began_s <= REQUEST_TIMEOUT_S + 1
        await slow.aclose()


async def test_more_connections_than_there_is_room_for_are_closed(tmp_path: Path) -> None:
    async with serving(tmp_path) as port:
        held = []
        for _ in range(MAX_CONNECTIONS):
            held.append(await trio.open_tcp_stream("127.0.0.1", port))
            await held[-1].send_all(b"GET / HTTP/1.1\r\nHost: w\r\n\r\n")
            assert (await held[-1].receive_some(4096)).startswith(b"HTTP/1.1 404")
        async with await trio.open_tcp_stream("127.0.0.1", port) as beyond:
            with trio.fail_after(10):
                assert await beyond.receive_some(4096) == b""
        for stream in held:
            await stream.aclose()


async def test_an_unexpected_error_ends_one_connection_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    async with serving(tmp_path) as port:
        with monkeypatch.context() as patch:
            patch.setattr(server, "decide", broken)
            assert await ask(port, post(request_of(0, 3))) == b""
        assert (await ask(port, post(request_of(0, 3)))).startswith(b"HTTP/1.1 200")
    assert json.loads(capsys.readouterr().err)["error"] == "RuntimeError"


# --- the disk fails ------------------------------------------------------------------------------------


def test_without_its_disk_a_witness_cosigns_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for only in ("create", "write", "sync", "rename", "sync_directory"):
        directory = tmp_path / only
        witness, state = witness_over(directory)
        assert witness.add_checkpoint(request_of(0, 3)).status == 200
        state.close()
        witness, state = witness_over(directory, FailingFiles(1, only=only))
        for _ in range(2):  # the second time the disk would do it again: too late
            reply = witness.add_checkpoint(request_of(3, 50))
            assert (reply.status, b"\xe2\x80\x94" in reply.body) in ((500, False), (409, False))
        state.close()
    assert "nothing was cosigned" in capsys.readouterr().err


def test_with_a_garbled_state_a_witness_cosigns_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    witness, state = witness_over(tmp_path)
    path = tmp_path / f"{origin_hash(ORIGIN)}.note"
    path.write_bytes(b"")
    assert witness.add_checkpoint(request_of(0, 3)).status == 500
    path.unlink()
    path.mkdir()
    assert witness.add_checkpoint(request_of(0, 3)).status == 500
    assert witness.checkpoint(f"/{origin_hash(ORIGIN)}/checkpoint").status == 500
    assert capsys.readouterr().err.count("error") >= 3
    state.close()
