"""One request and its answer: whatever a peer does, one line and an exit code; against servers that misbehave."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme

from gateway.cli.console.client import MAX_LINE_BYTES, ApiFailure, Client
from gateway.cli.console.options import Named
from gateway.console.documents import ApprovalDocument, ApprovalList

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@contextmanager
def peer(directory: Path, answer: bytes) -> Iterator[Named]:
    """A TLS server that answers every request with these bytes, then closes."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(directory / "ca.pem")
    (directory / "token").write_text("t0ken")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                plain, _ = listener.accept()
            except OSError:
                return
            with context.wrap_socket(plain, server_side=True) as stream:
                stream.recv(65536)
                stream.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        yield Named(url, directory / "ca.pem", directory / "token")
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


@pytest.mark.parametrize(
    ("answer", "exit_code", "words"),
    [
        (b"", 6, "cannot reach the management API"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", 1, "not like a management API"),
        (b"SSH-2.0-x\r\n\r\n", 6, "cannot reach"),
        (OK + b"Content-Length: 2\r\n\r\n[]", 1, "not like a management API"),
        (OK + b"Content-Length: 2\r\n\r\n\xff\xff", 1, "not like a management API"),
        (b"HTTP/1.1 302 Found\r\nLocation: https://evil/\r\nContent-Length: 0\r\n\r\n", 1, "answered 302"),
        (b"HTTP/1.1 502 Bad\r\nContent-Length: 6\r\n\r\n<html>", 1, "answered 502"),
        (b'HTTP/1.1 404 No\r\nContent-Length: 23\r\n\r\n{"message":"\\u001b[2J"}', 1, r"\x1b[2J"),
        (b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", 6, "answered 503"),
    ],
)
def test_a_peer_that_misbehaves_is_one_line(
    tmp_path: Path, answer: bytes, exit_code: int, words: str
) -> None:
    with peer(tmp_path, answer) as named, pytest.raises(ApiFailure) as failed:
        Client(named).get("/api/v1/approvals", ApprovalList)
    assert failed.value.exit_code == exit_code
    assert words in failed.value.message
    assert "t0ken" not in failed.value.message


@pytest.mark.parametrize(
    ("body", "words"),
    [(b"x" * (MAX_LINE_BYTES + 2), "longer than"), (b"{}\n", "not like a management API")],
)
def test_a_watch_that_misbehaves_is_one_line(tmp_path: Path, body: bytes, words: str) -> None:
    with (
        peer(tmp_path, OK + b"Connection: close\r\n\r\n" + body) as named,
        pytest.raises(ApiFailure, match=words),
    ):
        list(Client(named).lines("/api/v1/approvals?watch=true", ApprovalDocument))


def test_blank_lines_of_a_watch_say_nothing(tmp_path: Path) -> None:
    with peer(tmp_path, OK + b"Connection: close\r\n\r\n\n\n\n") as named:
        assert list(Client(named).lines("/api/v1/approvals?watch=true", ApprovalDocument)) == []
