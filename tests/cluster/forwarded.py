"""Talking over a forwarded port: which local one it became, and one connection's whole exchange."""

import re
import socket
import threading
from concurrent.futures import Future, ThreadPoolExecutor

from tests.clients.rig import Running


def local_port(running: Running, port: int) -> int:
    """The local port kubectl chose for a remote one."""
    return int(re.findall(r"127\.0\.0\.1:(\d+)", running.read_until(f" -> {port}\n"))[-1])


def converse(port: int, data: bytes) -> bytes:
    """Send all, half-close, read to the end, over one connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        sender = threading.Thread(target=_send, args=(connection, data))
        sender.start()
        answer = bytearray()
        while piece := connection.recv(65536):
            answer += piece
        sender.join()
    return bytes(answer)


def converse_at_once(port: int, each: list[bytes]) -> list[bytes]:
    """The same with several connections at the same time."""
    with ThreadPoolExecutor(len(each)) as pool:
        answers: list[Future[bytes]] = [pool.submit(converse, port, data) for data in each]
    return [answer.result() for answer in answers]


def get(port: int, path: str) -> bytes:
    """The body an HTTP server answers."""
    head, _, body = converse(port, f"GET {path} HTTP/1.0\r\n\r\n".encode()).partition(b"\r\n\r\n")
    assert b" 200 " in head.split(b"\r\n")[0], head
    return body


def _send(connection: socket.socket, data: bytes) -> None:
    connection.sendall(data)
    connection.shutdown(socket.SHUT_WR)
