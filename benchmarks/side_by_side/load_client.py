"""Many connections in a closed loop: each asks again as soon as it is answered. One process drives its share of them.

Made to cost far less than what it measures: one epoll loop, requests encoded beforehand, answers only counted to
their end. The first call of a connection is not timed. Heads of HTTP/2 are read as far as the status of a good answer.
"""

import multiprocessing
import re
import select
import ssl
import time
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Final

from benchmarks.http_client import READ_BYTES, BenchmarkFailed, Endpoint, Http2Client, connect

POLL_S: Final = 1.0
STALL_S: Final = 30.0
_LENGTH: Final = re.compile(rb"(?i)\r\ncontent-length: (\d+)")
_FORK: Final = multiprocessing.get_context("fork")
"""TLS contexts go along as they are. Nothing else runs in this process that a fork could cut in two."""


@dataclass
class LoadSamples:
    """calls: answers within the time. cpu_s: of all client processes."""

    seconds: list[float] = field(default_factory=list)
    calls: int = 0
    cpu_s: float = 0.0
    busiest_s: float = 0.0  # CPU of the process that had most to do
    elapsed_s: float = 0.0


def drive(
    endpoint: Endpoint, version: str, path: str, connections: int, duration_s: float, processes: int
) -> LoadSamples:
    """Load an endpoint and return what the clients saw. Raises BenchmarkFailed."""
    shares = [connections // processes + (number < connections % processes) for number in range(processes)]
    started = []
    for share in filter(None, shares):
        ours, theirs = _FORK.Pipe(duplex=False)
        process = _FORK.Process(target=_drive, args=(theirs, endpoint, version, path, share, duration_s))
        process.start()
        theirs.close()
        started.append((process, ours))
    total = LoadSamples()
    problem = ""
    for process, ours in started:
        try:
            found = ours.recv() if ours.poll(duration_s + STALL_S) else "a client of the load stands still"
        except EOFError:
            found = "a client of the load ended early"
        process.kill() if isinstance(found, str) else None
        process.join()
        if isinstance(found, str):
            problem = found
            continue
        total.seconds += found.seconds
        total.calls += found.calls
        total.cpu_s += found.cpu_s
        total.busiest_s = max(total.busiest_s, found.cpu_s)
        total.elapsed_s = max(total.elapsed_s, found.elapsed_s)
    if problem:
        raise BenchmarkFailed(problem)
    return total


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
    out: Connection, endpoint: Endpoint, version: str, path: str, connections: int, duration_s: float
) -> None:
    try:
        callers = {
            (caller := _Caller(endpoint, version, path)).sock.fileno(): caller for _ in range(connections)
        }
        out.send(_loop(callers, duration_s))
    except (BenchmarkFailed, OSError) as error:
        out.send(str(error))


def _loop(callers: dict[int, _Caller], duration_s: float) -> LoadSamples:
    poll = select.epoll()
    samples = LoadSamples()
    cpu, begun = time.process_time(), time.perf_counter()
    for descriptor, caller in callers.items():
        poll.register(descriptor, select.EPOLLIN)
        caller.ask()
    while (now := time.perf_counter()) - begun < duration_s:
        for descriptor, _ in poll.poll(POLL_S):
            caller = callers[descriptor]
            if caller.is_answered():
                samples.seconds.append(time.perf_counter() - caller.since)
                caller.ask()
    samples.calls, samples.elapsed_s = len(samples.seconds), now - begun
    samples.cpu_s = time.process_time() - cpu
    return samples
