"""One worker or control process, as its supervisor sees it: started, heard, told, ended. Conduct.

The trap: a child that hangs is not one that died, and says nothing either. `silent_s` tells; ending it is the
business of whoever keeps it (gateway.slot).
"""

import subprocess
import sys
from collections.abc import Callable
from contextlib import aclosing, suppress
from typing import Final

import trio

from gateway import journal
from gateway.keeper_messages import SegmentKey, encode_line
from gateway.message_lines import lines_said
from gateway.process_messages import (
    Drained,
    Finish,
    FromWorker,
    Started,
    StartFailed,
    ToWorker,
    WorkerOrders,
    WorkerStatus,
    parse_from_worker,
)
from storage.errors import UNDECODABLE

COMMAND: Final = (sys.executable, "-m", "gateway.worker_process")
MAX_WAITING: Final = 16
AT_ONCE: Final = Finish(at_once=True)
NOT_STARTED: Final = -1
GONE_S: Final = 3.0
"""How soon it must be gone when nobody waits for what it does."""
UNSTARTED_GONE_S: Final = 0.5
"""The same for one that has not served yet: it hears nothing before, and what it opened is made to be killed."""


class Child:
    """Made once a process; `run` is its life. started: None until it serves. failed: why it never did."""

    def __init__(self, orders: WorkerOrders, tell_key: Callable[[SegmentKey], None]) -> None:
        self.orders = orders
        self._tell_key = tell_key
        self.started: Started | None = None
        self.failed: StartFailed | None = None
        self.status = WorkerStatus()
        self.decided = trio.Event()  # it has started, failed, or ended
        self.drained = trio.Event()
        self.ended = trio.Event()
        self.code = NOT_STARTED
        self._began_s = self._heard_s = trio.current_time()
        self._process: trio.Process | None = None
        self._outbox, self._inbox = trio.open_memory_channel[ToWorker](MAX_WAITING)

    @property
    def name(self) -> str:
        return self.orders.name

    @property
    def pid(self) -> int:
        return self._process.pid if self._process is not None else 0

    @property
    def silent_s(self) -> float:
        """Since it last said something."""
        return trio.current_time() - self._heard_s

    @property
    def age_s(self) -> float:
        return trio.current_time() - self._began_s

    def hear_anew(self) -> None:
        """Its silence may have been our own deafness: count from now."""
        self._heard_s = trio.current_time()

    def tell(self, message: ToWorker) -> None:
        with suppress(trio.WouldBlock, trio.ClosedResourceError, trio.BrokenResourceError):
            self._outbox.send_nowait(message)

    def kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    async def run(self) -> None:
        """From start to end. Cancelled, it is ended at once."""
        try:
            self._process = await trio.lowlevel.open_process(
                list(COMMAND),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,  # Ctrl-C is for the supervisor, which drains
                pass_fds=self.orders.sockets,
            )
            await self._accompany(self._process)
        except OSError as error:  # no memory, no process ids
            journal.problem("process", f"{self.name} cannot be started: {error.strerror}")
        finally:
            self.decided.set()
            self.drained.set()
            self.ended.set()

    async def _accompany(self, process: trio.Process) -> None:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._speak, process)
                nursery.start_soon(self._listen, process)
                self.code = await process.wait()
                nursery.cancel_scope.cancel()
        finally:
            if process.returncode is None:
                patience_s = GONE_S if self.started is not None else UNSTARTED_GONE_S
                with trio.move_on_after(patience_s) as scope:
                    scope.shield = True
                    await self._say_at_once(process)
                    await process.wait()
            if process.returncode is None:
                process.kill()
                with trio.move_on_after(GONE_S) as scope:
                    scope.shield = True
                    await process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with trio.CancelScope(shield=True):
                        await trio.aclose_forcefully(pipe)

    async def _say_at_once(self, process: trio.Process) -> None:
        assert process.stdin is not None
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await process.stdin.send_all(encode_line(AT_ONCE))
            await process.stdin.aclose()

    async def _speak(self, process: trio.Process) -> None:
        assert process.stdin is not None
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):  # it died: `run` notices
            await process.stdin.send_all(encode_line(self.orders))
            async for message in self._inbox:
                await process.stdin.send_all(encode_line(message))

    async def _listen(self, process: trio.Process) -> None:
        assert process.stdout is not None
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            async with aclosing(lines_said(process.stdout)) as said:
                async for lines in said:
                    for line in lines:
                        with suppress(*UNDECODABLE):  # a library that prints; the silence tells
                            self._hear(parse_from_worker(line))

    def _hear(self, message: FromWorker) -> None:
        self._heard_s = trio.current_time()
        if isinstance(message, SegmentKey):
            self._tell_key(message)
        elif isinstance(message, WorkerStatus):
            self.status = message
            if self.started is not None:
                self.decided.set()
        elif isinstance(message, Drained):
            self.drained.set()
        elif isinstance(message, Started):
            self.started = message
        else:
            self.failed = message
