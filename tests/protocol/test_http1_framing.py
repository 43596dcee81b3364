import pytest

from protocol.errors import Flooding, LocalProtocolError, RemoteProtocolError
from protocol.http1_framing import (
    FREE_CHUNKS,
    MAX_TRAILER_BYTES,
    BodyReader,
    ChunkedReader,
    ChunkedWriter,
    HeadOnlyWriter,
    LengthReader,
    LengthWriter,
    UntilCloseReader,
)
from protocol.http1_intake import Intake


def read_all(reader: BodyReader, *reads: bytes) -> tuple[bytes, bool, bytes]:
    """Body, whether it is complete, and what is left after it."""
    intake, pieces, done = Intake(), list[bytes](), False
    for data in reads:
        intake.feed(data)
        done = done or reader.read(intake, pieces)
    return b"".join(pieces), done, intake.take(1000)


def test_a_body_of_known_length_ends_there() -> None:
    assert read_all(LengthReader(5), b"abc", b"defg") == (b"abcde", True, b"fg")
    assert read_all(LengthReader(5), b"abc") == (b"abc", False, b"")
    assert read_all(LengthReader(0), b"abc") == (b"", True, b"abc")


def test_a_body_until_close_never_ends_by_itself() -> None:
    assert read_all(UntilCloseReader(), b"abc", b"def") == (b"abcdef", False, b"")
    intake = Intake()
    assert not UntilCloseReader().read(intake, [])


@pytest.mark.parametrize("from_client", [True, False])
def test_chunks_are_joined_and_end_with_a_zero(from_client: bool) -> None:
    wire = b"3\r\nabc\r\nA\r\n0123456789\r\n00000002\r\nde\r\n0\r\n\r\nrest"
    expected = (b"abc0123456789de", True, b"rest")
    assert read_all(ChunkedReader(from_client=from_client), wire) == expected
    for at in range(1, len(wire)):
        body, done, rest = read_all(ChunkedReader(from_client=from_client), wire[:at], wire[at:])
        assert (body, done) == expected[:2]
        assert b"rest".endswith(rest)


def test_trailers_are_dropped_from_servers_and_refused_from_clients() -> None:
    wire = b"1\r\na\r\n0\r\nX: y\r\nZ: w\r\n\r\nrest"
    assert read_all(ChunkedReader(from_client=False), wire) == (b"a", True, b"rest")
    with pytest.raises(RemoteProtocolError, match="trailers"):
        read_all(ChunkedReader(from_client=True), wire)


def test_trailers_are_bounded_and_must_be_fields() -> None:
    for trailer in (b"X: " + b"y" * MAX_TRAILER_BYTES, b"no colon\r\n\r\n", b" : y\r\n\r\n"):
        with pytest.raises(RemoteProtocolError):
            read_all(ChunkedReader(from_client=False), b"0\r\n" + trailer)


def test_what_came_before_a_bad_chunk_is_delivered() -> None:
    intake, pieces = Intake(), list[bytes]()
    intake.feed(b"3\r\nabc\r\nx\r\n")
    reader = ChunkedReader(from_client=True)
    with pytest.raises(RemoteProtocolError):
        reader.read(intake, pieces)
    assert pieces == [b"abc"]


def test_a_flood_of_tiny_chunks_is_refused_from_clients_only() -> None:
    wire = b"1\r\na\r\n" * (FREE_CHUNKS + 1)
    with pytest.raises(Flooding):
        read_all(ChunkedReader(from_client=True), wire)
    assert len(read_all(ChunkedReader(from_client=True), wire[:-6])[0]) == FREE_CHUNKS
    # a pod that logs one byte at a time is not an attack
    assert len(read_all(ChunkedReader(from_client=False), wire)[0]) == FREE_CHUNKS + 1


def test_many_chunks_of_some_size_are_no_flood() -> None:
    wire = b"10\r\n" + b"a" * 16 + b"\r\n"
    body, _, _ = read_all(ChunkedReader(from_client=True), wire * (FREE_CHUNKS * 2))
    assert len(body) == 16 * FREE_CHUNKS * 2


def test_a_written_body_has_exactly_the_announced_length() -> None:
    out: list[bytes] = []
    writer = LengthWriter(5)
    writer.write(b"abc", out)
    with pytest.raises(LocalProtocolError, match="2 bytes shorter"):
        writer.end(out)
    with pytest.raises(LocalProtocolError, match="1 bytes longer"):
        writer.write(b"def", out)
    writer.write(b"de", out)
    writer.end(out)
    assert b"".join(out) == b"abcde"


def test_written_chunks_read_back_and_an_empty_piece_does_not_end_them() -> None:
    out: list[bytes] = []
    writer = ChunkedWriter()
    for piece in (b"abc", b"", b"x" * 300):
        writer.write(piece, out)
    writer.end(out)
    assert read_all(ChunkedReader(from_client=True), b"".join(out)) == (b"abc" + b"x" * 300, True, b"")


def test_an_answer_to_head_writes_no_body() -> None:
    out: list[bytes] = []
    HeadOnlyWriter().write(b"abc", out)
    HeadOnlyWriter().end(out)
    assert out == []
