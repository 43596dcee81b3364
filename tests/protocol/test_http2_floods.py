"""Every known flood over HTTP/2 ends the connection within a stated number of frames."""

from collections.abc import Callable, Iterator
from itertools import count

import pytest

from protocol.errors import Flooding
from protocol.events import BodyChunk, EndOfBody, Event, Failed, ResponseHead, StreamRefused
from protocol.http2 import MAX_QUEUED_BYTES, Http2Server
from protocol.http2_budgets import ALLOWANCES, Waste
from protocol.http2_setup import MAX_CONCURRENT_STREAMS
from tests.kit import h2_wire as wire

Attack = Callable[[], Iterator[bytes]]


def odd() -> Iterator[int]:
    return count(1, 2)


def forever(frame: bytes, *, first: bytes = b"") -> Attack:
    def attack() -> Iterator[bytes]:
        yield first or frame
        while True:
            yield frame

    return attack


def per_stream(make: Callable[[int], bytes]) -> Attack:
    return lambda: (make(stream_id) for stream_id in odd())


GET, POST = list(wire.GET), list(wire.POST)
OPEN = wire.headers(1, POST, end=False)
RESETS = ALLOWANCES[Waste.RESET].base + MAX_CONCURRENT_STREAMS + 1

ATTACKS: dict[str, tuple[Attack, int]] = {
    "rapid reset (CVE-2023-44487)": (per_stream(lambda n: wire.headers(n, GET) + wire.reset(n)), RESETS),
    "MadeYouReset by DATA after END_STREAM (CVE-2025-8671)": (
        per_stream(lambda n: wire.headers(n, GET) + wire.data(n, b"x")),
        RESETS,
    ),
    "MadeYouReset by HEADERS after END_STREAM": (
        per_stream(lambda n: wire.headers(n, GET) + wire.headers(n, GET)),
        RESETS,
    ),
    "MadeYouReset by a window overflow": (
        per_stream(lambda n: wire.headers(n, GET) + wire.window_update(n, 2**31 - 1)),
        RESETS,
    ),
    "MadeYouReset by an increment of 0": (
        per_stream(lambda n: wire.headers(n, GET) + wire.window_update(n, 0)),
        RESETS,
    ),
    "MadeYouReset by content-length": (
        per_stream(
            lambda n: wire.headers(n, [*POST, (b"content-length", b"1")], end=False) + wire.data(n, b"xx")
        ),
        RESETS,
    ),
    "MadeYouReset by trailers": (
        per_stream(lambda n: wire.headers(n, POST, end=False) + wire.headers(n, [(b"x", b"y")])),
        RESETS,
    ),
    "malformed requests": (per_stream(lambda n: wire.headers(n, [*GET, (b"upgrade", b"x")])), RESETS),
    "streams that are never finished": (per_stream(lambda n: wire.headers(n, POST, end=False)), RESETS),
    "PING": (forever(wire.ping()), 101),
    "PING answers": (forever(wire.ping(ack=True)), 101),
    "SETTINGS": (forever(wire.settings({4: 65535})), 20),
    "SETTINGS answers": (forever(wire.settings(ack=True)), 20),
    "GOAWAY": (forever(wire.goaway()), 20),
    "empty DATA (CVE-2019-9518)": (forever(wire.data(1, b""), first=OPEN), 202),
    "padding only": (forever(wire.data(1, b"", padding=255), first=OPEN), 202),
    "DATA of one byte": (forever(wire.data(1, b"x"), first=OPEN), 203),
    "PRIORITY (CVE-2019-9513)": (forever(wire.priority(1)), 101),
    "PRIORITY_UPDATE": (forever(wire.raw(16, 0, 0, b"\x00\x00\x00\x01u=1")), 101),
    "WINDOW_UPDATE": (forever(wire.window_update(0, 1)), 201),
    "WINDOW_UPDATE on a closed stream": (
        forever(wire.window_update(1, 1), first=wire.headers(1, GET) + wire.reset(1)),
        202,
    ),
    "unknown frames": (forever(wire.raw(0xBC, 0, 0, b"")), 101),
    "CONTINUATION without end (CVE-2024-27316)": (
        forever(wire.continuation(1, b"", whole=False), first=wire.headers_frame(1, b"", whole=False)),
        10,
    ),
    "RST_STREAM on a closed stream": (
        forever(wire.reset(1), first=wire.headers(1, GET) + wire.reset(1)),
        202,
    ),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_a_flood_ends_the_connection_within_its_budget(name: str) -> None:
    attack, most = ATTACKS[name]
    server = wire.open_server()
    for sent, frames in enumerate(attack(), start=1):
        events = server.receive(frames)
        server.data_to_send()
        if events and isinstance(events[-1], Failed):
            break
        assert sent <= most, "not contained"
    assert sent <= most
    assert server.receive(wire.ping()) == []
    assert server.data_to_send() == b""


@pytest.mark.parametrize("name", ATTACKS)
def test_a_flood_in_one_read_does_no_more(name: str) -> None:
    attack, _ = ATTACKS[name]
    frames = attack()
    server = wire.open_server()
    events = server.receive(b"".join(next(frames) for _ in range(1000)))
    assert isinstance(events[-1], Failed)
    (goaway,) = wire.goaways_of(server.data_to_send())
    assert goaway[1] == 11
    assert events[-1].error.status_hint == 400


def test_a_rapid_reset_client_whose_streams_are_released_is_stopped_all_the_same() -> None:
    server = wire.open_server()
    sent = 0
    events: list[Event] = []
    while not (events and isinstance(events[-1], Failed)):
        stream_id = 2 * sent + 1
        events = server.receive(wire.headers(stream_id, GET) + wire.reset(stream_id))
        server.release(stream_id)
        sent += 1
    assert sent == ALLOWANCES[Waste.RESET].base + 1
    assert isinstance(events[-1].error, Flooding)


def test_no_more_work_runs_than_places_exist_however_fast_a_client_resets() -> None:
    server = wire.open_server()
    started = 0
    for stream_id in odd():
        events = server.receive(wire.headers(stream_id, GET) + wire.reset(stream_id))
        started += any(not isinstance(event, Failed) for event in events)
        server.refill()  # even if the budgets never ran out
        if stream_id > 2000:
            break
    assert started == MAX_CONCURRENT_STREAMS


def answer(server: Http2Server, stream_id: int) -> None:
    server.send(ResponseHead(200, stream_id=stream_id))
    server.send(BodyChunk(b"x" * 2000, stream_id))
    server.send(EndOfBody(stream_id))


def test_a_client_that_resets_every_other_stream_after_its_answers_may_go_on() -> None:
    server = wire.open_server()
    for stream_id in range(1, 8000, 4):
        server.receive(wire.headers(stream_id, GET) + wire.window_update(0, 2000))
        answer(server, stream_id)
        server.receive(wire.headers(stream_id + 2, GET) + wire.reset(stream_id + 2))
        server.release(stream_id + 2)
        server.data_to_send()
    assert server.receive(wire.headers(9001, GET))


def test_a_watching_client_may_ping_all_day() -> None:
    server = wire.open_server()
    server.receive(wire.headers(1, GET))
    for _ in range(1000):
        assert server.receive(wire.ping()) == []
        server.refill()
        server.data_to_send()


def test_a_client_that_reads_a_large_answer_may_return_credit_as_go_does() -> None:
    server = wire.open_server()
    server.receive(wire.headers(1, GET))
    server.send(ResponseHead(200, stream_id=1))
    for _ in range(2000):  # 8 MiB in steps of 4 KiB, credit for stream and connection after each
        server.send(BodyChunk(b"x" * 4096, 1))
        server.data_to_send()
        assert len(server.receive(wire.window_update(1, 4096) + wire.window_update(0, 4096))) == 2


def test_a_client_that_drops_all_its_watches_at_once_may_go_on() -> None:
    server = wire.open_server()
    for index in range(MAX_CONCURRENT_STREAMS):
        server.receive(wire.headers(2 * index + 1, GET))
    for index in range(MAX_CONCURRENT_STREAMS):
        server.receive(wire.reset(2 * index + 1))
        server.release(2 * index + 1)
    assert server.receive(wire.headers(2001, GET))


def test_a_body_in_small_pieces_is_no_flood() -> None:
    server = wire.open_server()
    server.receive(OPEN)
    for _ in range(3000):
        (chunk,) = server.receive(wire.data(1, b"x" * 64))
        assert isinstance(chunk, BodyChunk)
        server.consumed(1, chunk.flow_bytes)


def test_an_upload_answered_early_is_no_flood() -> None:
    server = wire.open_server()
    for stream_id in range(1, 400, 2):
        server.receive(wire.headers(stream_id, POST, end=False) + wire.window_update(0, 2000))
        answer(server, stream_id)
        for _ in range(16):
            assert server.receive(wire.data(stream_id, b"x" * 1000)) == []
        server.receive(wire.reset(stream_id))
        server.data_to_send()


def test_a_client_that_never_reads_what_it_makes_us_answer_is_cut_off() -> None:
    server = wire.open_server()
    pings = 0
    while True:
        pings += 1
        if pings % 50 == 0:
            server.refill()
        events = server.receive(wire.ping())
        if events:
            break
    assert "does not read" in wire.why_failed(events)
    assert pings <= MAX_QUEUED_BYTES // 17 + 2
    assert len(server.data_to_send()) <= MAX_QUEUED_BYTES + 100


def test_a_small_block_that_inflates_is_refused_per_stream_then_as_a_flood() -> None:
    server = wire.open_server()
    block = wire.plain_block(GET) + b"\x40\x01x\x01y" + b"\xbe" * 150
    refused = 0
    for stream_id in odd():
        events = server.receive(wire.headers_frame(stream_id, block))
        if any(isinstance(event, Failed) for event in events):
            break
        refused += any(isinstance(event, StreamRefused) for event in events)
        server.data_to_send()
    assert refused == MAX_CONCURRENT_STREAMS
    assert stream_id <= 2 * RESETS
