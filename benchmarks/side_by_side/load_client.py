"""Many connections in a closed loop: each asks again as soon as it is answered. One process drives its share of them.

Made to cost far less than what it measures: one epoll loop, requests encoded beforehand, answers only counted to
their end. The first call of a connection is not timed. Heads of HTTP/2 are read as far as the status of a good answer.
"""

import contextlib
import multiprocessing
import os
import re
import select
import ssl
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Final

from benchmarks.http_client import READ_BYTES, BenchmarkFailed, Endpoint, Http2Client, connect

POLL_S: Final = 1.0
STALL_S: Final = 30.0
ALONE: Final = 4
"""More connections than these are driven by two processes."""
_LENGTH: Final = re.compile(rb"(?i)\r\ncontent-length: (\d+)")
_FORK: Final = multiprocessing.get_context("fork")
"""TLS contexts go along as they are, which no other start method could carry."""


@dataclass
class LoadSamples:
    """busiest_cores: cores used by the client process that had most to do."""

    seconds: list[float] = field(default_factory=list)
    elapsed_s: float = 0.0
    busiest_cores: float = 0.0


def drive(
    endpoint: Endpoint,
    version: str,
    path: str,
    connections: int,
    duration_s: float,
    *,
    begin: Callable[[], None],
) -> LoadSamples:
    """Load an endpoint and return what the clients saw. Raises BenchmarkFailed.

    begin: called when all connections are open and warm, before the first timed call.
    """
    processes = min(connections, 2 if connections > ALONE else 1, os.cpu_count() or 1)
    shares = [connections // processes + (number < connections % processes) for number in range(processes)]
    with contextlib.ExitStack() as stack:
        ends = []
        for share in shares:
            ours, theirs = _FORK.Pipe()
            process = _FORK.Process(target=_drive, args=(theirs, endpoint, version, path, share, duration_s))
            _start(process)
            stack.callback(_end, process)
            stack.callback(ours.close)
            theirs.close()
            ends.append(ours)
        for ours in ends:
            _hear(ours, STALL_S)
        begin()
        for ours in ends:
            ours.send(None)
        return _total([_hear(ours, duration_s + STALL_S) for ours in ends])


def _hear(ours: Connection, patience_s: float) -> LoadSamples:
    """What a client process says next; it says in words what went wrong."""
    try:
        found = ours.recv() if ours.poll(patience_s) else "a client of the load stands still"
    except EOFError:
        found = "a client of the load ended early"
    if not isinstance(found, LoadSamples):
        raise BenchmarkFailed(str(found))
    return found


def _total(parts: list[LoadSamples]) -> LoadSamples:
    return LoadSamples(
        [seconds for part in parts for seconds in part.seconds],
        max(part.elapsed_s for part in parts),
        max(part.busiest_cores for part in parts),
    )


def _start(process: "multiprocessing.process.BaseProcess") -> None:
    with warnings.catch_warnings():
        # Python 3.12 and later warn when a program with threads forks. Ours, if any, are idle ones that Trio keeps.
        warnings.simplefilter("ignore", DeprecationWarning)
        process.start()


def _end(process: "multiprocessing.process.BaseProcess") -> None:
    process.join(1.0)
    process.kill()
    process.join()


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


def _drive(
    parent: Connection, endpoint: Endpoint, version: str, path: str, connections: int, duration_s: float
) -> None:
    try:
        callers = [_Caller(endpoint, version, path) for _ in range(connections)]
        parent.send(LoadSamples())
        parent.recv()
        parent.send(_loop({caller.sock.fileno(): caller for caller in callers}, duration_s))
    except (BenchmarkFailed, OSError) as error:
        parent.send(str(error))


def _loop(callers: dict[int, _Caller], duration_s: float) -> LoadSamples:
    poll = select.epoll()
    seconds: list[float] = []
    cpu, begun = time.process_time(), time.perf_counter()
    for descriptor, caller in callers.items():
        poll.register(descriptor, select.EPOLLIN)
        caller.ask()
    while (now := time.perf_counter()) - begun < duration_s:
        for descriptor, _ in poll.poll(POLL_S):
            caller = callers[descriptor]
            if caller.is_answered():
                seconds.append(time.perf_counter() - caller.since)
                caller.ask()
    elapsed_s = now - begun
    return LoadSamples(seconds, elapsed_s, (time.process_time() - cpu) / elapsed_s)
