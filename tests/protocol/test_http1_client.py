"""The client side of protocol.http1: what a broken or hostile API server may send."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.errors import LocalProtocolError
from protocol.events import (
    BodyChunk,
    EndOfBody,
    Event,
    Failed,
    PeerClosed,
    RequestHead,
    ResponseHead,
    Upgraded,
)
from protocol.http1 import Http1Server
from protocol.http1_client import MAX_INTERIM_HEADS, Http1Client
from protocol.http1_states import Phase
from tests.kit.feeding import bytewise, feed, in_two, told
from tests.kit.h11_oracle import read_response
from tests.kit.http1_messages import (
    ACCEPTED_RESPONSES,
    REFUSED_RESPONSES,
    RefusedResponse,
    response,
)

SHORT = 3000
UPGRADE_HEADERS = ((b"connection", b"Upgrade"), (b"upgrade", b"SPDY/3.1"))
SWITCH = response(b"Upgrade: SPDY/3.1", b"Connection: Upgrade", status=b"101 Switching Protocols")


def request(method: bytes = b"GET", **changes: object) -> RequestHead:
    fields: dict[str, object] = {"target": b"/api", "authority": b"k8s:6443", "headers": ()}
    return RequestHead(method, **(fields | changes))  # type: ignore[arg-type]


def asking(head: RequestHead | None = None, client: Http1Client | None = None) -> Http1Client:
    """A client whose request without body is on its way."""
    client = client or Http1Client()
    client.send(head or request())
    client.send(EndOfBody())
    client.data_to_send()
    return client


def upgrading() -> Http1Client:
    return asking(request(b"POST", upgrade=b"spdy/3.1", headers=UPGRADE_HEADERS))


def failure(events: list[Event]) -> Failed:
    assert isinstance(events[-1], Failed), events
    return events[-1]


# --- responses ------------------------------------------------------------------------------


@pytest.mark.parametrize("case", REFUSED_RESPONSES, ids=lambda case: case.label[:60])
def test_an_unclear_response_is_refused_and_its_connection_not_used_again(case: RefusedResponse) -> None:
    client = asking()
    failure(client.receive(case.wire))
    assert not client.reusable
    assert client.receive(response(b"Content-Length: 0")) == []
    with pytest.raises(LocalProtocolError):
        client.send(request())


@pytest.mark.parametrize(
    "case", [c for c in REFUSED_RESPONSES if len(c.wire) < SHORT], ids=lambda case: case.label[:60]
)
def test_a_refusal_does_not_depend_on_how_the_bytes_were_cut(case: RefusedResponse) -> None:
    expected = told(asking().receive(case.wire))
    assert told(feed(asking(), bytewise(case.wire))) == expected
    for reads in in_two(case.wire):
        assert told(feed(asking(), reads)) == expected


@pytest.mark.parametrize("wire", ACCEPTED_RESPONSES, ids=lambda wire: repr(wire[:70]))
def test_h11_reads_what_we_accept_in_the_same_way(wire: bytes) -> None:
    events = asking().receive(wire)
    assert told(feed(asking(), bytewise(wire))) == told(events)
    for reads in in_two(wire):
        assert told(feed(asking(), reads)) == told(events)
    head = events[0]
    assert isinstance(head, ResponseHead)
    assert events[-1] == EndOfBody()
    oracle = read_response(wire, b"GET", ended=False)
    assert oracle is not None
    assert oracle.complete
    assert oracle.body == b"".join(event.data for event in events if isinstance(event, BodyChunk))
    assert head.status == oracle.status
    assert head.headers == tuple(field for field in oracle.headers if field[0] != b"x-secret")


def test_a_response_says_how_long_it_will_be_if_it_knows() -> None:
    (head, *_) = asking().receive(response(b"Content-Length: 3", b"A: b"))
    assert head == ResponseHead(200, ((b"a", b"b"),), content_length=3)
    (head, *_) = asking().receive(response(b"Transfer-Encoding: chunked"))
    assert head == ResponseHead(200, content_length=None)


@pytest.mark.parametrize(
    "wire",
    [response(b"Content-Length: 17"), response(b"Transfer-Encoding: chunked"), response()],
    ids=["length", "chunked", "neither"],
)
def test_a_response_to_head_has_no_body(wire: bytes) -> None:
    client = asking(request(b"HEAD"))
    head, end = client.receive(wire)
    assert isinstance(head, ResponseHead)
    assert head.content_length == (17 if b"17" in wire else None)
    assert end == EndOfBody()
    assert client.reusable


def test_a_304_has_the_length_of_what_it_stands_for_and_no_body() -> None:
    client = asking()
    head, end = client.receive(response(b"Content-Length: 17", status=b"304 Not Modified"))
    assert (head, end) == (ResponseHead(304, content_length=17), EndOfBody())
    assert client.reusable


def test_a_body_without_framing_ends_with_the_connection() -> None:
    client = asking()
    assert client.receive(response(body=b"abc")) == [ResponseHead(200), BodyChunk(b"abc")]
    assert client.receive(b"def") == [BodyChunk(b"def")]
    assert client.receive(b"") == [EndOfBody()]
    assert not client.reusable


def test_a_body_that_fills_a_read_is_passed_on_without_a_copy() -> None:
    client = asking()
    client.receive(response(b"Content-Length: 200000"))
    data = bytes(65536)
    (event,) = client.receive(data)
    assert isinstance(event, BodyChunk)
    assert event.data is data


@pytest.mark.parametrize("wire", ACCEPTED_RESPONSES, ids=lambda wire: repr(wire[:70]))
def test_a_truncated_response_is_a_failure(wire: bytes) -> None:
    for at in range(1, len(wire)):
        client = asking()
        before = client.receive(wire[:at])
        assert EndOfBody() not in before
        failure(client.receive(b""))
        assert not client.reusable


# --- informational responses and upgrades ---------------------------------------------------


def test_a_few_informational_responses_are_swallowed_for_each_request() -> None:
    client = Http1Client()
    for _ in range(3):
        wire = response(status=b"100 Continue") * MAX_INTERIM_HEADS + response(b"Content-Length: 0")
        assert asking(client=client).receive(wire) == [ResponseHead(200, content_length=0), EndOfBody()]
    failure(asking(client=client).receive(response(status=b"102 Processing") * (MAX_INTERIM_HEADS + 1)))


def test_an_upgrade_that_was_asked_for_hands_over_what_follows() -> None:
    client = upgrading()
    (event,) = client.receive(SWITCH + b"\x80\x03")
    assert event == Upgraded(
        ResponseHead(101, ((b"connection", b"Upgrade"), (b"upgrade", b"SPDY/3.1"))), b"\x80\x03"
    )
    assert not client.reusable
    assert (client.request_phase, client.response_phase) == (Phase.RAW, Phase.RAW)
    with pytest.raises(LocalProtocolError):
        client.receive(b"x")
    with pytest.raises(LocalProtocolError):
        client.send(request())
    for reads in in_two(SWITCH):
        client = upgrading()
        assert [event for data in reads for event in client.receive(data)] == [Upgraded(event.head, b"")]


def test_an_upgrade_may_follow_a_continue_and_come_before_our_end_of_body() -> None:
    client = Http1Client()
    client.send(request(b"POST", upgrade=b"spdy/3.1", headers=UPGRADE_HEADERS))
    (event,) = client.receive(response(status=b"100 Continue") + SWITCH)
    assert isinstance(event, Upgraded)


@pytest.mark.parametrize(
    "fields",
    [
        (b"Upgrade: websocket", b"Connection: Upgrade"),
        (b"Upgrade: h2c", b"Connection: Upgrade"),
        (b"Upgrade: SPDY/3.1, websocket", b"Connection: Upgrade"),
        (b"Upgrade: SPDY/3.1", b"Upgrade: SPDY/3.1", b"Connection: Upgrade"),
        (b"Upgrade: SPDY/3.1",),
        (b"Upgrade: SPDY/3.1", b"Connection: close"),
        (b"Connection: Upgrade",),
        (b"Upgrade: SPDY/3.1", b"Connection: Upgrade", b"Content-Length: 3"),
        (b"Upgrade: SPDY/3.1", b"Connection: Upgrade", b"Transfer-Encoding: chunked"),
    ],
)
def test_a_switch_to_anything_but_what_was_asked_for_is_refused(fields: tuple[bytes, ...]) -> None:
    failure(upgrading().receive(response(*fields, status=b"101 Switching Protocols")))


def test_a_refused_upgrade_is_a_response_and_its_connection_not_used_again() -> None:
    client = upgrading()
    events = client.receive(response(b"Content-Length: 2", status=b"403 Forbidden", body=b"no"))
    assert events == [ResponseHead(403, content_length=2), BodyChunk(b"no"), EndOfBody()]
    assert not client.reusable


# --- reuse ----------------------------------------------------------------------------------


def test_a_connection_carries_one_exchange_after_the_other() -> None:
    client = Http1Client()
    assert client.reusable
    for n in range(3):
        client.send(request(b"POST", content_length=3))
        assert not client.reusable
        client.send(BodyChunk(b"abc"))
        client.send(EndOfBody())
        assert client.data_to_send().endswith(b"Content-Length: 3\r\n\r\nabc")
        client.receive(response(b"Content-Length: 1"))
        assert not client.reusable
        assert client.receive(b"%d" % n) == [BodyChunk(b"%d" % n), EndOfBody()]
        assert client.reusable


def test_a_request_of_unknown_length_is_chunked() -> None:
    client = Http1Client()
    client.send(request(b"POST", content_length=None))
    client.send(BodyChunk(b"abc"))
    client.send(EndOfBody())
    assert client.data_to_send() == (
        b"POST /api HTTP/1.1\r\nHost: k8s:6443\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    )


@pytest.mark.parametrize(
    "after",
    [response(b"Content-Length: 0", b"Connection: close"), response(b"Content-Length: 0") + b"x"],
    ids=["close", "stray byte"],
)
def test_a_connection_the_server_closes_or_confuses_is_not_used_again(after: bytes) -> None:
    client = asking()
    assert client.receive(after)[-1] == EndOfBody()
    assert not client.reusable
    with pytest.raises(LocalProtocolError):
        client.send(request())


def test_bytes_after_a_response_are_dropped_and_end_the_reuse() -> None:
    """A second response in the same read would answer somebody else's next request."""
    client = asking()
    assert client.receive(response(b"Content-Length: 0"))[-1] == EndOfBody()
    assert client.reusable
    assert client.receive(response(b"Content-Length: 5", body=b"evil!")) == []
    assert not client.reusable
    assert client.receive(b"") == [PeerClosed()]
    assert client.receive(b"") == []


def test_a_last_request_of_ours_ends_the_reuse() -> None:
    client = asking(request(wants_close=True))
    client.receive(response(b"Content-Length: 0"))
    assert not client.reusable


def test_a_server_that_speaks_first_is_refused() -> None:
    client = Http1Client()
    failure(client.receive(response(b"Content-Length: 0")))
    assert not client.reusable


def test_an_idle_connection_that_ends_is_not_used_again() -> None:
    client = Http1Client()
    assert client.receive(b"") == [PeerClosed()]
    assert not client.reusable
    client = asking()
    client.receive(response(b"Content-Length: 0"))
    assert client.receive(b"") == [PeerClosed()]
    assert not client.reusable


def test_an_answer_before_the_request_is_complete_ends_the_reuse_unless_it_is_completed() -> None:
    client = Http1Client()
    client.send(request(b"POST", content_length=3))
    assert client.receive(response(b"Content-Length: 0", status=b"413 X"))[-1] == EndOfBody()
    assert not client.reusable
    with pytest.raises(LocalProtocolError):
        client.send(request())
    client.send(BodyChunk(b"abc"))
    client.send(EndOfBody())
    assert client.reusable


def test_whether_any_byte_came_tells_a_lost_request_from_a_lost_answer() -> None:
    client = asking()
    assert not client.response_begun
    failure(client.receive(b""))
    assert not client.response_begun
    client = asking()
    client.receive(b"H")
    assert client.response_begun
    client = asking()
    client.receive(response(b"Content-Length: 0"))
    asking(client=client)
    assert not client.response_begun


@pytest.mark.parametrize(
    "events",
    [
        (BodyChunk(b"x"),),
        (EndOfBody(),),
        (ResponseHead(200),),
        (request(), request()),
        (request(), BodyChunk(b"x")),
        (request(content_length=2), BodyChunk(b"x"), EndOfBody()),
        (request(content_length=2), BodyChunk(b"xyz")),
        (request(), EndOfBody(), EndOfBody()),
        (request(), EndOfBody(), BodyChunk(b"x")),
        (request(headers=((b"a", b"b\r\nc: d"),)),),
    ],
    ids=repr,
)
def test_events_out_of_order_are_a_bug_of_ours(events: tuple[Event, ...]) -> None:
    client = Http1Client()
    for event in events[:-1]:
        client.send(event)
    with pytest.raises(LocalProtocolError):
        client.send(events[-1])


# --- properties -----------------------------------------------------------------------------

SPLICES = st.sampled_from(
    [
        b"\r\n", b"\n", b"\r", b" ", b"\x00", b":", b",", b"0", b"\xff", b"\r\n\r\n", b"0\r\n\r\n", b"Content-Length: 3\r\n",
        b"Transfer-Encoding: chunked\r\n", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"Connection: close\r\n",
        b"3\r\nabc\r\n", b"X: y\r\n", b"HTTP/1.1 204 No Content\r\n\r\n", b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\n",
    ]
)  # fmt: skip


@st.composite
def mutated_responses(draw: st.DrawFn) -> bytes:
    wire = draw(st.sampled_from(ACCEPTED_RESPONSES))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(wire)))
        wire = (
            wire[:at] + draw(st.one_of(SPLICES, st.binary(max_size=3))) + wire[at + draw(st.integers(0, 6)) :]
        )
    return wire


@given(mutated_responses(), st.sampled_from([b"GET", b"HEAD"]), st.integers(1, 50))
@settings(max_examples=500, deadline=None)
def test_damaged_responses_never_raise_nor_depend_on_cuts_nor_surprise_h11(
    wire: bytes, method: bytes, size: int
) -> None:
    reads = [wire[at : at + size] for at in range(0, len(wire), size)]
    client = asking(request(method))
    whole = [event for data in (wire, b"") if data or wire for event in client.receive(data)]
    assert told(feed(asking(request(method)), [*reads, *([b""] if wire else [])])) == told(whole)
    if EndOfBody() in whole and isinstance(whole[0], ResponseHead):
        oracle = read_response(wire, method, ended=True)
        assert oracle is not None
        body = b"".join(event.data for event in whole if isinstance(event, BodyChunk))
        assert (whole[0].status, body) == (oracle.status, oracle.body)
        assert set(whole[0].headers) <= set(oracle.headers)


@given(
    st.sampled_from([b"GET", b"POST", b"PUT", b"PATCH", b"DELETE"]),
    st.lists(st.binary(min_size=1, max_size=100), max_size=6),
    st.lists(st.binary(min_size=1, max_size=100), max_size=6),
    st.booleans(),
    st.integers(1, 64),
)
@settings(max_examples=300, deadline=None)
def test_our_client_and_our_server_understand_each_other(
    method: bytes, asked: list[bytes], answered: list[bytes], with_length: bool, size: int
) -> None:
    client, server = Http1Client(), Http1Server()
    length = len(b"".join(asked)) if with_length else None
    head = RequestHead(method, b"/api?a=b", b"k8s:6443", ((b"a", b"b"), (b"a", b"c")), content_length=length)
    answer = ResponseHead(
        200, ((b"x", b"\xc3\xa9"),), content_length=len(b"".join(answered)) if with_length else None
    )
    for _ in range(2):
        for event in (head, *map(BodyChunk, asked), EndOfBody()):
            client.send(event)
        wire = client.data_to_send()
        body = [BodyChunk(b"".join(asked))] if asked else []
        assert feed(server, [wire[at : at + size] for at in range(0, len(wire), size)]) == [
            head,
            *body,
            EndOfBody(),
        ]
        for event in (answer, *map(BodyChunk, answered), EndOfBody()):
            server.send(event)
        wire = server.data_to_send()
        body = [BodyChunk(b"".join(answered))] if answered else []
        assert feed(client, [wire[at : at + size] for at in range(0, len(wire), size)]) == [
            answer,
            *body,
            EndOfBody(),
        ]
        assert client.reusable
        assert not server.must_close
        assert server.next_request() == []


def test_what_is_left_of_a_body_is_known_while_it_comes() -> None:
    client = asking(request())
    assert client.body_left_bytes is None
    client.receive(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab")
    assert client.body_left_bytes == 3
    client.receive(b"cde")
    assert client.body_left_bytes is None
    client = asking(request())
    client.receive(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert client.body_left_bytes is None
