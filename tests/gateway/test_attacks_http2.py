"""HTTP/2 attacks over real TLS (F1 to F10), each with a victim on another connection who is still served."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from storage.records import Outcome
from tests.kit import h2_wire as wire
from tests.kit.gateway_rig import Rig, open_rig
from tests.kit.h2_client import open_h2
from tests.kit.orc import CHUNKED, OrcConnection, SeenRequest, answer, chunk, says
from tests.kit.raw_client import RawClient

PODS = b"/api/v1/namespaces/default/pods"


def fields(rig: Rig, method: bytes = b"GET", target: bytes = PODS, *more: tuple[bytes, bytes]) -> wire.Fields:
    return (
        (b":method", method),
        (b":scheme", b"https"),
        (b":authority", rig.host),
        (b":path", target),
        (b"authorization", b"Bearer " + rig.token),
        *more,
    )


@asynccontextmanager
async def attacker(rig: Rig) -> AsyncIterator[RawClient]:
    async with rig.client(["h2"]) as client:
        await client.send(wire.PREFACE + wire.settings() + wire.settings(ack=True))
        yield client


async def send_until_closed(client: RawClient, pieces: Sequence[bytes]) -> bytes:
    """All of it, reading meanwhile; what came back until the gateway closed the connection."""
    async with trio.open_nursery() as nursery:

        async def send() -> None:
            try:
                for piece in pieces:
                    await client.send(piece)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass

        nursery.start_soon(send)
        received = await client.rest()
        nursery.cancel_scope.cancel()
    return received


async def assert_victim_served(rig: Rig) -> None:
    assert (await rig.ask(b"GET", PODS + b"/victim")).status == 200
    async with open_h2(rig) as victim:
        assert (await victim.ask(b"GET", PODS + b"/victim")).status == 200


def floods(rig: Rig) -> dict[str, list[bytes]]:
    get = [wire.headers(number, fields(rig)) for number in range(1, 4001, 2)]
    reset = [piece + wire.reset(number) for number, piece in zip(range(1, 4001, 2), get, strict=True)]
    overflow = [
        piece + wire.window_update(n, 2**31 - 1) for n, piece in zip(range(1, 4001, 2), get, strict=True)
    ]
    posts = [wire.headers(n, fields(rig, b"POST"), end=False) for n in range(1, 4001, 2)]
    after_end = [
        p + wire.data(n, b"", end=True) + wire.data(n, b"x")
        for n, p in zip(range(1, 4001, 2), posts, strict=True)
    ]
    bomb = wire.headers_frame(
        1, wire.plain_block(fields(rig)) + b"\x40\x01x\x7f\xe1\x1e" + b"y" * 4000 + b"\xbe" * 12000
    )
    endless = [wire.headers_frame(1, wire.plain_block(fields(rig)), whole=False)]
    return {
        "F1 rapid reset": reset,
        "F2 made you reset": overflow,
        "F2 data after the end": after_end,
        "F3 empty continuations": endless + [wire.continuation(1, b"", whole=False)] * 5000,
        "F3 endless continuations": endless
        + [wire.continuation(1, b"\x00\x01x\x7f\x80\x7f" + b"y" * 255, whole=False)] * 5000,
        "F4 hpack bomb": [bomb] + [wire.headers_frame(n, b"\xbe" * 16000) for n in range(3, 200, 2)],
        "F5 settings": [wire.settings({3: 100})] * 5000,
        "F5 ping": [wire.ping()] * 20000,
        "F5 priority": [wire.priority(1)] * 20000,
        "F5 window updates": [wire.window_update(0, 1)] * 20000,
        "F5 empty data": [wire.headers(1, fields(rig, b"POST"), end=False)] + [wire.data(1, b"")] * 20000,
        "F5 unknown frames": [wire.raw(0xBE, 0, 0, b"x" * 10)] * 20000,
        "F2 zero increment": [wire.headers(1, fields(rig)), wire.window_update(0, 0)],
        "even stream": [wire.headers(2, fields(rig))],
        "push promise": [wire.raw(5, 4, 1, b"\0\0\0\2")],
        "huge frame": [wire.raw(0, 0, 1, b"")[:0] + b"\xff\xff\xff\0\0\0\0\0\1"],
        "no preface": [b"GET / HTTP/1.1\r\n\r\n"],
    }


@pytest.mark.parametrize("name", [
    "F1 rapid reset", "F2 made you reset", "F2 data after the end", "F3 empty continuations", "F3 endless continuations", "F4 hpack bomb",
    "F5 settings", "F5 ping", "F5 priority", "F5 window updates", "F5 empty data", "F5 unknown frames", "F2 zero increment", "even stream",
    "push promise", "huge frame", "no preface",
])  # fmt: skip
async def test_a_flood_ends_its_connection_and_nobody_elses(tmp_path: Path, name: str) -> None:
    async with open_rig(tmp_path, deadline_s=30) as rig:
        async with open_h2(rig) as victim:
            async with attacker(rig) as client:
                pieces = floods(rig)[name]
                batches = [b"".join(pieces[start : start + 50]) for start in range(0, len(pieces), 50)]
                with trio.fail_after(10):
                    await send_until_closed(client, batches)
            assert (await victim.ask(b"GET", PODS + b"/victim")).status == 200
        await assert_victim_served(rig)
        with trio.fail_after(5):
            await rig.ended()
        for exchange in await rig.exchanges():
            assert exchange.intent
            assert len(exchange.all(Outcome)) == 1


@pytest.mark.parametrize("method", [b"GET", b"DELETE"])
async def test_f1_what_a_client_takes_back_at_once_is_recorded_and_reaches_nobody(
    tmp_path: Path, method: bytes
) -> None:
    async with open_rig(tmp_path) as rig:
        async with attacker(rig) as client:
            call = fields(rig, method, PODS + b"/taken-back")
            await client.send(b"".join(wire.headers(n, call) + wire.reset(n) for n in range(1, 100, 2)))
            await rig.ended(lambda: len(rig.left()) == 50)
            await rig.ended()
        await assert_victim_served(rig)
        assert {request.target for request in rig.orc.requests} == {PODS + b"/victim"}
        outcomes = [
            one.outcome.result for one in await rig.exchanges() if one.intent.target.endswith(b"back")
        ]
        assert outcomes == ["client-left"] * 50


@pytest.mark.parametrize(
    ("method", "target"),
    [
        (b"GET /x HTTP/1.1\r\nX: y", PODS), (b"GET ", PODS), (b"get", PODS), (b"CONNECT", PODS), (b"TRACE", PODS), (b"GET", b"/a b"),
        (b"GET", b"a"), (b"GET", b"http://evil/a"), (b"GET", b"a@evil"), (b"GET", b""), (b"GET", b"*"), (b"GET", b"/\r\nX: y"),
        (b"GET", b"/api/v1/%2e%2e/x"), (b"OPTIONS", b"*"),
    ],
)  # fmt: skip
async def test_f7_a_pseudo_header_that_would_read_differently_in_http_1_goes_nowhere(
    tmp_path: Path, method: bytes, target: bytes
) -> None:
    async with open_rig(tmp_path) as rig, attacker(rig) as client:
        with trio.move_on_after(0.15):
            await send_until_closed(client, [wire.headers(1, fields(rig, method, target))])
        assert rig.orc.requests == []
        await assert_victim_served(rig)
        for exchange in await rig.exchanges():
            assert exchange.outcome


@pytest.mark.parametrize(
    "more",
    [
        (b"transfer-encoding", b"chunked"), (b"connection", b"close"), (b"content-length", b"5"), (b"X-Upper", b"a"), (b"x", b"a\r\nX: y"),
        (b"x", b"a\0"), (b"x y", b"a"), (b"impersonate-user", b"root"), (b":protocol", b"websocket"), (b"host", b"evil.example"),
        (b"upgrade", b"websocket"), (b"te", b"gzip"), (b"content-encoding", b"gzip"), (b"authorization", b"Bearer x"),
    ],
)  # fmt: skip
async def test_f7_a_field_http_2_must_not_carry_goes_nowhere(
    tmp_path: Path, more: tuple[bytes, bytes]
) -> None:
    async with open_rig(tmp_path) as rig, attacker(rig) as client:
        with trio.move_on_after(0.15):
            await send_until_closed(client, [wire.headers(1, fields(rig, b"GET", PODS, more))])
        assert rig.orc.requests == []
        await assert_victim_served(rig)


async def test_f8_trailers_reach_nobody(tmp_path: Path) -> None:
    async with open_rig(tmp_path) as rig, attacker(rig) as client:
        trailers = wire.headers(1, [(b"impersonate-user", b"root")])
        pieces = [wire.headers(1, fields(rig, b"POST"), end=False), wire.data(1, b"{}"), trailers]
        with trio.move_on_after(0.2):
            await send_until_closed(client, pieces)
        assert all(b"impersonate-user" not in request.names() for request in rig.orc.requests)
        await assert_victim_served(rig)


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
async def test_f6_a_client_that_opens_no_window_is_given_up_and_upstream_was_not_drained(
    tmp_path: Path, method: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.server.http2_request.WRITE_TIMEOUT_S", 0.4)
    sent = 0

    async def large(connection: OrcConnection, request: SeenRequest) -> None:
        nonlocal sent
        if request.target.endswith(b"victim") or request.method == b"HEAD":
            await connection.send(answer(200, b""))
            return
        await connection.send(CHUNKED)
        for _ in range(1600):
            await connection.send(chunk(b"x" * 65536))
            sent += 65536

    async with open_rig(tmp_path, large) as rig:
        async with rig.client(["h2"]) as client:
            await client.send(wire.PREFACE + wire.settings({4: 0}) + wire.settings(ack=True))
            await client.send(wire.headers(1, fields(rig, method)))
            await rig.orc.wait(lambda: rig.orc.requests)
            await rig.ended()
            (exchange,) = await rig.exchanges()
            assert exchange.outcome.result == ("client-left" if method == b"GET" else "completed")
            assert sent < 32 << 20
            await assert_victim_served(rig)


async def test_f6_one_byte_windows_move_one_byte_at_a_time(tmp_path: Path) -> None:
    async with open_rig(tmp_path, says(answer(200, b"abcdef"))) as rig, rig.client(["h2"]) as client:
        await client.send(
            wire.PREFACE + wire.settings({4: 0}) + wire.settings(ack=True) + wire.headers(1, fields(rig))
        )
        await rig.orc.wait(lambda: rig.orc.requests)
        for _ in range(6):
            await client.send(wire.window_update(1, 1))
        received = b""
        while not any(f.stream_id == 1 and "END_STREAM" in f.flags for f in wire.frames_of(received)):
            received += await client.more()
        bodies = [
            f.data
            for f in wire.frames_of(received)
            if f.stream_id == 1 and hasattr(f, "data") and f.type == 0
        ]
        assert b"".join(bodies) == b"abcdef"


async def test_f10_no_mutation_is_sent_twice_over_a_thousand_streams_and_a_goaway(tmp_path: Path) -> None:
    async with open_rig(tmp_path) as rig, open_h2(rig) as client:
        for number in range(150):
            assert (await client.ask(b"POST", PODS + b"/n%d" % number, body=b"{}")).status == 200
        rig.gateway.start_drain()
        await client.wait(lambda: client.goaway is not None)
        targets = [request.target for request in rig.orc.requests]
        assert len(targets) == len(set(targets)) == 150


async def test_unread_bodies_of_refused_calls_give_their_credit_back(tmp_path: Path) -> None:
    """Each is refused before its body is read; ten of them are more than the window of the connection."""
    async with open_rig(tmp_path) as rig, open_h2(rig) as client:
        for _ in range(12):
            heard = await client.ask(b"POST", PODS, (b"content-encoding", b"gzip"), body=b"x" * 200_000)
            assert heard.status == 415
        with trio.fail_after(5):
            assert (await client.ask(b"POST", PODS, body=b"y" * 200_000)).status == 200


async def test_a_body_that_stands_still_is_given_up_with_408(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.server.http2_request.BODY_TIMEOUT_S", 0.2)
    async with open_rig(tmp_path) as rig, open_h2(rig) as client:
        stream_id = await client.begin(b"POST", PODS, body=b"half", end=False)
        assert (await client.answer(stream_id)).status == 408
        assert rig.orc.requests == []
