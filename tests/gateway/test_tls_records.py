"""TLS without a socket: bytes of one side are fed to the other, cut and joined in every way."""

import ssl

import pytest

from gateway.tls_records import PIECE_BYTES, PLAIN_BYTES, RECORD_BYTES, TlsRecords
from tests.gateway.test_tls_stream import contexts


def shaken(*, tickets: bool = True) -> tuple[TlsRecords, TlsRecords]:
    """Server and client after their handshake; the server's session tickets are on their way."""
    server_context, client_context = contexts()
    if not tickets:
        server_context.num_tickets = 0
    server = TlsRecords(server_context, server_side=True)
    client = TlsRecords(client_context, server_side=False, server_hostname="a.example")
    assert not client.do_handshake()
    server.feed(client.take())
    assert not server.do_handshake()
    client.feed(server.take())
    assert client.do_handshake()
    server.feed(client.take())
    assert server.do_handshake()
    return server, client


def read_all(records: TlsRecords) -> bytes:
    data = b""
    while piece := records.decrypt():
        assert len(piece) < PIECE_BYTES + PLAIN_BYTES
        data += piece
    return data


def test_what_is_queued_in_small_and_large_pieces_arrives_in_order() -> None:
    server, client = shaken()
    large = bytes(index % 251 for index in range(200_000))
    for data in (b"small, ", large, b" behind, ", large):
        client.encrypt(data)
    assert client.queued
    server.feed(client.take())
    assert not client.queued
    assert read_all(server) == b"small, " + large + b" behind, " + large
    assert not server.unread


@pytest.mark.parametrize("size", [1, 100, RECORD_BYTES - 1, RECORD_BYTES, RECORD_BYTES + 1, 65_536])
def test_reads_may_be_cut_anywhere(size: int) -> None:
    server, client = shaken()
    data = bytes(index % 251 for index in range(20_000 if size < RECORD_BYTES - 1 else 300_000))
    client.encrypt(data)
    encrypted, received = client.take(), b""
    for start in range(0, len(encrypted), size):
        server.feed(encrypted[start : start + size])
        received += read_all(server)
    assert received == data


def test_session_tickets_before_a_long_answer_in_one_read_hide_none_of_it() -> None:
    server, client = shaken()
    data = bytes(100_000)
    server.encrypt(data)
    client.feed(server.take())
    assert read_all(client) == data


def test_session_tickets_are_no_speech_and_a_byte_is() -> None:
    server, client = shaken()
    client.feed(server.take())
    assert client.is_silent()
    server.encrypt(b"x")
    client.feed(server.take())
    assert not client.is_silent()


def test_nor_is_an_end_or_a_broken_record_silence() -> None:
    server, client = shaken(tickets=False)
    server.say_goodbye()
    client.feed(server.take())
    assert not client.is_silent()
    server, client = shaken(tickets=False)
    client.feed(b"\x17\x03\x03\x00\x20" + bytes(32))
    assert not client.is_silent()


def test_a_handshake_that_comes_in_one_large_read_is_finished_from_it() -> None:
    """The first request follows a client's Finished; it may be long."""
    server_context, client_context = contexts()
    server = TlsRecords(server_context, server_side=True)
    client = TlsRecords(client_context, server_side=False, server_hostname="a.example")
    client.do_handshake()
    server.feed(client.take())
    server.do_handshake()
    client.feed(server.take())
    client.do_handshake()
    data = bytes(50_000)
    client.encrypt(data)
    server.feed(client.take())
    assert server.do_handshake()
    assert read_all(server) == data


def test_after_both_have_said_goodbye_there_is_an_end_and_no_problem() -> None:
    server, client = shaken(tickets=False)
    client.say_goodbye()
    server.say_goodbye()
    server.feed(client.take())
    assert server.decrypt() == b""
    assert server.ended
    assert server.problem == ""


def test_a_handshake_with_garbage_is_an_error() -> None:
    server = TlsRecords(contexts()[0], server_side=True)
    server.feed(b"GET / HTTP/1.1\r\n\r\n")
    with pytest.raises(ssl.SSLError):
        server.do_handshake()
