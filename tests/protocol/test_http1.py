"""The server side, and what both sides share. The client side is in test_http1_client."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.errors import LocalProtocolError, TooLarge
from protocol.events import (
    BodyChunk,
    EndOfBody,
    Event,
    Failed,
    InformationalHead,
    PeerClosed,
    Ping,
    RequestHead,
    ResponseHead,
)
from protocol.http1 import Http1Server
from protocol.http1_heads import REQUEST_LIMITS, Limits
from protocol.http1_states import Phase
from tests.kit.feeding import bytewise, feed, in_two, told
from tests.kit.h11_oracle import read_request, read_response
from tests.kit.http1_messages import (
    ACCEPTED_REQUESTS,
    KUBECTL_CREATE,
    KUBECTL_EXEC_SPDY,
    KUBECTL_EXEC_WEBSOCKET,
    KUBECTL_GET,
    REFUSED_REQUESTS,
    Refused,
    chunked,
    get,
    line,
    post,
)

OK = ResponseHead(200, ((b"content-type", b"text/plain"),), content_length=2)
SHORT = 3000  # bytes: what is longer is not cut at every offset


def served(server: Http1Server, *events: Event) -> bytes:
    for event in events:
        server.send(event)
    return server.data_to_send()


def answer(server: Http1Server, head: ResponseHead = OK, body: bytes = b"ok") -> bytes:
    return served(server, head, BodyChunk(body), EndOfBody())


def failure(events: list[Event]) -> Failed:
    assert isinstance(events[-1], Failed), events
    return events[-1]


# --- what is refused ------------------------------------------------------------------------


@pytest.mark.parametrize("case", REFUSED_REQUESTS, ids=lambda case: case.label[:60])
def test_a_request_two_parsers_could_read_differently_is_refused(case: Refused) -> None:
    server = Http1Server()
    error = failure(server.receive(case.wire)).error
    assert error.status_hint == case.status
    # nothing more is read, and one answer may still say why
    assert server.receive(KUBECTL_GET) == []
    assert server.must_close
    wire = answer(server, ResponseHead(error.status_hint, content_length=2))
    assert wire.startswith(b"HTTP/1.1 %d " % case.status)
    assert b"\r\nConnection: close\r\n" in wire
    with pytest.raises(LocalProtocolError):
        server.next_request()


@pytest.mark.parametrize(
    "case", [c for c in REFUSED_REQUESTS if len(c.wire) < SHORT], ids=lambda case: case.label[:60]
)
def test_a_refusal_does_not_depend_on_how_the_bytes_were_cut(case: Refused) -> None:
    expected = told(Http1Server().receive(case.wire))
    assert told(feed(Http1Server(), bytewise(case.wire))) == expected
    for reads in in_two(case.wire):
        assert told(feed(Http1Server(), reads)) == expected


@pytest.mark.parametrize(
    "case", [c for c in REFUSED_REQUESTS if len(c.wire) >= SHORT], ids=lambda case: case.label[:60]
)
@pytest.mark.parametrize("size", [1000, 1024, 4096, 65536])
def test_a_limit_does_not_depend_on_how_the_bytes_were_cut(case: Refused, size: int) -> None:
    reads = [case.wire[at : at + size] for at in range(0, len(case.wire), size)]
    assert told(feed(Http1Server(), reads)) == told(Http1Server().receive(case.wire))


def test_no_error_repeats_a_value_of_the_client() -> None:
    for case in REFUSED_REQUESTS:
        why = failure(Http1Server().receive(case.wire.replace(b"k8s.example", b"canary.example"))).error.why
        assert "canary" not in why
        assert why.isprintable()
        assert len(why) < 100


def test_a_head_of_exactly_the_limit_passes_and_one_byte_more_does_not() -> None:
    limits = Limits(max_head_bytes=200, max_target_bytes=50, max_fields=10, max_pipelined_bytes=0)
    room = 200 - len(get(b"X: "))
    for reads_of in (lambda wire: [wire], bytewise):
        assert isinstance(feed(Http1Server(limits), reads_of(get(b"X: " + b"y" * room)))[0], RequestHead)
        error = failure(feed(Http1Server(limits), reads_of(get(b"X: " + b"y" * (room + 1))))).error
        assert isinstance(error, TooLarge)
        assert error.status_hint == 431


def test_what_h11_accepts_and_we_refuse() -> None:
    """If a row stops holding, h11 became stricter: the row can go."""
    lenient = [
        post(b"Content-Length: 5", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
        post(b"Content-Length: 3, 3", body=b"abc"),
        post(b"Content-Length: 3", b"Content-Length: 3", body=b"abc"),
        post(b"Content-Length: 003", body=b"abc"),
        post(b"Content-Length: 3", b"Expect: 200-ok", body=b"abc"),
        b"GET / HTTP/1.1\nHost: a\n\n",
        b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n",
        get(b"X: a", b" b"),
        post(b"Transfer-Encoding:", b" chunked", body=b"0\r\n\r\n"),
        b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        chunked(b"3;a=b\r\nabc\r\n0\r\n\r\n"),
        chunked(b"3 \r\nabc\r\n0\r\n\r\n"),
        chunked(b"0000000000000000003\r\nabc\r\n0\r\n\r\n"),
        chunked(b"0\r\nImpersonate-User: root\r\n\r\n"),
        chunked(b"0\r\nHost: evil\r\nContent-Length: 3\r\n\r\n"),
        line(b"get / HTTP/1.1"),
        line(b"G!T / HTTP/1.1"),
        line(b"GET / HTTP/1.2"),
        line(b"GET / HTTP/1.0"),
        line(b"PRI * HTTP/2.0"),
        line(b"GET http://evil/a HTTP/1.1"),
        line(b"GET /a#fragment HTTP/1.1"),
        line(b"OPTIONS * HTTP/1.1"),
        get(host=b"Host:"),
        get(host=b"Host: x/../y z"),
        get(b"X_Remote_User: root"),
        get(b"X: a\x01b"),
        get(b"Connection: Impersonate-User"),
        get(b"Authorization: a", b"Authorization: b"),
        get(*[b"X: y"] * 3000),
    ]
    for wire in lenient:
        assert read_request(wire) is not None, wire[:100]
        failure(Http1Server().receive(wire))


# --- what is accepted -----------------------------------------------------------------------


@pytest.mark.parametrize("wire", ACCEPTED_REQUESTS, ids=lambda wire: repr(wire[:70]))
def test_h11_reads_what_we_accept_in_the_same_way(wire: bytes) -> None:
    head, *rest = Http1Server().receive(wire)
    assert isinstance(head, RequestHead)
    assert rest[-1] == EndOfBody()
    body = b"".join(event.data for event in rest if isinstance(event, BodyChunk))
    oracle = read_request(wire)
    assert oracle is not None
    assert (head.method, head.target, head.headers, body) == (
        oracle.method, oracle.target, oracle.headers, oracle.body
    )  # fmt: skip
    assert head.authority == oracle.host.lower()


@pytest.mark.parametrize(
    "wire", [w for w in ACCEPTED_REQUESTS if len(w) < SHORT], ids=lambda wire: repr(wire[:70])
)
def test_events_do_not_depend_on_how_the_bytes_were_cut(wire: bytes) -> None:
    expected = told(Http1Server().receive(wire))
    assert told(feed(Http1Server(), bytewise(wire))) == expected
    for reads in in_two(wire):
        assert told(feed(Http1Server(), reads)) == expected


def test_a_body_that_fills_a_read_is_passed_on_without_a_copy() -> None:
    server = Http1Server()
    server.receive(post(b"Content-Length: 200000"))
    data = bytes(65536)
    (event,) = server.receive(data)
    assert isinstance(event, BodyChunk)
    assert event.data is data
    assert server.expects_body


def test_many_chunks_of_one_read_are_one_event() -> None:
    events = Http1Server().receive(chunked(b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n"))
    assert events[1:] == [BodyChunk(b"abc"), EndOfBody()]


def test_what_came_before_a_bad_chunk_is_told_before_the_failure() -> None:
    events = Http1Server().receive(chunked(b"3\r\nabc\r\n3;x\r\n"))
    assert isinstance(events[0], RequestHead)
    assert events[1] == BodyChunk(b"abc")
    failure(events)


# --- order of exchanges ---------------------------------------------------------------------


def test_a_hundred_pipelined_requests_are_served_in_order() -> None:
    wire = b"".join(get(target=b"/api/%d" % n) for n in range(100))
    for reads in ([wire], bytewise(wire)):
        server = Http1Server()
        events = [event for data in reads for event in server.receive(data)]
        for n in range(100):
            head, end = events
            assert isinstance(head, RequestHead)
            assert (head.target, end) == (b"/api/%d" % n, EndOfBody())
            assert answer(server).endswith(b"\r\n\r\nok")
            assert not server.must_close
            events = server.next_request()
        assert events == []


def test_a_poisoned_pipelined_request_fails_in_its_turn() -> None:
    server = Http1Server()
    assert len(server.receive(get() + get(b"Transfer-Encoding: chunked", b"Content-Length: 1") + get())) == 2
    assert b"close" not in answer(server)
    failure(server.next_request())
    assert b"Connection: close" in answer(server, ResponseHead(400, content_length=2))
    assert server.must_close


def test_the_next_request_waits_for_the_end_of_the_response() -> None:
    server = Http1Server()
    server.receive(get())
    with pytest.raises(LocalProtocolError):
        server.next_request()
    served(server, OK, BodyChunk(b"ok"))
    with pytest.raises(LocalProtocolError):
        server.next_request()
    served(server, EndOfBody())
    assert server.next_request() == []
    assert (server.request_phase, server.response_phase) == (Phase.HEAD, Phase.IDLE)


def test_requests_that_do_not_wait_are_bounded() -> None:
    limits = Limits(max_head_bytes=1000, max_target_bytes=100, max_fields=10, max_pipelined_bytes=100)
    for reads in ([get() + b"x" * 101], [get(), b"x" * 100, b"x"], bytewise(get() + b"x" * 101)):
        server = Http1Server(limits)
        events = feed(server, reads)
        assert events[1] == EndOfBody()
        assert isinstance(failure(events).error, TooLarge)
        assert server.receive(b"x" * 1000) == []
        assert b"Connection: close" in answer(server)
    assert isinstance(feed(Http1Server(limits), [get() + b"x" * 100])[-1], EndOfBody)


def test_a_refusal_before_the_body_came_ends_the_connection() -> None:
    """Else the rest of the body would be read as the next request (0.CL, body poison)."""
    server = Http1Server()
    server.receive(post(b"Content-Length: 60"))
    answer(server, ResponseHead(403, content_length=2))
    assert server.must_close
    with pytest.raises(LocalProtocolError):
        server.next_request()


def test_the_rest_of_a_body_is_worth_reading_unless_the_connection_ends_anyway() -> None:
    for fields, is_closing in (
        (b"Content-Length: 60", False),
        (b"Content-Length: 60\r\nConnection: close", True),
    ):
        server = Http1Server()
        server.receive(post(fields))
        answer(server, ResponseHead(403, content_length=2))
        assert (server.must_close, server.is_closing) == (True, is_closing)


def test_the_connection_goes_on_if_the_rest_of_the_body_is_read_after_the_response() -> None:
    server = Http1Server()
    poison = get(target=b"/poison")
    server.receive(post(b"Content-Length: %d" % len(poison)))
    answer(server)
    assert server.receive(poison + get(target=b"/next")) == [BodyChunk(poison), EndOfBody()]
    assert not server.must_close
    head = server.next_request()[0]
    assert isinstance(head, RequestHead)
    assert head.target == b"/next"


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"DELETE", b"OPTIONS"])
def test_a_body_on_a_method_without_one_is_a_body(method: bytes) -> None:
    poison = get(target=b"/poison")
    wire = method + b" /api HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(poison) + poison
    assert Http1Server().receive(wire)[1:] == [BodyChunk(poison), EndOfBody()]


# --- continue, close, end of input ----------------------------------------------------------


def test_a_client_that_waits_for_a_100_gets_one() -> None:
    server = Http1Server()
    (head,) = server.receive(post(b"Content-Length: 3", b"Expect: 100-continue"))
    assert isinstance(head, RequestHead)
    assert head.expects_continue
    assert served(server, InformationalHead()) == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert served(server, InformationalHead()) == b""
    assert server.receive(b"abc") == [BodyChunk(b"abc"), EndOfBody()]
    assert b"close" not in answer(server)


def test_a_client_that_does_not_wait_gets_no_100() -> None:
    server = Http1Server()
    server.receive(post(b"Content-Length: 3"))
    assert served(server, InformationalHead()) == b""
    answer(server)
    with pytest.raises(LocalProtocolError):
        server.send(InformationalHead())


def test_a_final_answer_instead_of_a_100_says_close() -> None:
    server = Http1Server()
    server.receive(post(b"Content-Length: 3", b"Expect: 100-continue"))
    assert b"Connection: close" in answer(server, ResponseHead(413, content_length=2))
    assert server.must_close


def test_a_client_that_sent_its_body_anyway_keeps_its_connection() -> None:
    server = Http1Server()
    server.receive(post(b"Content-Length: 3", b"Expect: 100-continue", body=b"abc"))
    assert b"close" not in answer(server)
    assert not server.must_close


@pytest.mark.parametrize("asked_by", ["client", "drain"])
def test_the_last_response_says_close(asked_by: str) -> None:
    server = Http1Server()
    server.receive(get(b"Connection: close") if asked_by == "client" else get())
    if asked_by == "drain":
        assert not server.must_close
        server.close_after_response()
    assert b"\r\nConnection: close\r\n" in answer(server)
    assert server.must_close
    with pytest.raises(LocalProtocolError):
        server.next_request()


def test_a_connection_that_ends_between_requests_ends_in_order() -> None:
    server = Http1Server()
    assert server.receive(b"") == [PeerClosed()]
    assert server.receive(b"") == server.receive(b"x") == []
    assert server.must_close

    server = Http1Server()
    server.receive(get())
    assert server.receive(b"") == [PeerClosed()]  # it may still read the answer
    assert b"Connection: close" in answer(server)


def test_pipelined_requests_are_served_after_the_end_of_input() -> None:
    server = Http1Server()
    server.receive(get() + get())
    assert server.receive(b"") == []
    assert b"close" not in answer(server)
    assert server.next_request()[1:] == [EndOfBody(), PeerClosed()]
    assert b"Connection: close" in answer(server)

    server = Http1Server()
    server.receive(get() + get()[:-1])
    assert server.receive(b"") == []
    answer(server)
    failure(server.next_request())


@pytest.mark.parametrize(
    "wire", [KUBECTL_CREATE, chunked(b"3\r\nabc\r\n0\r\n\r\n")], ids=["length", "chunked"]
)
def test_an_end_of_input_anywhere_within_a_request_is_a_failure(wire: bytes) -> None:
    for at in range(1, len(wire)):
        server = Http1Server()
        server.receive(wire[:at])
        assert failure(server.receive(b"")).error.status_hint == 400, at
    server = Http1Server()
    server.receive(wire)
    assert server.receive(b"") == [PeerClosed()]


def test_a_slow_head_may_be_answered_without_a_request() -> None:
    server = Http1Server()
    server.receive(b"GET / HTTP/1.1\r\nHos")
    with pytest.raises(LocalProtocolError):
        server.send(ResponseHead(200))
    assert b"408 Request Timeout\r\nContent-Length: 2\r\nConnection: close\r\n" in answer(
        server, ResponseHead(408, content_length=2)
    )
    assert server.receive(b"t: a\r\n\r\n") == []
    assert server.must_close


# --- responses ------------------------------------------------------------------------------


def asked(wire: bytes = KUBECTL_GET) -> Http1Server:
    server = Http1Server()
    server.receive(wire)
    return server


def test_a_response_without_a_length_is_chunked() -> None:
    wire = served(
        asked(), ResponseHead(200), BodyChunk(b"abc"), BodyChunk(b""), BodyChunk(b"d" * 16), EndOfBody()
    )
    assert wire == (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3\r\nabc\r\n10\r\ndddddddddddddddd\r\n0\r\n\r\n"
    )  # fmt: skip


@pytest.mark.parametrize(
    "head", [ResponseHead(200, ((b"content-length", b"2"),)), ResponseHead(200, content_length=2)]
)
def test_a_response_with_a_length_has_exactly_that(head: ResponseHead) -> None:
    assert answer(asked(), head) == b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    with pytest.raises(LocalProtocolError, match="longer"):
        answer(asked(), head, b"okay")
    with pytest.raises(LocalProtocolError, match="shorter"):
        answer(asked(), head, b"o")


@pytest.mark.parametrize(
    ("head", "framing"),
    [(ResponseHead(200), b""), (ResponseHead(404, content_length=2), b"Content-Length: 2\r\n")],
)
def test_an_answer_to_head_has_the_head_of_a_get_and_no_body(head: ResponseHead, framing: bytes) -> None:
    wire = answer(asked(line(b"HEAD / HTTP/1.1")), head)
    assert wire.split(b"\r\n", 1)[1] == framing + b"\r\n"


def test_204_and_304_have_no_body() -> None:
    assert served(asked(), ResponseHead(204), EndOfBody()) == b"HTTP/1.1 204 No Content\r\n\r\n"
    assert (
        served(asked(), ResponseHead(204, content_length=0), EndOfBody())
        == b"HTTP/1.1 204 No Content\r\n\r\n"
    )
    wire = served(asked(), ResponseHead(304, ((b"etag", b'"a"'),), content_length=9), EndOfBody())
    assert wire == b'HTTP/1.1 304 Not Modified\r\netag: "a"\r\nContent-Length: 9\r\n\r\n'
    with pytest.raises(LocalProtocolError):
        asked().send(ResponseHead(204, content_length=3))


@pytest.mark.parametrize("status", [204, 304])
def test_a_body_given_to_a_bodiless_status_is_a_bug(status: int) -> None:
    server = asked()
    server.send(ResponseHead(status))
    with pytest.raises(LocalProtocolError):
        server.send(BodyChunk(b"x"))


@pytest.mark.parametrize(
    "events",
    [
        (BodyChunk(b"x"),),
        (EndOfBody(),),
        (OK, OK),
        (OK, InformationalHead()),
        (ResponseHead(103),),
        (ResponseHead(100),),
        (InformationalHead(103),),
        (ResponseHead(101),),
        (ResponseHead(600),),
        (OK, BodyChunk(b"ok"), EndOfBody(), BodyChunk(b"x")),
        (OK, BodyChunk(b"ok"), EndOfBody(), EndOfBody()),
        (OK, BodyChunk(b"ok"), EndOfBody(), OK),
        (Ping(),),
        (PeerClosed(),),
        (RequestHead(b"GET", b"/", b"a", ()),),
    ],
    ids=repr,
)
def test_events_out_of_order_are_a_bug_of_ours(events: tuple[Event, ...]) -> None:
    server = asked()
    for event in events[:-1]:
        server.send(event)
    with pytest.raises(LocalProtocolError):
        server.send(events[-1])


def test_nothing_is_written_by_an_event_that_was_refused() -> None:
    server = asked()
    with pytest.raises(LocalProtocolError):
        server.send(ResponseHead(200, ((b"x", b"a\r\nb"),)))
    assert server.data_to_send() == b""
    assert server.response_phase is Phase.HEAD
    assert answer(server).startswith(b"HTTP/1.1 200 OK\r\n")


# --- upgrades -------------------------------------------------------------------------------


@pytest.mark.parametrize("wire", [KUBECTL_EXEC_SPDY, KUBECTL_EXEC_WEBSOCKET], ids=["spdy", "websocket"])
def test_after_a_101_the_bytes_belong_to_the_tunnel(wire: bytes) -> None:
    for reads in ([wire + b"early"], [wire, b"ear", b"ly"], bytewise(wire + b"early")):
        server = Http1Server()
        head, end = feed(server, reads)
        assert isinstance(head, RequestHead)
        assert (bool(head.upgrade), end) == (True, EndOfBody())
        switch = ResponseHead(101, ((b"connection", b"Upgrade"), (b"upgrade", head.upgrade)))
        assert served(server, switch) == (
            b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: "
            + head.upgrade
            + b"\r\n\r\n"
        )
        assert (server.take_leftover(), server.take_leftover()) == (b"early", b"")
        with pytest.raises(LocalProtocolError):
            server.receive(b"more")
        with pytest.raises(LocalProtocolError):
            server.send(EndOfBody())


def test_a_refused_upgrade_ends_the_connection() -> None:
    """CVE-2018-1002105: what follows an upgrade that did not happen is nobody's request."""
    server = asked(KUBECTL_EXEC_SPDY + get(target=b"/api/v1/secrets"))
    with pytest.raises(LocalProtocolError):
        server.take_leftover()
    assert b"Connection: close" in answer(server, ResponseHead(403, content_length=2))
    assert server.must_close
    with pytest.raises(LocalProtocolError):
        server.next_request()


# --- properties -----------------------------------------------------------------------------

SPLICES = st.sampled_from(
    [
        b"\r\n", b"\n", b"\r", b" ", b"\t", b"\x00", b":", b",", b";", b"_", b"0", b"\xff", b"\r\n\r\n", b"0\r\n\r\n", b"#", b"\x0b",
        b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"Host: evil\r\n", b"chunked", b"HTTP/1.1", b"Connection: close\r\n",
        b"Expect: 100-continue\r\n", b"Upgrade: websocket\r\n", b"3\r\nabc\r\n", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"X: y\r\n", b"abc",
    ]
)  # fmt: skip
BASES = st.sampled_from([w for w in ACCEPTED_REQUESTS if len(w) < SHORT])


@st.composite
def mutated_requests(draw: st.DrawFn) -> bytes:
    wire = draw(BASES)
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(wire)))
        cut = draw(st.integers(0, 6))
        wire = wire[:at] + draw(st.one_of(SPLICES, st.binary(max_size=3))) + wire[at + cut :]
    return wire


@given(mutated_requests(), st.lists(st.integers(1, 200), max_size=12))
@settings(max_examples=600, deadline=None)
def test_damaged_requests_never_raise_nor_depend_on_cuts_nor_surprise_h11(
    wire: bytes, sizes: list[int]
) -> None:
    whole = Http1Server().receive(wire)
    reads, at = list[bytes](), 0
    for size in sizes:
        if wire[at : at + size]:
            reads.append(wire[at : at + size])
        at += size
    if wire[at:]:
        reads.append(wire[at:])
    assert told(feed(Http1Server(), reads)) == told(whole)
    if EndOfBody() in whole:
        head = whole[0]
        assert isinstance(head, RequestHead)
        oracle = read_request(wire)
        assert oracle is not None
        body = b"".join(event.data for event in whole if isinstance(event, BodyChunk))
        assert (head.method, head.target, head.headers, body) == (
            oracle.method, oracle.target, oracle.headers, oracle.body
        )  # fmt: skip
        assert head.authority == oracle.host.lower()


@given(st.lists(st.binary(min_size=1, max_size=60), max_size=10))
@settings(max_examples=200, deadline=None)
def test_garbage_never_raises_and_nothing_follows_a_failure(reads: list[bytes]) -> None:
    server = Http1Server()
    events = [event for data in [*reads, b""] for event in server.receive(data)]
    assert all(not isinstance(event, Failed) for event in events[:-1])
    assert isinstance(events[-1], Failed | PeerClosed)


@given(
    st.sampled_from([b"GET", b"POST", b"HEAD"]),
    st.sampled_from([200, 204, 304, 404, 500]),
    st.lists(st.binary(max_size=50), max_size=5),
    st.booleans(),
)
@settings(max_examples=300, deadline=None)
def test_h11_reads_back_every_response_we_write(
    method: bytes, status: int, pieces: list[bytes], with_length: bool
) -> None:
    server = asked(line(method + b" / HTTP/1.1"))
    body = b"".join(pieces) if status not in (204, 304) else b""
    head = ResponseHead(status, ((b"a", b"b"),), content_length=len(body) if with_length else None)
    wire = served(server, head, *(BodyChunk(piece) for piece in pieces if body), EndOfBody())
    oracle = read_response(wire, method, ended=False)
    assert oracle is not None
    assert (oracle.status, oracle.headers) == (status, ((b"a", b"b"),))
    assert oracle.body == (b"" if method == b"HEAD" else body)
    assert oracle.complete
    assert not server.must_close


def test_the_default_limits_leave_room_for_a_long_exec_and_a_large_token() -> None:
    wire = get(b"Authorization: Bearer " + b"e" * 16_384, target=b"/" + b"c" * 32_767)
    assert len(wire) < REQUEST_LIMITS.max_head_bytes
    assert isinstance(Http1Server().receive(wire)[0], RequestHead)
