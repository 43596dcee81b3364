"""What the channel protocols over WebSocket have in common; each one's meaning is tested with it."""

from base64 import b64encode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import websocket_channels
from protocol.errors import Flooding, LocalProtocolError, RemoteProtocolError
from protocol.events import (
    Channel,
    ChannelData,
    ChannelEnded,
    Failed,
    MessageChunk,
    Ping,
    TunnelClosed,
    WebSocketClosed,
)
from protocol.remotecommand import WebSocketRemoteCommand
from protocol.side import Side
from protocol.websocket import WebSocketConnection
from protocol.websocket_channels import ChannelMessageReader, ChannelPiece, encode_message
from tests.kit.cutting import cut, joined, receive_all
from tests.kit.fake_websocket import FakeWebSocket


def read(message: bytes, places: list[int], *, base64: bool) -> list[ChannelPiece]:
    """A message in pieces; the last chunk is sometimes empty, as the last of a real message may be."""
    reader = ChannelMessageReader(base64=base64)
    parts = [*cut(message, places), *([b""] if len(places) % 2 else [])]
    chunks = [MessageChunk(part, base64, at == 0, at == len(parts) - 1) for at, part in enumerate(parts)]
    return [piece for chunk in chunks if (piece := reader.read(chunk)) is not None]


@settings(max_examples=150)
@given(st.integers(0, 9), st.binary(max_size=60), st.lists(st.integers(0, 100), max_size=8), st.booleans())
def test_message_is_read_however_it_is_cut(number: int, data: bytes, places: list[int], base64: bool) -> None:
    message = bytes((0x30 + number,)) + b64encode(data) if base64 else bytes((number,)) + data
    pieces = read(message, places, base64=base64)
    assert {piece.number for piece in pieces} == {number}
    assert b"".join(piece.data for piece in pieces) == data
    assert [piece.first for piece in pieces] == [True] + [False] * (len(pieces) - 1)
    assert [piece.last for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    assert any(piece.data or piece.first for piece in pieces)
    assert all(piece.data or piece.last for piece in pieces)


@settings(max_examples=100)
@given(st.integers(0, 79), st.binary(max_size=100), st.booleans())
def test_what_is_written_is_read_back(number: int, data: bytes, base64: bool) -> None:
    message = encode_message(number, data, base64=base64)
    assert (message.text, message.first, message.last) == (base64, True, True)
    assert ChannelMessageReader(base64=base64).read(message) == ChannelPiece(number, data, True, True)


def test_messages_do_not_leak_into_each_other() -> None:
    reader = ChannelMessageReader(base64=True)
    assert reader.read(MessageChunk(b"1bHM=", True)) == ChannelPiece(1, b"ls", True, True)
    assert reader.read(MessageChunk(b"2", True)) == ChannelPiece(2, b"", True, True)
    assert reader.read(MessageChunk(b"", True)) is None
    assert reader.read(MessageChunk(b"0bHM=", True)) == ChannelPiece(0, b"ls", True, True)


@pytest.mark.parametrize(
    "message", [b"/bHM=", b"\x00bHM=", b"0bHM", b"0b", b"0*HM=", b"0bHM=b", b"0=", b"0bH=="[:4] + b"x"]
)
def test_what_is_no_base64_is_refused_however_it_is_cut(message: bytes) -> None:
    for places in ([], [1, 2, 3], list(range(len(message)))):
        with pytest.raises(RemoteProtocolError):
            read(message, places, base64=True)


def test_padding_ends_base64_even_if_a_line_end_comes_between() -> None:
    for pieces in ((b"0bHM=", b"\n", b"bHM="), (b"0bHM=\n", b"bHM=")):
        reader = ChannelMessageReader(base64=True)
        reader.read(MessageChunk(pieces[0], True, True, False))
        for piece in pieces[1:-1]:
            assert reader.read(MessageChunk(piece, True, False, False)) is None
        with pytest.raises(RemoteProtocolError, match="padding"):
            reader.read(MessageChunk(pieces[-1], True, False, True))


def test_messages_without_data_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket_channels, "MAX_IDLE_MESSAGES", 3)
    in_pieces = [MessageChunk(b"", False, True, False), MessageChunk(b"", False, False, True)]
    for idle in ([MessageChunk(b"")], [MessageChunk(b"\x00")], [MessageChunk(b"\x01")], in_pieces):
        below = FakeWebSocket()
        machine = WebSocketRemoteCommand(Side.SERVER, "v5.channel.k8s.io", websocket=below)
        below.incoming = [*idle * 3, MessageChunk(b"\x00x"), *idle * 3]
        assert not any(isinstance(event, Failed) for event in machine.receive(b"."))
        below.incoming = list(idle)
        (failed,) = machine.receive(b".")
        assert isinstance(failed, Failed)
        assert isinstance(failed.error, Flooding)


def test_bad_message_after_our_close_is_not_answered_again() -> None:
    below = FakeWebSocket()
    machine = WebSocketRemoteCommand(Side.SERVER, "v5.channel.k8s.io", websocket=below)
    machine.send(TunnelClosed())
    below.incoming = [MessageChunk(b"\x09x")]
    assert isinstance(machine.receive(b".")[-1], Failed)
    assert below.sent == [WebSocketClosed(1000)]


def test_failure_below_is_passed_on() -> None:
    machine = WebSocketRemoteCommand(Side.SERVER, "v5.channel.k8s.io")
    (failed,) = machine.receive(bytes.fromhex("8201 00"))  # not masked
    assert isinstance(failed, Failed)
    machine.send(ChannelData(Channel.STDOUT, b"x"))
    assert machine.data_to_send() == bytes.fromhex("8802 03ea")
    assert machine.receive(b"") == []


# `kubectl exec -it` (v1.36.4) after unmasking: terminal size, typed text, end of stdin, ping, Close.
KUBECTL = (
    MessageChunk(b'\x04{"Width":120,"Height":40}\n'),
    MessageChunk(bytes.fromhex("006c730d")),
    MessageChunk(bytes.fromhex("006162630a")),
    MessageChunk(bytes.fromhex("ff00")),
    Ping(),
    WebSocketClosed(1000),
)


@settings(max_examples=60)
@given(st.lists(st.integers(0, 1000), max_size=20))
def test_session_of_kubectl_is_the_same_however_its_bytes_are_cut(places: list[int]) -> None:
    wire = WebSocketConnection(Side.CLIENT, mask_source=lambda: b"\x01\x02\x03\x04")
    for event in KUBECTL:
        wire.send(event)
    machine = WebSocketRemoteCommand(Side.SERVER, "v5.channel.k8s.io")
    events = joined(receive_all(machine, cut(wire.data_to_send(), places)))
    assert events == [
        ChannelData(Channel.RESIZE, b'{"Width":120,"Height":40}\n'),
        ChannelData(Channel.STDIN, b"ls\rabc\n"),
        ChannelEnded(Channel.STDIN),
        Ping(),
        TunnelClosed(1000),
    ]
    assert machine.data_to_send() == bytes.fromhex("8a00 8802 03e8")


def test_wrong_things_to_say_are_our_error() -> None:
    machine = WebSocketRemoteCommand(Side.SERVER, "v5.channel.k8s.io")
    with pytest.raises(LocalProtocolError):
        machine.send(MessageChunk(b"x"))
