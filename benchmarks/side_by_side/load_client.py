"""GETs on many connections in a closed loop: each asks again as soon as it is answered. One process's share of them.

Made to cost far less than what it measures: one epoll loop, requests encoded beforehand, answers only counted to
their end. Heads of HTTP/2 are read as far as the status of a good answer.
"""

import os
import re
import select
import ssl
import time
from typing import Final

from benchmarks.http_client import READ_BYTES, BenchmarkFailed, Endpoint, Http2Client, connect
from benchmarks.side_by_side.crowd import STALL_S, LoadSamples, Loop, Opening

ALONE: Final = 4
"""More connections than these are driven by two processes."""
_LENGTH: Final = re.compile(rb"(?i)\r\ncontent-length: (\d+)")


def shares_of(connections: int) -> list[int]:
    """How many of them each process drives."""
    processes = min(connections, 2 if connections > ALONE else 1, os.cpu_count() or 1)
    return [connections // processes + (number < connections % processes) for number in range(processes)]


def opening_of_gets(endpoint: Endpoint, version: str, path: str) -> Opening:
    def opening(connections: int) -> Loop:
        callers = [_Caller(endpoint, version, path) for _ in range(connections)]
        return _Gets({caller.sock.fileno(): caller for caller in callers}).loop

    return opening


class _Caller:
    """One connection. `request` is what it sends next."""

    def __init__(self, endpoint: Endpoint, version: str, path: str) -> None:
        self._client = connect(endpoint, version)
        self._client.call("GET", path)
        self._path = path
        self.sock = self._client.sock
        self.sock.setblocking(False)
        self._buffer = bytearray()
        self.since = 0.0

    def ask(self) -> None:
        self.since = time.perf_counter()
        self.sock.send(self._client.request("GET", self._path))

    def is_answered(self) -> bool:
        """Read what there is; True when the answer is whole."""
        while True:
            try:
                data = self.sock.recv(READ_BYTES)
            except (BlockingIOError, ssl.SSLWantReadError):
                return False
            if not data:
                raise BenchmarkFailed("the server closed a connection under load")
            self._buffer += data
            if self._is_whole():
                self._buffer.clear()
                return True

    def _is_whole(self) -> bool:
        if isinstance(self._client, Http2Client):
            return _ends_stream(self._buffer)
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        if self._buffer[9:12] != b"200":
            raise BenchmarkFailed(
                f"under load a call was answered with {self._buffer[9:12].decode(errors='replace')}"
            )
        length = _LENGTH.search(self._buffer, 0, end)
        if length is None:
            return self._buffer.endswith(b"0\r\n\r\n")
        return len(self._buffer) - end - 4 >= int(length[1])


def _ends_stream(buffer: bytearray) -> bool:
    at = 0
    while len(buffer) - at >= 9:
        size, kind, flags = int.from_bytes(buffer[at : at + 3], "big"), buffer[at + 3], buffer[at + 4]
        if kind in (3, 7):
            raise BenchmarkFailed("the server broke off an HTTP/2 stream or connection under load")
        at += 9 + size
        if kind in (0, 1) and flags & 1 and len(buffer) >= at:
            return True
    return False


class _Gets:
    def __init__(self, callers: dict[int, _Caller]) -> None:
        self._callers, self._poll = callers, select.epoll()
        for descriptor in callers:
            self._poll.register(descriptor, select.EPOLLIN)

    def loop(self, duration_s: float) -> LoadSamples:
        """Whoever is answered after the time asks no more; what was asked is counted to the last answer."""
        seconds: list[float] = []
        cpu, begun = time.process_time(), time.perf_counter()
        for caller in self._callers.values():
            caller.ask()
        asking = len(self._callers)
        while asking:
            ready = self._poll.poll(STALL_S)
            if not ready:
                raise BenchmarkFailed(f"under load no answer came within {STALL_S:g} s")
            for descriptor, _ in ready:
                caller = self._callers[descriptor]
                if not caller.is_answered():
                    continue
                now = time.perf_counter()
                seconds.append(now - caller.since)
                if now - begun < duration_s:
                    caller.ask()
                else:
                    asking -= 1
        elapsed_s = time.perf_counter() - begun
        return LoadSamples(seconds, elapsed_s, (time.process_time() - cpu) / elapsed_s)
