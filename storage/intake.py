"""Where records wait for the writer thread: the hand-over between any number of threads and one.

`append` is on the path of every request, so it takes one short lock and wakes the writer only when that
record makes something due earlier: a wake-up costs ten times the rest of the call, and the writer then wants
the interpreter at the very moment its caller wants to send. So a caller may put the wake-up off (`is_due`,
`ring`), and a writer that has just worked dozes for a moment before it sleeps: what comes meanwhile and is
not urgent need not wake it. Here is also the latch: the first failure is kept for ever, empties the queue,
and makes every later append raise.
"""

import threading
from pathlib import Path

from storage.errors import LogFailed
from storage.format import MAX_RECORD_BYTES
from storage.pace import NEVER, NOW, Clock, LogSettings, Queued, write_due_s


class Intake:
    """The queue of one log. position: of the next record; durable_bytes: set by the writer thread.

    is_due: something waits for the writer, which sleeps: `ring`.
    """

    def __init__(self, directory: Path, settings: LogSettings, clock: Clock) -> None:
        self.failed: LogFailed | None = None
        self.is_due = False
        self.position = 1
        self.appended_bytes = self.durable_bytes = 0
        self._directory, self._settings, self._clock = str(directory), settings, clock
        self._max_pending_bytes = settings.max_pending_bytes
        self._mutex = threading.Lock()
        self._queued = Queued([])
        self._closing = False
        self._bell = threading.Lock()
        self._bell.acquire()  # held: silent. Rung by releasing it, at most once per sleep
        self._asleep_until_s = NOW  # NOW: awake
        self._has_worked = False  # what was taken last held records

    def append(self, *records: bytes, urgent: bool, quiet: bool = False, ring: bool = True) -> int:
        """Queue records, one behind the other; returns the position of the last. Raises LogFailed, ValueError.

        ring: wake the writer if it sleeps too long for them. Else the caller does, soon.
        """
        byte_count = 0
        for record in records:
            size = len(record)
            if not 0 < size <= MAX_RECORD_BYTES:
                raise ValueError(f"a record of {size} bytes; the log takes 1 to {MAX_RECORD_BYTES}")
            byte_count += size
        with self._mutex:
            if self.failed is not None or self._closing:
                raise self.refusal()
            appended_bytes = self.appended_bytes + byte_count
            if appended_bytes - self.durable_bytes > self._max_pending_bytes:
                why = f"{self.pending_bytes} bytes wait for the disk"
                self._latch(LogFailed("append", self._directory, why))
                raise self.refusal()
            self.appended_bytes = appended_bytes
            queued = self._queued
            if not queued.records:
                queued.since_s = self._clock.monotonic_s()
            queued.records += records
            queued.byte_count += byte_count
            if urgent:
                queued.urgent = True
            if not quiet:
                queued.quiet = False
            self.position += len(records)
            is_due = self.is_due
            if not is_due and self._asleep_until_s != NOW:
                is_due = self.is_due = write_due_s(queued, self._settings) < self._asleep_until_s
            if is_due and ring:
                self._ring()
            return self.position - 1

    def ring(self) -> None:
        """Wake the writer for what is due."""
        with self._mutex:
            self._ring()

    @property
    def pending_bytes(self) -> int:
        """Bytes of records that are not yet durable."""
        return self.appended_bytes - self.durable_bytes

    def take(self, due_s: float) -> Queued | None:
        """Sleep until records are due, or until the monotonic second due_s; then take all there are.

        None once the intake is closed and empty. Raises LogFailed once it has failed.
        """
        doze_until_s = self._clock.monotonic_s() + self._settings.company_s if self._has_worked else NOW
        while True:
            with self._mutex:
                if self.failed is not None:
                    raise self.failed
                if self._closing and not self._queued.records:
                    return None
                now_s = self._clock.monotonic_s()
                wake_s = min(write_due_s(self._queued, self._settings), due_s)
                if self._closing or wake_s <= now_s:
                    queued, self._queued = self._queued, Queued([])
                    self._has_worked = bool(queued.records)
                    return queued
                if now_s < doze_until_s < wake_s:
                    wake_s = doze_until_s
                self._asleep_until_s = wake_s
            self._sleep(wake_s - now_s)

    def close(self) -> None:
        """Take no more; let `take` give out the rest."""
        with self._mutex:
            self._closing = True
            self._ring()

    def latch(self, failure: LogFailed) -> None:
        """Fail, unless it has failed before."""
        with self._mutex:
            self._latch(failure)

    def refusal(self) -> LogFailed:
        """What to raise now. Fresh each time: raising one object again piles up its tracebacks."""
        failed = self.failed or LogFailed("append", self._directory, "the log is closed")
        return LogFailed(failed.operation, failed.path, failed.why)

    def _latch(self, failure: LogFailed) -> None:
        self.failed = self.failed or failure
        self._queued = Queued([])
        self._ring()

    def _ring(self) -> None:
        """Wake the writer thread if it sleeps; the mutex is held."""
        self.is_due = False
        if self._asleep_until_s != NOW:
            self._asleep_until_s = NOW
            self._bell.release()

    def _sleep(self, duration_s: float) -> None:
        rung = self._bell.acquire(timeout=-1 if duration_s == NEVER else duration_s)
        with self._mutex:
            if not rung and self._asleep_until_s == NOW:
                self._bell.acquire()  # it rang between the timeout and here: take it back
            self._asleep_until_s = NOW
