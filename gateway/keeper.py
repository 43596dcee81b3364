"""The gateway's side of the keeper: a process of its own for whatever may be slow and can be made again.

Indexing, hashing and uploading in the same process would hold the interpreter while calls wait (measured:
docs/decisions/0006). The keeper reads the log like any reader; if it dies, nothing is lost, and it is
started again with the same orders. What it does is in `gateway.keeper_process`.
"""

import subprocess
import sys
import time
from collections import deque
from contextlib import aclosing, suppress
from typing import Final

import trio

from gateway import journal
from gateway.backoff import MAX_BACKOFF_S, Backoff
from gateway.keeper_messages import (
    Finish,
    KeeperStatus,
    Orders,
    SegmentKey,
    encode_line,
    parse_status,
    segment_key_of,
)
from gateway.message_lines import lines_said
from storage.encryption.keys import DataKey
from storage.errors import UNDECODABLE

STOP_S: Final = 10.0
"""For the last checkpoint and the last segments to reach the bucket; what is left goes at the next start."""
MARGIN_S: Final = 2.0
GONE_S: Final = 5.0
"""How soon it must be gone when the gateway does not wait for it to finish."""
NOT_STARTED: Final = -1
MAX_KEYS: Final = 128
"""Keys of one log kept for a keeper that has to be started again: two hours of segments at one a minute. By log, or the
busy ones would push out the key of one that begins a segment an hour."""
MAX_WAITING: Final = 1024
"""Keys that come while it is told those kept, or while it hangs."""


class Keeper:
    """Runs the keeper process of one data directory and starts it again when it dies.

    status: what it said last. problem: why it does not run, "" while it does. is_over: its process has ended.
    """

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._keys: dict[str, deque[SegmentKey]] = {}  # by log, ascending
        self.is_over = False
        self._stopping = self._renewing = False
        self._token = trio.lowlevel.current_trio_token()
        self._outbox: trio.MemorySendChannel[SegmentKey] | None = None
        self.status = KeeperStatus()
        self.problem = ""

    def tell_key_from_thread(self, data_key: DataKey) -> None:
        """Let the keeper read a segment that this gateway itself cannot. From any thread."""
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(self.tell_key, segment_key_of(data_key))

    def tell_key(self, key: SegmentKey) -> None:
        """The same, from the loop."""
        self._keys.setdefault(key.log_origin, deque(maxlen=MAX_KEYS)).append(key)
        if self._outbox is not None:
            # closed: this one finishes, and the next is told all of them
            with suppress(trio.WouldBlock, trio.BrokenResourceError, trio.ClosedResourceError):
                self._outbox.send_nowait(key)

    def report(self) -> tuple[KeeperStatus, float]:
        """What it said last, and how many seconds ago."""
        return self.status, (time.time_ns() - self.status.at_ns) / 1e9

    async def run(self) -> None:
        """Until cancelled or stopped."""
        backoff = Backoff()
        while True:
            self.is_over = False
            started = trio.current_time()
            code = await self._run_once()
            self.is_over = True
            if self._renewing:  # also when it shall stop now: what was recorded since is not finished
                self._renewing = False
                continue
            if self._stopping:
                return
            if trio.current_time() - started > MAX_BACKOFF_S:
                backoff.reset()
            self.problem = f"the keeper process ended with code {code} and is started again"
            journal.problem("keeper", self.problem)
            await trio.sleep(backoff.next_s())
            self.problem = ""

    def stop(self) -> None:
        """Let it finish what there is, and end: `run` returns within STOP_S."""
        self._stopping = True
        if self._outbox is not None:
            self._outbox.close()

    def renew(self) -> None:
        """Let it finish, and start another: after an upgrade, say."""
        if self._outbox is not None:
            self._renewing = True
            self._outbox.close()

    async def _run_once(self) -> int:
        command = [sys.executable, "-m", "gateway.keeper_process"]
        try:
            process = await trio.lowlevel.open_process(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
            )
        except OSError as error:  # no memory, no process ids: calls go on being recorded
            journal.problem("keeper", f"the keeper process cannot be started: {error.strerror}")
            return NOT_STARTED
        self._outbox, inbox = trio.open_memory_channel[SegmentKey](MAX_WAITING)
        kept = [key for keys in self._keys.values() for key in keys]
        if self._stopping:
            self._outbox.close()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._speak, process, kept, inbox)
                nursery.start_soon(self._listen, process)
                code = await process.wait()
                nursery.cancel_scope.cancel()
        finally:
            self._outbox = None
            with trio.move_on_after(GONE_S) as scope:
                scope.shield = True
                if process.stdin is not None:
                    await process.stdin.aclose()  # without a Finish: stop at once
                await process.wait()
            if process.returncode is None:
                process.kill()
        return code

    async def _speak(
        self, process: trio.Process, kept: list[SegmentKey], inbox: trio.MemoryReceiveChannel[SegmentKey]
    ) -> None:
        assert process.stdin is not None
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):  # it died: `run` notices
            await process.stdin.send_all(encode_line(self._orders))
            for key in kept:
                await process.stdin.send_all(encode_line(key))
            async for key in inbox:
                await process.stdin.send_all(encode_line(key))
            await process.stdin.send_all(encode_line(Finish(STOP_S - MARGIN_S)))
            with trio.move_on_after(STOP_S):
                await process.wait()
            if process.returncode is None:
                journal.problem("keeper", f"the keeper did not finish within {STOP_S:.0f} s and is ended")
                process.kill()

    async def _listen(self, process: trio.Process) -> None:
        assert process.stdout is not None
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            async with aclosing(lines_said(process.stdout)) as said:
                async for lines in said:
                    if lines:
                        with suppress(*UNDECODABLE):  # a library that prints; the age of the status tells
                            self.status = parse_status(lines[-1])
