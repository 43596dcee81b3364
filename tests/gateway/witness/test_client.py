"""Asking a witness: a real one, and peers that answer anything."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio

from gateway.witness.client import (
    MAX_ANSWER_BYTES,
    WitnessAhead,
    WitnessFailed,
    WitnessRefused,
    request_cosignatures,
)
from storage.files import REAL_FILES
from storage.tlog.checkpoint import Checkpoint, cosign, cosignatures, sign_checkpoint, with_cosignatures
from storage.tlog.note import KeyType, Signature, SignerKey, encode_signer, parse_note, parse_signer
from storage.tlog.tree import TreeStore
from tests.kit.trees import LOG, ORIGIN, grow, note_at, opened, root_at
from tests.kit.witness_rig import WITNESS_KEY, open_witness

STRANGER = parse_signer(encode_signer("w.example/2", KeyType.COSIGNATURE, bytes(32)))
NOW_S = 1_790_000_000


@asynccontextmanager
async def peer(*answers: bytes, hold: bool = False) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Answers each connection with the next of these bytes; keeps what it was asked."""
    asked: list[bytes] = []

    async def handle(stream: trio.SocketStream) -> None:
        async with stream:
            got = b""
            while b"\n\xe2\x80\x94 " not in got or not got.endswith(b"\n"):
                got += await stream.receive_some(65_536)
            asked.append(got)
            for part in answers[min(len(asked), len(answers)) - 1].split(b"|pause|"):
                await stream.send_all(part)
                await trio.sleep(0.05)
            if hold:
                await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, handle, 0, host="127.0.0.1"))
        yield f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}/w/", asked
        nursery.cancel_scope.cancel()


async def ask(
    url: str, store: TreeStore, old_size: int = 0, *, deadline_s: float = 10.0
) -> tuple[Signature, ...]:
    assert store.note is not None
    ask_now = partial(
        request_cosignatures,
        url,
        store.note,
        old_size,
        store.consistency_proof,
        [WITNESS_KEY.verifier],
        deadline_s=deadline_s,
    )
    return await trio.to_thread.run_sync(ask_now)


def answer(status: bytes, body: bytes, extra: bytes = b"") -> bytes:
    head = b"HTTP/1.1 %s\r\nContent-Length: %d\r\nConnection: close\r\n%s\r\n"
    return head % (status, len(body), extra) + body


@pytest.fixture
def store(tmp_path: Path) -> TreeStore:
    store = opened(tmp_path / "tlog")
    grow(store, 50)
    return store


async def test_a_witness_cosigns_a_growing_log(tmp_path: Path, store: TreeStore) -> None:
    async with open_witness(tmp_path / "w") as url:
        for old, size in ((0, 50), (50, 51), (51, 400), (400, 400)):
            if store.size < size:
                grow(store, size)
            lines = await ask(url, store, old)
            assert store.note is not None
            store.publish(with_cosignatures(store.note, lines), keep=True, durable=True)
            assert store.note is not None
            assert list(cosignatures(parse_note(store.note), [WITNESS_KEY.verifier])) == [
                WITNESS_KEY.verifier
            ]


async def test_a_witness_that_remembers_another_size_is_asked_again_from_there(
    tmp_path: Path, store: TreeStore
) -> None:
    async with open_witness(tmp_path / "w") as url:
        await ask(url, store)
        grow(store, 300)
        assert await ask(url, store, 7)
        grow(store, 301)
        assert await ask(url + "/", store, 9999), "a size beyond our own is not asked for"


async def test_a_log_that_went_back_is_told_by_its_witness(tmp_path: Path, store: TreeStore) -> None:
    shorter = opened(tmp_path / "restored")
    grow(shorter, 20)
    async with open_witness(tmp_path / "w") as url:
        await ask(url, store)
        with pytest.raises(WitnessAhead, match="at size 50, and it has 20 here") as caught:
            await ask(url, shorter)
    assert (caught.value.theirs, caught.value.ours) == (50, 20)


async def test_a_fork_gets_no_cosignature(tmp_path: Path, store: TreeStore) -> None:
    fork = TreeStore(REAL_FILES, tmp_path / "fork")
    fork.append([b"another"] * 60)
    size, root = fork.head()
    fork.publish(sign_checkpoint(Checkpoint(ORIGIN, size, root), [LOG]))
    async with open_witness(tmp_path / "w") as url:
        await ask(url, store)
        with pytest.raises(WitnessRefused, match="answered 422: consistency") as caught:
            await ask(url, fork)
    assert caught.value.status == 422


async def test_a_witness_that_does_not_know_the_log_refuses(tmp_path: Path, store: TreeStore) -> None:
    other = parse_signer(encode_signer("other", KeyType.ED25519, bytes(32)))
    async with open_witness(tmp_path / "w", other.verifier) as url:
        with pytest.raises(WitnessRefused, match="404"):
            await ask(url, store)


def line_of(signer: SignerKey, size: int = 50) -> bytes:
    return cosign(Checkpoint(ORIGIN, size, root_at(size)).text, signer, NOW_S).line.encode()


async def test_only_lines_of_known_keys_are_taken(store: TreeStore) -> None:
    async with peer(answer(b"200 OK", line_of(STRANGER) + line_of(WITNESS_KEY))) as (url, asked):
        lines = await ask(url, store)
    assert [line.name for line in lines] == ["w.example/1"]
    assert asked[0].startswith(b"POST /w/add-checkpoint HTTP/1.1\r\n")
    assert asked[0].endswith(b"\r\n\r\nold 0\n\n" + note_at(50))


@pytest.mark.parametrize(
    ("wire", "why"),
    [
        (answer(b"200 OK", line_of(STRANGER)), "cosigned with keys we do not know"),
        (answer(b"200 OK", line_of(WITNESS_KEY, 49)), "no valid cosignature"),
        (answer(b"200 OK", b""), "no valid cosignature"),
        (answer(b"200 OK", b"\x1b[2J\n"), "no valid cosignature"),
        (answer(b"200 OK", line_of(WITNESS_KEY), b"Content-Encoding: gzip\r\n"), "answered compressed"),
        (answer(b"200 OK", b"x" * (MAX_ANSWER_BYTES + 1)), "answered more than"),
        (answer(b"302 Found", b"", b"Location: http://127.0.0.1:1/\r\n"), "answered 302: nothing"),
        (answer(b"403 Forbidden", b"\x1b[2Jno\xff" + b"y" * 1000), r"answered 403:  ?\[2Jno"),
        (answer(b"409 Conflict", b"many\n"), "answered 409 without a size: many"),
        (answer(b"409 Conflict", b"\xff\n"), "answered 409 without a size"),
        (answer(b"409 Conflict", b"7\n"), "names another size at every request"),
        (answer(b"409 Conflict", b"9223372036854775807\n"), "went back"),
        (b"nonsense\r\n\r\n", "RemoteProtocolError"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nx", "RemoteProtocolError"),
        (b"", "RemoteProtocolError"),
    ],
)
async def test_any_other_answer_is_no_cosignature(store: TreeStore, wire: bytes, why: str) -> None:
    async with peer(wire) as (url, asked):
        with pytest.raises(WitnessFailed, match=why) as caught:
            await ask(url, store)
        assert len(asked) <= 2
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


async def test_a_silent_witness_is_left_at_the_deadline(store: TreeStore) -> None:
    async with peer(b"", hold=True) as (url, _):
        with pytest.raises(WitnessFailed, match="did not answer in time"):
            await ask(url, store, deadline_s=0.3)


async def test_a_witness_that_drips_is_left_at_the_deadline(store: TreeStore) -> None:
    drip = b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n" + b"x|pause|" * 200
    async with peer(drip) as (url, _):
        began_s = time.monotonic()
        with pytest.raises(WitnessFailed, match="did not answer in time"):
            await ask(url, store, deadline_s=0.5)
        assert time.monotonic() - began_s < 5


async def test_the_deadline_is_for_both_requests(store: TreeStore) -> None:
    slow = answer(b"409 Conflict", b"|pause|" * 8 + b"7\n")
    slow = slow.replace(b"Content-Length: 58", b"Content-Length: 2")
    async with peer(slow) as (url, _):
        with pytest.raises(WitnessFailed, match="did not answer in time"):
            await ask(url, store, deadline_s=0.45)


async def test_nobody_there_is_an_error_of_its_own_kind(store: TreeStore) -> None:
    for url, why in (
        ("http://127.0.0.1:1", "ConnectError"),
        ("http://127.0.0.1:port", "InvalidURL"),
        ("nothing://x", "UnsupportedProtocol"),
    ):
        with pytest.raises(WitnessFailed, match=why):
            await ask(url, store)


def test_a_ca_file_that_cannot_be_used_is_named(store: TreeStore, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("not a certificate")
    for name, why in (("none.pem", "No such file"), ("ca.pem", "ca.pem: ")):
        with pytest.raises(WitnessFailed, match=why):
            request_cosignatures(
                "https://127.0.0.1:1",
                note_at(50),
                0,
                store.consistency_proof,
                [WITNESS_KEY.verifier],
                ca_file=str(tmp_path / name),
            )
