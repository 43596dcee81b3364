"""The only door to storage for writing. Nothing reaches cluster or client that did not pass here first.

Appending never blocks and never reorders. Waiting is explicit: `Tape.durable` for what must survive a
power cut before the next step (class D1 and D2), `Tape.flow` for the bounded lag of stream chunks (D0).
Once the log has failed, every append raises `LogFailed` and every waiter is woken with it: fail closed.

An append does not wake the log's thread: it would then fight the loop for the interpreter just when a task wants
to send what it recorded. The thread is woken when somebody waits for it, and else when the loop has nothing left
to do but wait for I/O, which is when the bytes are on their way.
"""

import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import trio

from gateway import journal
from gateway.durable_wait import DurableWait
from storage.encryption.key_pool import KeyPool
from storage.encryption.keys import DataKey
from storage.errors import LogFailed
from storage.files import REAL_FILES, FileOps, Headroom
from storage.log import Commit, LogIdentity, SegmentLog
from storage.pace import LogSettings
from storage.records import AnyRecord, SegmentRecovered, encode_record
from storage.recovery import Floor

MAX_LAG_BYTES: Final = 4 * 1024 * 1024
"""Un-synced bytes beyond which stream chunks wait: what a power cut may take from a running stream."""
MAX_LAG_S: Final = 0.25
"""Age of the oldest un-synced record beyond which they wait."""
HEADROOM_INTERVAL_S: Final = 0.5
CLOSE_DEADLINE_S: Final = 10.0
MARK_INTERVAL_S: Final = 0.05
"""How finely the age is tracked: one mark per interval, not one per record."""


class Recorder:
    """Appends records to one log and tells Trio tasks when they are durable.

    Must be made inside `trio.run`: the log's writer thread wakes tasks through the Trio token.
    """

    def __init__(
        self,
        directory: Path,
        *,
        identity: LogIdentity,
        settings: LogSettings,
        files: FileOps = REAL_FILES,
        keys: KeyPool | None = None,
        on_data_key: Callable[[DataKey], None] = lambda _: None,
        floor: Floor = Floor(),  # noqa: B008 - frozen
    ) -> None:
        """keys: a started pool, which encrypts the log. on_data_key, floor: see `SegmentLog.open`."""
        self._token = trio.lowlevel.current_trio_token()
        self._durable = DurableWait()
        self._marks: deque[tuple[float, int]] = deque()  # (monotonic time, position) not yet durable
        self._progress = trio.Event()  # replaced whenever it is set
        self._flowing = 0  # tasks that wait for it
        self._headroom, self._headroom_at = Headroom.OK, -HEADROOM_INTERVAL_S
        self.failure: LogFailed | None = None
        self.failed = trio.Event()
        self._log = SegmentLog.open(
            directory,
            identity=identity,
            settings=settings,
            on_commit=self._commit_from_thread,
            on_failure=self._failure_from_thread,
            files=files,
            keys=keys,
            on_data_key=on_data_key,
            floor=floor,
        )
        self.last_append_s = time.monotonic()
        self._bell = _Bell(self._log)
        trio.lowlevel.add_instrument(self._bell)

    @property
    def recovered(self) -> tuple[SegmentRecovered, ...]:
        """What was found of earlier runs; a finding "corrupt" is for a human."""
        return self._log.recovered

    @property
    def pending_bytes(self) -> int:
        """Bytes appended and not yet durable."""
        return self._log.pending_bytes

    def headroom(self) -> Headroom:
        """How full the disk is, at most HEADROOM_INTERVAL_S old."""
        now = time.monotonic()
        if now - self._headroom_at >= HEADROOM_INTERVAL_S:
            before, self._headroom, self._headroom_at = self._headroom, self._log.headroom(), now
            if before is not self._headroom:
                _report_headroom(self._headroom)
        return self._headroom

    def append(self, *records: AnyRecord, urgent: bool = False, quiet: bool = False) -> int:
        """Queue records, one behind the other; returns the position of the last. Raises LogFailed once the log has
        failed.

        urgent: somebody is going to wait for them, so the next commit syncs at once. quiet: they are no reason to
        end a segment.
        """
        log = self._log
        if len(records) == 1:  # unpacking costs as much as the rest of the call
            position = log.append(encode_record(records[0]), urgent=urgent, quiet=quiet, ring=False)
        else:
            position = log.append(*map(encode_record, records), urgent=urgent, quiet=quiet, ring=False)
        now = self.last_append_s = time.monotonic()
        if not self._marks or now - self._marks[-1][0] >= MARK_INTERVAL_S:
            self._forget_marks()
            self._marks.append((now, position))
        return position

    def check(self) -> None:
        """Raise LogFailed once the log has failed: what was durable before may be acted upon no more."""
        failure = self._log.failed
        if failure is not None:
            raise LogFailed(failure.operation, failure.path, failure.why)

    def ring(self) -> None:
        """Wake the log's thread for what is due, without waiting until the loop has nothing else to do."""
        if self._log.is_due:
            self._log.ring()

    def is_durable(self, position: int) -> bool:
        """Whether everything up to `position` survives a power cut already."""
        return position <= self._durable.position

    async def durable(self, position: int) -> None:
        """Return once everything up to `position` survives a power cut. Raises LogFailed if it never will."""
        if position > self._durable.position:
            await self._durable.until(position, self._check_and_ring)

    def _check_and_ring(self) -> None:
        if self.failure is not None:
            raise self.failure
        self.ring()

    async def flow(self) -> None:
        """Return at once while the lag is within bounds; else when it is again (backpressure)."""
        while self.lags:
            if self.failure is not None:
                raise self.failure
            self._flowing += 1
            try:
                if self.lags:  # see `_commit_from_thread`
                    await self._progress.wait()
            finally:
                self._flowing -= 1

    @property
    def lags(self) -> bool:
        """Whether more waits for the disk, or for longer, than streams may have."""
        if self._log.pending_bytes > MAX_LAG_BYTES:
            return True
        marks = self._marks
        if marks and marks[0][1] <= self._durable.position:
            self._forget_marks()
        return bool(marks) and time.monotonic() - marks[0][0] > MAX_LAG_S

    def _forget_marks(self) -> None:
        while self._marks and self._marks[0][1] <= self._durable.position:
            self._marks.popleft()

    async def close(self) -> None:
        """Seal the log. The recorder is unusable afterwards."""
        with trio.CancelScope(shield=True):
            try:
                await trio.to_thread.run_sync(self._log.close, CLOSE_DEADLINE_S)
            finally:
                self._bell.stop()
            self._durable.close()  # not when the log's thread may still run, and write to its pipe

    # --- called in the log's writer thread -----------------------------------------------------

    def _commit_from_thread(self, commit: Commit) -> None:
        """A task that waits for the log to flow registers before it looks at the log again, here it is the other way
        round: see `DurableWait.reached`."""
        self._durable.reached(commit.durable_position)
        if self._flowing:
            with suppress(trio.RunFinishedError):  # then nobody is left to be told
                self._token.run_sync_soon(self._wake_flow, idempotent=True)

    def _failure_from_thread(self, failure: LogFailed) -> None:
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(self._fail, failure)

    # --- back on the loop ----------------------------------------------------------------------

    def _fail(self, failure: LogFailed) -> None:
        self.failure = failure
        self.failed.set()
        self._durable.wake_all()
        self._wake_flow()

    def _wake_flow(self) -> None:
        self._progress.set()
        self._progress = trio.Event()


class _Bell(trio.abc.Instrument):
    """Wakes the log's thread for what is due, whenever the loop is about to wait."""

    def __init__(self, log: SegmentLog) -> None:
        self._log = log

    def before_io_wait(self, timeout: float) -> None:
        if self._log.is_due:
            self._log.ring()

    def stop(self) -> None:
        with suppress(KeyError):  # it was stopped before
            trio.lowlevel.remove_instrument(self)


def _report_headroom(headroom: Headroom) -> None:
    if headroom is Headroom.OK:
        journal.note("disk", "there is enough room on the disk again")
    elif headroom is Headroom.LOW:
        journal.problem("disk", "the disk is getting full: free some space, or move the data")
    else:
        journal.problem("disk", "the disk is full: new calls are refused until there is room")
