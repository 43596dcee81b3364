"""The cheapest client there is, so that it hides nothing: one warm connection, blocking, HTTP/1.1 or HTTP/2."""

import re
import socket
import ssl
import time
from typing import Protocol

from h2.connection import H2Connection
from h2.events import ConnectionTerminated, DataReceived, ResponseReceived, StreamEnded, StreamReset

from gateway.upstream.credentials import UpstreamCluster

READ_BYTES = 1 << 18


class Client(Protocol):
    def call(self, method: str, path: str, body: bytes = b"") -> float:
        """Seconds from the first byte sent to the last byte received. Exits unless the answer is 2xx."""
        ...


class Http1Client:
    """authorization: value of the header, None for none."""

    def __init__(self, sock: socket.socket, host: str, authorization: bytes | None) -> None:
        self._sock = sock
        extra = b"Authorization: " + authorization + b"\r\n" if authorization else b""
        self._headers = b"Host: %s\r\nAccept: application/json\r\n%s" % (host.encode(), extra)

    def call(self, method: str, path: str, body: bytes = b"") -> float:
        lines = b"%s %s HTTP/1.1\r\n%s" % (method.encode(), path.encode(), self._headers)
        if body:
            lines += b"Content-Type: application/json\r\nContent-Length: %d\r\n" % len(body)
        start = time.perf_counter()
        self._sock.sendall(lines + b"\r\n" + body)
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._read()
        head, _, body = data.partition(b"\r\n\r\n")
        _check(int(head[9:12]), method, path)
        length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
        size = len(body)
        if length:
            while size < int(length[1]):
                size += len(self._read())
        else:
            while not body.endswith(b"0\r\n\r\n"):
                body = body[-8:] + self._read()
        return time.perf_counter() - start

    def fetch(self, path: str) -> bytes:
        """The body of an answer that says its length. Not for timing."""
        self._sock.sendall(b"GET %s HTTP/1.1\r\n%s\r\n" % (path.encode(), self._headers))
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._read()
        head, _, body = data.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
        if length is None:
            raise SystemExit(f"GET {path}: an answer without a length")
        while len(body) < int(length[1]):
            body += self._read()
        return body

    def close(self) -> None:
        self._sock.close()

    def _read(self) -> bytes:
        return _read(self._sock)


class Http2Client:
    """One stream at a time, as one person would use it."""

    def __init__(self, sock: socket.socket, host: str, authorization: bytes | None) -> None:
        self._sock, self._host = sock, host
        self._extra = [("authorization", authorization.decode())] if authorization else []
        self._machine = H2Connection()
        self._machine.initiate_connection()
        self._machine.increment_flow_control_window((1 << 24) - 65535)
        self._sock.sendall(self._machine.data_to_send())

    def call(self, method: str, path: str, body: bytes = b"") -> float:
        headers = [(":method", method), (":scheme", "https"), (":authority", self._host), (":path", path)]
        headers += [("accept", "application/json"), *self._extra]
        if body:
            headers += [("content-type", "application/json"), ("content-length", str(len(body)))]
        start = time.perf_counter()
        stream_id = self._machine.get_next_available_stream_id()
        self._machine.send_headers(stream_id, headers, end_stream=not body)
        if body:
            self._machine.send_data(stream_id, body, end_stream=True)
        self._sock.sendall(self._machine.data_to_send())
        while not self._read_events(method, path):
            pass
        return time.perf_counter() - start

    def _read_events(self, method: str, path: str) -> bool:
        """True when the answer is complete."""
        over = False
        for event in self._machine.receive_data(_read(self._sock)):
            if isinstance(event, ResponseReceived):
                _check(int(dict(event.headers or ())[b":status"]), method, path)
            elif isinstance(event, DataReceived):
                self._machine.acknowledge_received_data(
                    event.flow_controlled_length or 0, event.stream_id or 0
                )
            elif isinstance(event, StreamReset | ConnectionTerminated):
                raise SystemExit(f"{method} {path}: the stream was broken off: {event}")
            over = over or isinstance(event, StreamEnded)
        if data := self._machine.data_to_send():
            self._sock.sendall(data)
        return over


def _read(sock: socket.socket) -> bytes:
    data = sock.recv(READ_BYTES)
    if not data:
        raise SystemExit("the server closed the connection")
    return data


def _check(status: int, method: str, path: str) -> None:
    if not 200 <= status < 300:
        raise SystemExit(f"{method} {path} was answered with {status}")


def open_socket(
    host: str, port: int, context: ssl.SSLContext | None, server_name: str | None
) -> socket.socket:
    sock = socket.create_connection((host, port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return context.wrap_socket(sock, server_hostname=server_name) if context else sock


def connect_http1(cluster: UpstreamCluster) -> Http1Client:
    sock = open_socket(cluster.host, cluster.port, cluster.ssl_context(), cluster.server_name)
    return Http1Client(sock, cluster.authority.decode(), cluster.credential.authorization())


def connect_http2(cluster: UpstreamCluster) -> Http2Client:
    sock = open_socket(cluster.host, cluster.port, cluster.ssl_context("h2"), cluster.server_name)
    return Http2Client(sock, cluster.authority.decode(), cluster.credential.authorization())
