import re

import pytest
import wsproto.connection
import wsproto.events
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.errors import Flooding, LocalProtocolError, RemoteProtocolError, TooLarge
from protocol.events import Event, Failed, GoAway, MessageChunk, PeerClosed, Ping, Pong, WebSocketClosed
from protocol.side import Side
from protocol.websocket import (
    MAX_FRAME_BYTES,
    MAX_IDLE_FRAMES,
    Closing,
    InvalidText,
    WebSocketConnection,
)
from tests.kit.cutting import cut, receive_all
from tests.kit.websocket_bytes import (
    BINARY,
    CLOSE,
    CONTINUATION,
    MASK,
    PING,
    PONG,
    TEXT,
    close_frame,
    frame,
    whole,
)

BOTH = pytest.mark.parametrize("side", list(Side))


def _server() -> WebSocketConnection:
    return WebSocketConnection(Side.SERVER)


def _client() -> WebSocketConnection:
    return WebSocketConnection(Side.CLIENT, mask_source=lambda: MASK)


def _connection(side: Side) -> WebSocketConnection:
    return _server() if side is Side.SERVER else _client()


def _from_peer(side: Side, opcode: int, payload: bytes = b"", *, fin: bool = True) -> bytes:
    """A frame as the peer of this side sends it."""
    return frame(opcode, payload, fin=fin, masked=side is Side.SERVER)


def _from_us(side: Side, opcode: int, payload: bytes = b"") -> bytes:
    return frame(opcode, payload, masked=side is Side.CLIENT)


def _close_code_of(sent: bytes) -> int:
    """The code of the one Close that was sent, by a server."""
    assert sent[:1] == b"\x88"
    assert len(sent) == 4
    return int.from_bytes(sent[2:4], "big")


# --- messages -------------------------------------------------------------------------------------


@BOTH
def test_a_message_in_one_frame_is_one_chunk(side: Side) -> None:
    connection = _connection(side)
    assert connection.receive(_from_peer(side, BINARY, b"\x01hello")) == [MessageChunk(b"\x01hello")]
    assert connection.receive(_from_peer(side, TEXT, "é".encode())) == [MessageChunk("é".encode(), text=True)]
    assert connection.data_to_send() == b""


def test_all_frames_of_one_read_are_drained() -> None:
    data = frame(BINARY, b"a") + frame(PING, b"p") + frame(BINARY, b"b") + close_frame(1000, b"bye")
    assert _server().receive(data) == [
        MessageChunk(b"a"),
        Ping(b"p"),
        MessageChunk(b"b"),
        WebSocketClosed(1000, "bye"),
    ]


def test_a_fragmented_message_is_passed_on_piece_by_piece() -> None:
    server = _server()
    assert server.receive(frame(TEXT, b"a", fin=False)) == [MessageChunk(b"a", True, True, False)]
    assert server.receive(frame(PING)) == [Ping()]
    assert server.receive(frame(CONTINUATION, b"b", fin=False)) == [MessageChunk(b"b", True, False, False)]
    assert server.receive(frame(CONTINUATION, b"", fin=False)) == []
    assert server.receive(frame(CONTINUATION)) == [MessageChunk(b"", True, False, True)]


def test_a_message_that_begins_with_empty_fragments_has_one_first_chunk() -> None:
    data = frame(BINARY, fin=False) + frame(CONTINUATION, fin=False) + frame(CONTINUATION, b"x")
    assert _server().receive(data) == [MessageChunk(b"x", False, True, True)]


def test_empty_messages_are_messages() -> None:
    assert _server().receive(frame(BINARY) + frame(TEXT)) == [MessageChunk(b""), MessageChunk(b"", text=True)]


def test_a_frame_is_passed_on_while_it_arrives() -> None:
    raw = frame(BINARY, b"abcdef")
    server = _server()
    assert server.receive(raw[:8]) == [MessageChunk(b"ab", False, True, False)]
    assert server.receive(raw[8:9]) == [MessageChunk(b"c", False, False, False)]
    assert server.receive(raw[9:]) == [MessageChunk(b"def", False, False, True)]


# --- pings ----------------------------------------------------------------------------------------


@BOTH
def test_a_ping_is_answered_with_its_payload(side: Side) -> None:
    connection = _connection(side)
    assert connection.receive(_from_peer(side, PING, b"abc")) == [Ping(b"abc")]
    assert connection.data_to_send() == _from_us(side, PONG, b"abc")
    assert connection.data_to_send() == b""


def test_a_pong_is_reported_and_not_answered() -> None:
    server = _server()
    assert server.receive(frame(PONG, b"x")) == [Pong(b"x")]
    assert server.data_to_send() == b""


@pytest.mark.parametrize(
    "flood",
    [frame(PING), frame(PING, b"x" * 125), frame(PONG), frame(BINARY), frame(TEXT)],
    ids=["ping", "long-ping", "pong", "empty-binary", "empty-text"],
)
def test_a_flood_of_frames_without_data_is_cut(flood: bytes) -> None:
    server = _server()
    for _ in range(MAX_IDLE_FRAMES // 64):
        events = server.receive(flood * 64)
        assert not any(isinstance(event, Failed) for event in events)
    server.data_to_send()
    events = server.receive(flood * 2)
    assert len(events) == 1
    assert isinstance(events[0], Failed)
    assert isinstance(events[0].error, Flooding)
    assert _close_code_of(server.data_to_send()) == 1008


def test_a_flood_of_empty_fragments_is_cut() -> None:
    server = _server()
    server.receive(frame(BINARY, b"x", fin=False))
    events = server.receive(frame(CONTINUATION, fin=False) * (MAX_IDLE_FRAMES + 1))
    assert [type(event) for event in events] == [Failed]


@pytest.mark.parametrize("data_comes_from", ["peer", "us"])
def test_data_in_either_direction_makes_pings_welcome_again(data_comes_from: str) -> None:
    server = _server()
    for _ in range(3):
        events = server.receive(frame(PING) * (MAX_IDLE_FRAMES - 1))
        assert not any(isinstance(event, Failed) for event in events)
        if data_comes_from == "peer":
            server.receive(frame(BINARY, b"x"))
        else:
            server.send(MessageChunk(b"x"))
        server.data_to_send()


# --- what a peer can break ------------------------------------------------------------------------

HELLO = "κόσμε".encode()


@pytest.mark.parametrize(
    ("data", "code", "why"),
    [
        (frame(TEXT, b"x", masked=False), 1002, "masked"),
        (frame(TEXT, b"x", reserved=4), 1002, "reserved"),
        (frame(3), 1002, "opcode"),
        (frame(15), 1002, "opcode"),
        (frame(BINARY, b"", length_bytes=8), 1002, "shortest"),
        (frame(BINARY, announced=1 << 63), 1002, "shortest"),
        (frame(BINARY, announced=1 << 40), 1009, "longer than"),
        (frame(BINARY, announced=MAX_FRAME_BYTES + 1), 1009, "longer than"),
        (frame(PING, b"x" * 126), 1002, "control"),
        (frame(PING, fin=False), 1002, "control"),
        (frame(CONTINUATION, b"x"), 1002, "continuation"),
        (frame(CONTINUATION, b"x", fin=False), 1002, "continuation"),
        (frame(BINARY, b"x") + frame(CONTINUATION, b"y"), 1002, "continuation"),
        (frame(BINARY, b"x", fin=False) + frame(BINARY, b"y"), 1002, "before the last"),
        (frame(TEXT, b"x", fin=False) + frame(TEXT, b"y", fin=False), 1002, "before the last"),
        (frame(CLOSE, b"\x03"), 1002, "Close"),
        *[(close_frame(code), 1002, "Close") for code in (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)],
        (close_frame(1000, b"\xff"), 1007, "reason"),
        (close_frame(1000, HELLO[:1]), 1007, "reason"),
        (frame(TEXT, b"\xff"), 1007, "UTF-8"),
        (frame(TEXT, HELLO + b"\xed\xa0\x80"), 1007, "UTF-8"),
        (frame(TEXT, b"\xc0\xaf"), 1007, "UTF-8"),
        (frame(TEXT, b"\xf4\x90\x80\x80"), 1007, "UTF-8"),
        (frame(TEXT, HELLO[:3]), 1007, "UTF-8"),
        (frame(TEXT, HELLO[:1], fin=False) + frame(CONTINUATION), 1007, "UTF-8"),
        (frame(TEXT, b"\xce", fin=False) + frame(CONTINUATION, b"a", fin=False), 1007, "UTF-8"),
    ],
)  # fmt: skip
def test_a_violation_is_the_last_event_and_told_by_the_right_code(data: bytes, code: int, why: str) -> None:
    server = _server()
    *_, failed = server.receive(data + frame(BINARY, b"after"))
    assert isinstance(failed, Failed)
    assert re.search(why, failed.error.why)
    assert _close_code_of(server.data_to_send()) == code
    assert server.closing is Closing.CLOSED
    assert server.receive(frame(BINARY, b"later")) == []
    assert server.receive(b"") == []
    server.send(MessageChunk(b"too late"))
    assert server.data_to_send() == b""


def test_a_masked_server_frame_is_told_to_the_server() -> None:
    client = _client()
    (failed,) = client.receive(frame(TEXT, b"x"))
    assert isinstance(failed, Failed)
    assert client.data_to_send() == close_frame(1002)


def test_errors_have_their_kind() -> None:
    (too_large,) = _server().receive(frame(BINARY, announced=1 << 40))
    (invalid,) = _server().receive(frame(TEXT, b"\xff"))
    assert isinstance(too_large, Failed)
    assert isinstance(invalid, Failed)
    assert isinstance(too_large.error, TooLarge)
    assert isinstance(invalid.error, InvalidText)


@pytest.mark.parametrize(
    ("payload", "good"),
    [
        (b"ab\xffcd", 2),
        (b"\xce\xce\xba", 1),
        (b"\xf4\x90", 1),
        (b"\xe1\xa0\xc0", 2),
        (HELLO + b"\xe1\xa0", 12),
        (b"\xed\xa0\x80", 2),
    ],
)
def test_what_comes_before_the_offending_byte_is_passed_on(payload: bytes, good: int) -> None:
    for parts in ([frame(TEXT, payload)], [bytes((byte,)) for byte in frame(TEXT, payload)]):
        *chunks, failed = receive_all(_server(), parts)
        assert isinstance(failed, Failed)
        assert all(isinstance(chunk, MessageChunk) and not chunk.last for chunk in chunks)
        assert b"".join(chunk.data for chunk in chunks if isinstance(chunk, MessageChunk)) == payload[:good]


def test_a_character_may_be_cut_between_fragments_and_reads() -> None:
    data = b"".join(
        frame(TEXT if at == 0 else CONTINUATION, HELLO[at : at + 1], fin=False) for at in range(len(HELLO))
    )
    events = _server().receive(data + frame(CONTINUATION))
    assert whole(events) == [MessageChunk(HELLO, text=True)]


# --- closing --------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize(
    ("payload", "event", "answer"),
    [
        (b"", WebSocketClosed(1005, ""), b""),
        (b"\x03\xe8", WebSocketClosed(1000, ""), b"\x03\xe8"),
        (b"\x03\xf0" + HELLO, WebSocketClosed(1008, "κόσμε"), b"\x03\xf0"),
        (b"\x0b\xb8x", WebSocketClosed(3000, "x"), b"\x0b\xb8"),
        (b"\x13\x87" + b"x" * 123, WebSocketClosed(4999, "x" * 123), b"\x13\x87"),
    ],
)
def test_a_close_is_answered_with_its_code(side: Side, payload: bytes, event: Event, answer: bytes) -> None:
    connection = _connection(side)
    assert connection.receive(_from_peer(side, CLOSE, payload) + _from_peer(side, BINARY, b"after")) == [
        event
    ]
    assert connection.data_to_send() == _from_us(side, CLOSE, answer)
    assert connection.closing is Closing.CLOSED
    assert connection.receive(_from_peer(side, BINARY, b"later")) == []
    assert connection.receive(b"") == []


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 3999, 4000, 4999])
def test_every_code_that_may_be_sent_is_read_and_sent(code: int) -> None:
    assert _server().receive(close_frame(code)) == [WebSocketClosed(code)]
    server = _server()
    server.send(WebSocketClosed(code))
    assert server.data_to_send() == close_frame(code, masked=False)


@pytest.mark.parametrize("code", [0, 999, 1004, 1006, 1015, 2000, 5000])
def test_a_code_that_may_not_be_sent_is_our_bug(code: int) -> None:
    with pytest.raises(LocalProtocolError):
        _server().send(WebSocketClosed(code))


def test_after_our_close_the_peer_may_finish() -> None:
    server = _server()
    server.send(WebSocketClosed(1001, "going"))
    assert server.data_to_send() == close_frame(1001, b"going", masked=False)
    assert server.closing is Closing.CLOSING
    assert server.receive(frame(BINARY, b"x") + frame(PING)) == [MessageChunk(b"x"), Ping()]
    assert server.data_to_send() == b""
    assert server.receive(close_frame(1001)) == [WebSocketClosed(1001)]
    assert server.data_to_send() == b""
    assert server.closing is Closing.CLOSED


def test_a_violation_after_our_close_is_not_told_twice() -> None:
    server = _server()
    server.send(WebSocketClosed())
    server.data_to_send()
    assert isinstance(server.receive(frame(3))[-1], Failed)
    assert server.data_to_send() == b""
    assert server.closing is Closing.CLOSED


@pytest.mark.parametrize("event", [MessageChunk(b"x"), Ping(), WebSocketClosed()])
def test_nothing_is_sent_after_our_close(event: Event) -> None:
    server = _server()
    server.send(WebSocketClosed())
    with pytest.raises(LocalProtocolError):
        server.send(event)


@pytest.mark.parametrize("event", [MessageChunk(b"x"), Ping(), WebSocketClosed()])
def test_what_is_sent_after_the_close_of_the_peer_goes_nowhere(event: Event) -> None:
    server = _server()
    server.receive(close_frame(1000))
    server.data_to_send()
    server.send(event)
    assert server.data_to_send() == b""


def test_a_close_without_a_code_is_sent_empty() -> None:
    server = _server()
    server.send(WebSocketClosed(1005, "not sent"))
    assert server.data_to_send() == frame(CLOSE, masked=False)


def test_a_long_reason_is_cut_at_a_character() -> None:
    server = _server()
    server.send(WebSocketClosed(1008, "x" * 122 + "é"))
    assert server.data_to_send() == close_frame(1008, b"x" * 122, masked=False)


def test_the_end_of_input_between_messages_is_no_violation() -> None:
    for data in (b"", frame(BINARY, b"x"), frame(PING)):
        server = _server()
        server.receive(data or frame(PONG))
        server.data_to_send()
        assert server.receive(b"") == [PeerClosed()]
        assert server.receive(b"") == []
        server.send(WebSocketClosed(1001))  # the peer may still read
        assert server.data_to_send() == close_frame(1001, masked=False)


@pytest.mark.parametrize(
    "data", [b"\x82", frame(BINARY, b"xyz")[:-1], frame(BINARY, b"x", fin=False), frame(PING, b"x")[:-1]]
)
def test_the_end_of_input_inside_a_message_is_told_and_not_answered(data: bytes) -> None:
    server = _server()
    server.receive(data)
    (failed,) = server.receive(b"")
    assert isinstance(failed, Failed)
    assert "inside a message" in failed.error.why
    assert server.data_to_send() == b""


# --- sending --------------------------------------------------------------------------------------


def test_one_chunk_is_one_frame() -> None:
    server = _server()
    for chunk in (
        MessageChunk(b"ab", text=True, first=True, last=False),
        MessageChunk(b"", text=True, first=False, last=False),
        MessageChunk(b"c", text=True, first=False, last=True),
        MessageChunk(b"d" * 70_000),
    ):
        server.send(chunk)
    assert server.data_to_send() == (
        frame(TEXT, b"ab", fin=False, masked=False)
        + frame(CONTINUATION, b"", fin=False, masked=False)
        + frame(CONTINUATION, b"c", masked=False)
        + frame(BINARY, b"d" * 70_000, masked=False)
    )


def test_a_client_asks_for_a_new_mask_for_every_frame() -> None:
    masks = iter((b"aaaa", b"bbbb"))
    client = WebSocketConnection(Side.CLIENT, mask_source=lambda: next(masks))
    client.send(MessageChunk(b"\0\0"))
    client.send(Ping(b"\0"))
    assert client.data_to_send() == b"\x82\x82aaaaaa\x89\x81bbbbb"


def test_the_usual_mask_is_undone_by_the_server() -> None:
    client = WebSocketConnection(Side.CLIENT)
    client.send(MessageChunk(b"hello"))
    assert _server().receive(client.data_to_send()) == [MessageChunk(b"hello")]


@pytest.mark.parametrize(
    "events",
    [
        [MessageChunk(b"x", first=False)],
        [MessageChunk(b"x", last=False), MessageChunk(b"y")],
        [MessageChunk(b"x", last=False), MessageChunk(b"y", text=True, first=False)],
        [Ping(b"x" * 126)],
        [Pong()],
        [GoAway()],
    ],
)
def test_what_a_websocket_cannot_say_is_our_bug(events: list[Event]) -> None:
    server = _server()
    *before, last = events
    for event in before:
        server.send(event)
    with pytest.raises(LocalProtocolError):
        server.send(last)


def test_a_mask_of_another_length_is_our_bug() -> None:
    with pytest.raises(LocalProtocolError):
        WebSocketConnection(Side.CLIENT, mask_source=lambda: b"abc").send(Ping())


# --- properties -----------------------------------------------------------------------------------

_TEXTS = st.one_of(
    st.text(max_size=8).map(str.encode), st.sampled_from([HELLO[:3], b"\xff", b"\xf4\x90", b"\xce", b"\xba"])
)
_PAYLOADS = st.one_of(st.binary(max_size=12), _TEXTS, st.sampled_from([b"x" * 126, b"y" * 1500]))
_CLOSES = st.one_of(
    st.just(b""),
    st.builds(
        lambda code, reason: code.to_bytes(2, "big") + reason,
        st.sampled_from([1000, 1001, 1007, 1011, 1012, 3000, 4999, 999, 1004, 1005, 1006, 1015, 2000]),
        _TEXTS,
    ),
    st.binary(min_size=1, max_size=3),
)


@st.composite
def _streams(draw: st.DrawFn) -> bytes:
    """Frames as a client sends them; mostly an orderly conversation."""
    data, in_message = b"", False
    for _ in range(draw(st.integers(1, 8))):
        kind = draw(st.sampled_from(["data"] * 8 + ["ping", "ping", "pong", "close", "odd"]))
        if kind == "data":
            fin = draw(st.booleans())
            opcode = CONTINUATION if in_message else draw(st.sampled_from([TEXT, BINARY]))
            data += frame(opcode, draw(_PAYLOADS), fin=fin)
            in_message = not fin
        elif kind == "odd":
            data += frame(
                draw(st.integers(0, 15)),
                draw(_PAYLOADS),
                fin=draw(st.booleans()),
                reserved=draw(st.sampled_from([0, 0, 0, 1, 4])),
            )
        elif kind == "close":
            data += frame(CLOSE, draw(_CLOSES))
        else:
            data += frame(PING if kind == "ping" else PONG, draw(st.binary(max_size=6)))
    return data


@settings(max_examples=300, deadline=None)
@given(_streams(), st.lists(st.integers(0, 5000), max_size=6), st.booleans())
def test_however_the_bytes_are_cut_the_events_are_the_same(
    data: bytes, places: list[int], truncate: bool
) -> None:
    if truncate:
        data = data[: places[0] % len(data)] if places else data[:-1]
    at_once, cut_up, bytewise = _server(), _server(), _server()
    expected = whole(receive_all(at_once, [data] if data else []) + at_once.receive(b""))
    assert whole(receive_all(cut_up, cut(data, places)) + cut_up.receive(b"")) == expected
    assert whole(receive_all(bytewise, cut(data, range(len(data)))) + bytewise.receive(b"")) == expected
    assert at_once.data_to_send() == cut_up.data_to_send() == bytewise.data_to_send()


@settings(max_examples=500, deadline=None)
@given(_streams())
def test_wsproto_reads_the_same(data: bytes) -> None:
    ours = _server()
    assert _outline(ours.receive(data), ours.data_to_send()) == _outline_by_wsproto(data)


def _outline(events: list[Event], sent: bytes) -> list[tuple[str, object]]:
    """Finished messages, control frames, and the code with which it ended."""
    outline: list[tuple[str, object]] = []
    message = b""
    for event in events:
        match event:
            case MessageChunk(data, text, first, last):
                message = data if first else message + data
                if last:
                    outline.append(("text" if text else "binary", message))
            case Ping(data):
                outline.append(("ping", data))
            case Pong(data):
                outline.append(("pong", data))
            case WebSocketClosed(code, reason):
                outline.append(("closed", (code, reason)))
            case _:
                outline.append(("failed", int.from_bytes(sent[-2:], "big")))
    return outline


def _outline_by_wsproto(data: bytes) -> list[tuple[str, object]]:
    outline: list[tuple[str, object]] = []
    oracle = wsproto.connection.Connection(wsproto.connection.ConnectionType.SERVER)
    oracle.receive_data(data)
    message = b""
    for event in oracle.events():
        match event:
            case wsproto.events.Message(data=piece, message_finished=finished):
                message += piece.encode() if isinstance(piece, str) else bytes(piece)
                if finished:
                    outline.append(("text" if isinstance(piece, str) else "binary", message))
                    message = b""
            case wsproto.events.Ping(payload=payload):
                outline.append(("ping", bytes(payload)))
            case wsproto.events.Pong(payload=payload):
                outline.append(("pong", bytes(payload)))
            case wsproto.events.CloseConnection(code=code, reason=reason):
                # It reports a peer's violation like a Close, and tells the two apart by its own state.
                if oracle.state is wsproto.connection.ConnectionState.REMOTE_CLOSING:
                    outline.append(("closed", (int(code), reason or "")))
                else:
                    outline.append(("failed", int(code)))
                break
    return outline


_SENT = st.one_of(
    st.builds(MessageChunk, st.binary(max_size=20)),
    st.builds(lambda text: MessageChunk(text.encode(), text=True), st.text(max_size=20)),
    st.builds(Ping, st.binary(max_size=125)),
)


@BOTH
@given(events=st.lists(_SENT, max_size=8), code=st.sampled_from([1000, 1008, 1005, 4000]))
def test_what_one_side_says_the_other_hears(side: Side, events: list[Event], code: int) -> None:
    other = Side.CLIENT if side is Side.SERVER else Side.SERVER
    sender, receiver = _connection(side), _connection(other)
    for event in [*events, WebSocketClosed(code, "")]:
        sender.send(event)
    assert receiver.receive(sender.data_to_send()) == [*events, WebSocketClosed(code, "")]
    pongs = [Pong(event.data) for event in events if isinstance(event, Ping)]
    assert sender.receive(receiver.data_to_send()) == [*pongs, WebSocketClosed(code, "")]
    assert sender.closing is receiver.closing is Closing.CLOSED


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=20), max_size=6))
def test_no_bytes_make_an_exception(reads: list[bytes]) -> None:
    for side in Side:
        connection = _connection(side)
        for data in reads:
            events = connection.receive(data)
            assert not any(isinstance(event, Failed) for event in events[:-1])
            assert all(
                isinstance(event.error, RemoteProtocolError) for event in events if isinstance(event, Failed)
            )
