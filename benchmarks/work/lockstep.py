"""Client and API server act only when the gateway waits for them, and the gateway only when they wait for it.

An instrument of the event loop: before the loop waits for sockets, everything urgent in the log is made durable, then
the peers take what has come and say what they have to say, until something is on its way to the gateway. So reads
find the same bytes, and tasks wait at the same places, in every run and on every machine. The trap: an exception
in an instrument is only logged by Trio; here it is kept, and ends the run.
"""

import select
from collections.abc import Generator
from typing import Final, Protocol, TypeAlias

import trio
from trio.lowlevel import Task

from benchmarks.work.callers import Client
from benchmarks.work.peers import ApiServer
from benchmarks.work.recording import GatedFiles, WatchedLog

Turns: TypeAlias = Generator[None, None, None]
"""A script of both ends: each `yield` gives the gateway its turn, and comes back when it waits again."""

STUCK_S: Final = 20.0


class Count(Protocol):
    def resume(self) -> None: ...

    def pause(self) -> None: ...


class NoCount:
    def resume(self) -> None:
        pass

    def pause(self) -> None:
        pass


class Lockstep(trio.abc.Instrument):
    """Plays scripts against the gateway of this event loop. clients: open connections of the script."""

    def __init__(self, api: ApiServer, log: WatchedLog, files: GatedFiles) -> None:
        self.api = api
        self.clients: list[Client] = []
        self.steps = 0  # of tasks
        self.log, self.files = log, files
        self._count: Count = NoCount()
        self._script: Turns | None = None
        self._problem: BaseException | None = None
        self._finished = trio.Event()
        self._token = trio.lowlevel.current_trio_token()
        # Trio has no public way to ask whether its loop would find something to do: its epoll can be polled itself.
        runner = trio._core._run.GLOBAL_RUN_CONTEXT.runner
        self._loop_fd: int = runner.io_manager._epoll.fileno()

    async def play(self, script: Turns, count: Count | None = None) -> int:
        """Run a script to its end, counting; returns how many steps tasks took meanwhile."""
        self._finished = trio.Event()
        self._script, self._count, self.steps = script, count or NoCount(), 0
        await self._finished.wait()
        self._count.pause()
        if self._problem is not None:
            raise self._problem
        return self.steps

    def before_io_wait(self, timeout: float) -> None:
        if self._script is None or timeout <= 0:
            return
        self._count.pause()
        self.files.gate.set()
        try:
            self._turn(self._script)
        except StopIteration:
            self._end(None)
        except Exception as error:
            self._end(error)
        else:
            self._count.resume()

    def after_io_wait(self, timeout: float) -> None:
        if self._script is not None:
            self._count.pause()
            self.files.gate.clear()
            self._count.resume()

    def after_task_step(self, task: Task) -> None:
        self.steps += 1

    def _turn(self, script: Turns) -> None:
        """Until something is on its way to the gateway. Raises StopIteration at the end of the script."""
        self.log.settle()
        while True:
            sent = self.api.turn()
            for client in self.clients:
                client.hear()
            next(script)
            for client in self.clients:
                sent = client.peer.flush() or sent
            sent = self.api.turn() or sent
            # What was sent may wake nobody: at an ended connection the gateway looks when it likes.
            if self._is_loop_due(0.0 if sent else STUCK_S):
                return

    def _is_loop_due(self, within_s: float) -> bool:
        """Wait for anybody; whether it is the gateway. Raises RuntimeError when all wait for each other."""
        poll = select.poll()
        poll.register(self._loop_fd, select.POLLIN)
        for sock in self.api.sockets():
            poll.register(sock, select.POLLIN)
        for client in self.clients:
            if not client.peer.is_over:
                poll.register(client.peer.tls, select.POLLIN)
        ready = poll.poll(within_s * 1e3)
        if not ready and within_s:
            raise RuntimeError("the gateway and its peers wait for each other")
        return any(fd == self._loop_fd for fd, _ in ready)

    def _end(self, problem: BaseException | None) -> None:
        self._script, self._problem = None, problem
        self._token.run_sync_soon(self._finished.set)
