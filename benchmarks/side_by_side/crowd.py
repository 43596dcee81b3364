"""Client processes that ask in a closed loop, again and again: opened and warmed once, then set off in turns.

What they do is theirs (`load_client`, `start_client`); here is how they start, are told to go, are heard and end.
"""

import contextlib
import multiprocessing
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Final

from benchmarks.http_client import BenchmarkFailed

STALL_S: Final = 30.0
END_PATIENCE_S: Final = 1.0
_FORK: Final = multiprocessing.get_context("fork")
"""TLS contexts go along as they are, which no other start method could carry."""


@dataclass
class LoadSamples:
    """What clients saw. busiest_cores: cores used by the client process that had most to do."""

    seconds: list[float] = field(default_factory=list)
    elapsed_s: float = 0.0
    busiest_cores: float = 0.0


Loop = Callable[[float], LoadSamples]
"""Asks for so many seconds; returns when the last answer is there."""

Opening = Callable[[int], Loop]
"""Opens so many connections, in the process that uses them, and makes a first call on each: not timed."""


class Crowd:
    """Open until its stack ends."""

    def __init__(self, ends: Sequence[Connection]) -> None:
        self._ends = ends

    def loop(self, duration_s: float) -> LoadSamples:
        """All of them at once. Raises BenchmarkFailed in the words of the one that failed."""
        for ours in self._ends:
            ours.send(duration_s)
        parts = [_hear(ours, duration_s + STALL_S) for ours in self._ends]
        return LoadSamples(
            [seconds for part in parts for seconds in part.seconds],
            max(part.elapsed_s for part in parts),
            max(part.busiest_cores for part in parts),
        )


def open_crowd(stack: contextlib.ExitStack, opening: Opening, shares: Sequence[int]) -> Crowd:
    """A process for each share of connections, ready to go. Raises BenchmarkFailed."""
    ends = []
    for share in shares:
        ours, theirs = _FORK.Pipe()
        process = _FORK.Process(target=_serve, args=(theirs, opening, share), daemon=True)
        _start(process)
        stack.callback(_end, process, ours)
        theirs.close()
        ends.append(ours)
    for ours in ends:
        _hear(ours, STALL_S)
    return Crowd(ends)


def _hear(ours: Connection, patience_s: float) -> LoadSamples:
    """What a client process says next; it says in words what went wrong."""
    try:
        found = ours.recv() if ours.poll(patience_s) else "a client of the load stands still"
    except EOFError:
        found = "a client of the load ended early"
    if not isinstance(found, LoadSamples):
        raise BenchmarkFailed(str(found))
    return found


def _start(process: "multiprocessing.process.BaseProcess") -> None:
    with warnings.catch_warnings():
        # Python 3.12 and later warn when a program with threads forks. Ours, if any, are idle ones that Trio keeps.
        warnings.simplefilter("ignore", DeprecationWarning)
        process.start()


def _end(process: "multiprocessing.process.BaseProcess", ours: Connection) -> None:
    """Told in so many words: other client processes hold copies of the pipe, so that closing it says nothing."""
    with contextlib.suppress(OSError):
        ours.send(None)
    process.join(END_PATIENCE_S)
    process.kill()
    process.join()
    ours.close()


def _serve(parent: Connection, opening: Opening, share: int) -> None:
    try:
        loop = opening(share)
        parent.send(LoadSamples())
        while (duration_s := parent.recv()) is not None:
            parent.send(loop(duration_s))
    except (BenchmarkFailed, OSError) as error:
        parent.send(str(error))
    except KeyboardInterrupt:
        pass  # goes to all processes at a terminal; the one that started us says so
