"""The cheapest client there is, so that it hides nothing: one warm connection, blocking, HTTP/1.1 or HTTP/2.

What needs no clock is done before it starts (a head is encoded) or after it stopped (a head is decoded): the time
of a call is the server's and the socket's. HTTP/2 frames are read here by hand, for h2 costs more than most servers.
"""

import re
import socket
import ssl
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from hpack import Decoder, Encoder

from gateway.upstream.credentials import UpstreamCluster

READ_BYTES: Final = 1 << 18
PATIENCE_S: Final = 60
"""How long one read or write may take. Set on the socket itself: Python's own timeout costs two system calls a read."""
MAX_WINDOW_BYTES: Final = (1 << 31) - 1
REFILL_BYTES: Final = 1 << 30
MAX_BODY_BYTES: Final = 16_384  # one DATA frame

_LENGTH: Final = re.compile(rb"(?i)\r\ncontent-length: (\d+)")
_DATA, _HEADERS, _RST, _SETTINGS, _PING, _GOAWAY, _WINDOW, _CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
_ACK, _END_STREAM, _END_HEADERS = 1, 1, 4
_OPENING: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


class BenchmarkFailed(SystemExit):
    """One line that says why nothing can be measured. Ends the program unless somebody catches it."""


@dataclass(frozen=True)
class Endpoint:
    """Where a client connects and how it proves itself. context: TLS for an ALPN name; None: plain text."""

    host: str
    port: int
    authority: bytes
    server_name: str
    authorization: bytes | None
    prefix: bytes = b""  # before every path
    context: Callable[[str], ssl.SSLContext] | None = None


class Client(Protocol):
    def call(
        self, method: str, path: str, body: bytes = b"", content_type: str = "application/json"
    ) -> float:
        """Seconds from the first byte sent to the last byte received. Exits unless the answer is 2xx."""
        ...

    def close(self) -> None: ...


class Http1Client:
    """authorization: value of the header, None for none."""

    def __init__(
        self, sock: socket.socket, host: str, authorization: bytes | None, prefix: bytes = b""
    ) -> None:
        self.sock, self._prefix = sock, prefix
        extra = b"Authorization: " + authorization + b"\r\n" if authorization else b""
        self._headers = b"Host: %s\r\nAccept: application/json\r\n%s" % (host.encode(), extra)

    def request(
        self, method: str, path: str, body: bytes = b"", content_type: str = "application/json"
    ) -> bytes:
        """The bytes of a request."""
        lines = b"%s %s%s HTTP/1.1\r\n%s" % (method.encode(), self._prefix, path.encode(), self._headers)
        if body:
            lines += b"Content-Type: %s\r\nContent-Length: %d\r\n" % (content_type.encode(), len(body))
        return lines + b"\r\n" + body

    def call(
        self, method: str, path: str, body: bytes = b"", content_type: str = "application/json"
    ) -> float:
        request = self.request(method, path, body, content_type)
        start = time.perf_counter()
        self.sock.sendall(request)
        self.receive(f"{method} {path}")
        return time.perf_counter() - start

    def receive(self, what: str) -> None:
        """One whole answer; its body is not kept."""
        data = b""
        while b"\r\n\r\n" not in data:
            data += _read(self.sock)
        head, _, body = data.partition(b"\r\n\r\n")
        _check(int(head[9:12]), what, body)
        length = _LENGTH.search(head)
        size = len(body)
        if length:
            wanted = int(length[1])
            while size < wanted:
                size += len(_read(self.sock))
        else:
            while not body.endswith(b"0\r\n\r\n"):
                body = body[-8:] + _read(self.sock)

    def fetch(self, path: str) -> bytes:
        """The body of an answer that says its length. Not for timing."""
        self.sock.sendall(self.request("GET", path))
        data = b""
        while b"\r\n\r\n" not in data:
            data += _read(self.sock)
        head, _, body = data.partition(b"\r\n\r\n")
        _check(int(head[9:12]), f"GET {path}", body)
        length = _LENGTH.search(head)
        if length is None:
            return _dechunk(self.sock, body)
        while len(body) < int(length[1]):
            body += _read(self.sock)
        return body

    def close(self) -> None:
        self.sock.close()


class Http2Client:
    """One stream at a time, as one person would use it. Heads are compressed as client-go does, statefully."""

    def __init__(
        self, sock: socket.socket, host: str, authorization: bytes | None, prefix: bytes = b""
    ) -> None:
        self.sock, self._prefix = sock, prefix
        self._common = [(b":scheme", b"https"), (b":authority", host.encode())]
        self._extra = [(b"accept", b"application/json")]
        self._extra += [(b"authorization", authorization)] if authorization else []
        self._encoder, self._decoder = Encoder(), Decoder()
        self._buffer, self._next_id, self._unreturned = bytearray(), 1, 0
        settings = struct.pack("!HI", 4, MAX_WINDOW_BYTES)
        window = struct.pack("!I", MAX_WINDOW_BYTES - 65_535)
        self.sock.sendall(_OPENING + _frame(_SETTINGS, 0, 0, settings) + _frame(_WINDOW, 0, 0, window))

    def request(
        self, method: str, path: str, body: bytes = b"", content_type: str = "application/json"
    ) -> bytes:
        """The bytes of a request on the next stream. body: at most 16 KiB."""
        headers = [(b":method", method.encode()), (b":path", self._prefix + path.encode())]
        headers += self._common + self._extra
        if body:
            headers += [(b"content-type", content_type.encode()), (b"content-length", b"%d" % len(body))]
        if len(body) > MAX_BODY_BYTES:
            raise BenchmarkFailed(
                f"{method} {path}: a body of {len(body)} bytes is more than this client sends"
            )
        stream_id, self._next_id = self._next_id, self._next_id + 2
        block = self._encoder.encode(headers)
        end = _END_HEADERS | (0 if body else _END_STREAM)
        return _frame(_HEADERS, end, stream_id, block) + (
            _frame(_DATA, _END_STREAM, stream_id, body) if body else b""
        )

    def call(
        self, method: str, path: str, body: bytes = b"", content_type: str = "application/json"
    ) -> float:
        request = self.request(method, path, body, content_type)
        start = time.perf_counter()
        self.sock.sendall(request)
        blocks: list[bytes] = []
        while not self._take(blocks):
            self._buffer += _read(self.sock)
        seconds = time.perf_counter() - start
        self._check_heads(blocks, f"{method} {path}")
        return seconds

    def close(self) -> None:
        self.sock.close()

    def _take(self, blocks: list[bytes]) -> bool:
        """Take whole frames off the buffer; True at the end of the stream. Blocks of heads go to `blocks`."""
        at, buffer, over = 0, self._buffer, False
        while len(buffer) - at >= 9:
            size = int.from_bytes(buffer[at : at + 3], "big")
            if len(buffer) - at - 9 < size:
                break
            kind, flags = buffer[at + 3], buffer[at + 4]
            if kind == _DATA:
                self._unreturned += size
            else:
                self._take_other(kind, flags, bytes(buffer[at + 9 : at + 9 + size]), blocks)
            over = over or (kind in (_DATA, _HEADERS) and bool(flags & _END_STREAM))
            at += 9 + size
        del buffer[:at]
        return over

    def _take_other(self, kind: int, flags: int, payload: bytes, blocks: list[bytes]) -> None:
        if kind == _HEADERS:
            blocks.append(payload)
        elif kind == _CONTINUATION:
            blocks[-1] += payload
        elif kind == _SETTINGS and not flags & _ACK:
            for name, value in struct.iter_unpack("!HI", payload):
                if name == 1:
                    self._encoder.header_table_size = value
            self.sock.sendall(_frame(_SETTINGS, _ACK, 0, b""))
        elif kind == _PING and not flags & _ACK:
            self.sock.sendall(_frame(_PING, _ACK, 0, payload))
        elif kind in (_RST, _GOAWAY):
            raise BenchmarkFailed(
                f"the server broke off an HTTP/2 stream or connection (frame of type {kind})"
            )

    def _check_heads(self, blocks: list[bytes], what: str) -> None:
        for number, block in enumerate(blocks):  # trailers too: the decoder must see every block
            headers = dict(self._decoder.decode(block, raw=True))
            if number == 0:
                _check(int(headers[b":status"]), what, b"")
        if self._unreturned > REFILL_BYTES:
            self.sock.sendall(_frame(_WINDOW, 0, 0, struct.pack("!I", self._unreturned)))
            self._unreturned = 0


def _frame(kind: int, flags: int, stream_id: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + struct.pack("!BBI", kind, flags, stream_id) + payload


def _dechunk(sock: socket.socket, body: bytes) -> bytes:
    while not body.endswith(b"0\r\n\r\n"):
        body += _read(sock)
    found, at = b"", 0
    while size := int(body[at : body.index(b"\r\n", at)], 16):
        at = body.index(b"\r\n", at) + 2
        found, at = found + body[at : at + size], at + size + 2
    return found


def _read(sock: socket.socket) -> bytes:
    try:
        data = sock.recv(READ_BYTES)
    except (BlockingIOError, ssl.SSLWantReadError):
        raise BenchmarkFailed(f"no answer within {PATIENCE_S} s") from None
    if not data:
        raise BenchmarkFailed("the server closed the connection")
    return data


def _check(status: int, what: str, body: bytes) -> None:
    if not 200 <= status < 300:
        said = re.search(rb'"message": ?"((?:[^"\\]|\\.)*)"', body)
        why = f": {said[1].decode(errors='replace')}" if said else ""
        raise BenchmarkFailed(f"{what} was answered with {status}{why}")


def open_socket(
    host: str, port: int, context: ssl.SSLContext | None, server_name: str | None
) -> socket.socket:
    sock = socket.create_connection((host, port), PATIENCE_S)
    sock.settimeout(None)
    for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        sock.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", PATIENCE_S, 0))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return context.wrap_socket(sock, server_hostname=server_name) if context else sock


def endpoint_of(cluster: UpstreamCluster) -> Endpoint:
    """A cluster of a kubeconfig as clients see it, with the credential it has now."""
    return Endpoint(
        cluster.host,
        cluster.port,
        cluster.authority,
        cluster.server_name,
        cluster.credential.authorization(),
        cluster.path_prefix,
        cluster.ssl_context,
    )


def connect(endpoint: Endpoint, version: str = "h1") -> Http1Client | Http2Client:
    """A warm connection. version: "h1" or "h2"; exits when the server does not agree to it."""
    alpn = {"h1": "http/1.1", "h2": "h2"}[version]
    context = endpoint.context(alpn) if endpoint.context else None
    sock = open_socket(endpoint.host, endpoint.port, context, endpoint.server_name)
    if version == "h2" and not (isinstance(sock, ssl.SSLSocket) and sock.selected_alpn_protocol() == "h2"):
        sock.close()
        raise BenchmarkFailed(f"{endpoint.host}:{endpoint.port} does not speak HTTP/2")
    kind = Http2Client if version == "h2" else Http1Client
    return kind(sock, endpoint.authority.decode(), endpoint.authorization, endpoint.prefix)


def connect_http1(cluster: UpstreamCluster) -> Http1Client:
    client = connect(endpoint_of(cluster), "h1")
    assert isinstance(client, Http1Client)
    return client


def connect_http2(cluster: UpstreamCluster) -> Http2Client:
    client = connect(endpoint_of(cluster), "h2")
    assert isinstance(client, Http2Client)
    return client
