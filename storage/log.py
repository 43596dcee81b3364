"""One log: many callers append, one thread writes, and the first failure is the last.

`SegmentLog.append` only queues; the writer thread takes everything queued, writes it as one frame, syncs
when somebody waits for it, and reports. What is durable, and when, is said by `Commit` alone. The trap is
fsync: after a failed one Linux marks the pages clean and the next one succeeds, so the first error of any
kind is remembered here for ever, every later append is refused, and nothing is acknowledged any more.
Un-acknowledged records are not carried into another segment: on the same disk that would be a guess.

Callbacks come from the writer thread; hop to the event loop yourself. This module knows nothing of it.
"""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from storage.attendant import Attendant
from storage.dictionary import shipped_parameters
from storage.encryption.cipher import SUITE_NONE, new_cipher_parameters
from storage.encryption.key_pool import KeyPool
from storage.encryption.keys import DataKey
from storage.errors import LogFailed, LogInUse
from storage.files import (
    REAL_FILES,
    FileOps,
    Filesystem,
    Headroom,
    filesystem_of,
    judge_space,
    log_failed,
)
from storage.format import CipherParameters, SegmentHeader
from storage.intake import Intake
from storage.pace import (
    NEVER,
    Clock,
    LogSettings,
    Queued,
    cut_blocks,
    rotation_due_s,
    sync_due_s,
)
from storage.records import SegmentRecovered, encode_record
from storage.recovery import Floor, Recovery, mark_recovered, recover
from storage.segment_id import new_segment_id
from storage.writer import SegmentWriter, new_salt, open_segment

LOCK_NAME: Final = "LOCK"
KEY_RETRY_S: Final = 1.0
"""How often a rotation that is due and lacks a key is tried again."""
KEY_WAIT_S: Final = 10.0
"""For a data key when the pool is empty and a segment must begin: nothing is acknowledged meanwhile."""


class LogIdentity(msgspec.Struct, frozen=True):
    """Whose log it is; part of every segment's header."""

    gateway_id: str
    log_origin: str
    worker: int


class Commit(msgspec.Struct, frozen=True):
    """How far the log is. A record is written (survives a kill) or durable (survives a power cut) when
    its position is not beyond the one given here; 0: none yet."""

    written_position: int
    durable_position: int


class SegmentLog:
    """The log of one worker, and the only writer of its directory. `SegmentLog.open` makes it.

    filesystem: warn at start unless `filesystem.spares_are_reserve`.
    recovered: what was found of earlier runs; a finding "corrupt" is for a human, the log itself goes on.
    """

    def __init__(
        self,
        directory: Path,
        lock: int,
        identity: LogIdentity,
        files: FileOps,
        on_commit: Callable[[Commit], None],
        on_failure: Callable[[LogFailed], None],
        settings: LogSettings,
        clock: Clock,
        keys: KeyPool | None,
        on_data_key: Callable[[DataKey], None],
    ) -> None:
        self.directory = directory
        self.recovered: tuple[SegmentRecovered, ...] = ()
        self.filesystem: Filesystem = filesystem_of(directory)
        self._lock: int | None = lock
        self._identity, self._files, self._settings, self._clock = identity, files, settings, clock
        self._on_commit, self._on_failure = on_commit, on_failure
        self._keys, self._on_data_key = keys, on_data_key
        self._zstd = shipped_parameters(settings.dict_id, settings.level)
        self._intake = Intake(directory, settings, clock)
        self.append: Final = self._intake.append  # on the path of every keystroke: no layer between
        """Queue encoded records, one behind the other; returns the position of the last: dense, from 1, going on
        after a restart.

        Nothing is durable on return, and the call never waits for the disk. What is urgent is written
        and synced at once with all before it; others within the bounds of LogSettings. A quiet record (a
        heartbeat) does not age its segment: idle hours make few files. Without `ring` the caller wakes the
        writer when `is_due` says so, and bounds how late that is. Raises LogFailed once the log has failed or
        is closed, ValueError for a record no frame can hold (MAX_RECORD_BYTES): then none is queued.
        """
        # The writer thread's own.
        self._written_bytes = 0
        self._written_position = self._durable_position = 0
        self._unsynced_since_s = 0.0
        self._content_since_s = NEVER  # of the open segment
        self._reported = Commit(0, 0)
        self._epoch, self._prev_segment_id, self._next_number = 1, "", 1
        self._segment: SegmentWriter
        self._attendant = Attendant(files, directory, settings, self._intake.latch)
        self._thread = threading.Thread(target=self._run, name="kubetape-log-writer", daemon=True)

    @classmethod
    def open(
        cls,
        directory: Path,
        *,
        identity: LogIdentity,
        on_commit: Callable[[Commit], None],
        on_failure: Callable[[LogFailed], None],
        files: FileOps = REAL_FILES,
        settings: LogSettings = LogSettings(),  # noqa: B008 - frozen
        clock: Clock = Clock(),  # noqa: B008 - frozen
        keys: KeyPool | None = None,
        on_data_key: Callable[[DataKey], None] = lambda _: None,
        floor: Floor = Floor(),  # noqa: B008 - frozen
    ) -> "SegmentLog":
        """Lock the directory, examine what earlier runs left, begin a new segment, start writing.

        Blocks (milliseconds, longer after a crash); creates the directory. on_commit and on_failure are
        called from the writer thread and must not raise; on_failure at most once. keys: a started pool, which
        encrypts what is written; the log stops it at its end. on_data_key: told the key of each new segment,
        also from this call. floor: see `Floor`. Raises LogInUse, LogFailed, UnknownDictionary.
        """
        try:
            files.make_directory(directory)
            lock = files.lock(directory / LOCK_NAME)
        except BlockingIOError as error:
            raise LogInUse(
                f"{directory} is written by another process: stop it, or use another directory"
            ) from error
        except OSError as error:
            raise log_failed("lock", directory, error) from error
        try:
            log = cls(
                directory, lock, identity, files, on_commit, on_failure, settings, clock, keys, on_data_key
            )
            log._begin(recover(files, directory), floor)
        except BaseException:
            files.close(lock)
            raise
        log._thread.start()
        return log

    def _begin(self, recovery: Recovery, floor: Floor) -> None:
        """Open this run's first segment and say in it what was found, before anything else is said."""
        self._epoch, self._prev_segment_id = recovery.next_epoch, recovery.prev_segment_id
        self._next_number = max(recovery.next_segment_number, floor.segment_number)
        next_record_seq = max(recovery.next_record_seq, floor.record_seq)
        self._written_position = self._durable_position = next_record_seq - 1
        self._reported = Commit(self._written_position, self._durable_position)
        self._segment = self._open_segment(next_record_seq, spare=None)
        try:
            self._say_recovered(recovery)
            self._attendant.start()
        except BaseException:
            self._segment.abandon()
            raise

    def _say_recovered(self, recovery: Recovery) -> None:
        now_ns = self._clock.now_ns()
        self.recovered = tuple(examination.record(now_ns) for examination in recovery.examined)
        for block in cut_blocks([encode_record(record) for record in self.recovered]):
            self._content_since_s = self._clock.monotonic_s()
            self._append_block(block, now_ns)
        self._sync()
        self._intake.position = self._written_position + 1
        self._intake.appended_bytes = self._written_bytes
        mark_recovered(self._files, recovery.examined)

    # --- for callers ----------------------------------------------------------------------------

    @property
    def is_due(self) -> bool:
        """Whether records wait for a writer that sleeps: `ring`."""
        return self._intake.is_due

    def ring(self) -> None:
        """Wake the writer for what was appended without `ring`."""
        self._intake.ring()

    @property
    def next_position(self) -> int:
        """What the next append will return."""
        return self._intake.position

    @property
    def pending_bytes(self) -> int:
        """Bytes of records queued or written but not yet durable: the measure for backpressure."""
        return self._intake.pending_bytes

    @property
    def failed(self) -> LogFailed | None:
        """Why the log refuses, once it does; never reset."""
        return self._intake.failed

    def headroom(self) -> Headroom:
        """How full the disk is, by a system call. Raises LogFailed when it cannot be told."""
        try:
            return judge_space(self._files.space(self.directory), self._settings.watermarks)
        except OSError as error:
            raise log_failed("statvfs", self.directory, error) from error

    def close(self, deadline_s: float) -> None:
        """Write and sync what is queued, seal the segment, unlock. Safe to call twice.

        Raises LogFailed when the log has failed, or is not done within deadline_s seconds: then what was
        not acknowledged is lost, and the next start examines the segment.
        """
        self._intake.close()
        self._thread.join(deadline_s)
        if self._thread.is_alive():
            self._intake.latch(
                LogFailed("close", str(self.directory), f"the disk did not finish within {deadline_s} s")
            )
        elif self._lock is not None:
            self._files.close(self._lock)
            self._lock = None
        if self._keys is not None:
            self._keys.stop()
        if self._intake.failed is not None:
            raise self._intake.refusal()

    # --- the writer thread --------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while (queued := self._intake.take(min(self._sync_due_s(), self._rotation_due_s()))) is not None:
                self._turn(queued)
            self._finish()
        except LogFailed as failure:
            self._fail(failure)
        except Exception as error:  # a bug here must end in refusal, not in a silent thread
            self._fail(LogFailed("write", str(self.directory), f"{type(error).__name__}: {error}"))

    def _turn(self, queued: Queued) -> None:
        blocks = cut_blocks(queued.records)
        for block in blocks:
            committed_ns = self._clock.now_ns()
            if not self._segment.takes(block, committed_ns):
                self._rotate()
            if self._written_bytes == self._intake.durable_bytes:
                self._unsynced_since_s = queued.since_s
            if not queued.quiet:
                self._content_since_s = min(self._content_since_s, self._clock.monotonic_s())
            self._append_block(block, committed_ns)
            if block is not blocks[-1] and self._sync_due_s() <= self._clock.monotonic_s():
                self._sync()
        if queued.urgent or self._sync_due_s() <= self._clock.monotonic_s():
            self._sync()
        self._report()
        self._segment.book()
        if self._rotation_due_s() <= self._clock.monotonic_s():
            self._rotate()
            self._report()

    def _append_block(self, block: list[bytes], committed_ns: int) -> None:
        self._segment.append(block, committed_ns)
        self._written_position += len(block)
        self._written_bytes += sum(map(len, block))

    def _sync(self) -> None:
        self._segment.sync()
        self._durable_position = self._written_position
        self._intake.durable_bytes = self._written_bytes

    def _sync_due_s(self) -> float:
        unsynced_bytes = self._written_bytes - self._intake.durable_bytes
        return sync_due_s(unsynced_bytes, self._unsynced_since_s, self._settings)

    def _rotation_due_s(self) -> float:
        due_s = rotation_due_s(self._content_since_s, self._settings)
        if due_s <= self._clock.monotonic_s() and not self._has_key():
            return self._clock.monotonic_s() + KEY_RETRY_S
        return due_s

    def _report(self) -> None:
        """Say how far the log is, unless it has failed meanwhile: then nothing is acknowledged."""
        commit = Commit(self._written_position, self._durable_position)
        if commit == self._reported:
            return
        if self._intake.failed is not None:
            raise self._intake.failed
        self._reported = commit
        self._on_commit(commit)

    def _rotate(self) -> None:
        """Everything in the old segment is durable before the new one exists: only a log's last segment
        can ever be torn."""
        self._sync()
        full, self._prev_segment_id = self._segment, self._segment.header.segment_id
        self._content_since_s = NEVER
        self._attendant.seal(full)
        self._segment = self._open_segment(full.next_record_seq, spare=self._attendant.take_spare())

    def _open_segment(self, first_record_seq: int, *, spare: Path | None) -> SegmentWriter:
        settings, now_ns = self._settings, self._clock.now_ns()
        data_key = self._take_key()
        header = SegmentHeader(
            segment_id=data_key.envelope.segment_id if data_key else new_segment_id(now_ns),
            log_origin=self._identity.log_origin,
            gateway_id=self._identity.gateway_id,
            worker=self._identity.worker,
            writer_epoch=self._epoch,
            segment_number=self._next_number,
            prev_segment_id=self._prev_segment_id,
            first_record_seq=first_record_seq,
            created_ns=now_ns,
            salt32=new_salt(),
            zstd=self._zstd,
            cipher=new_cipher_parameters() if data_key else CipherParameters(SUITE_NONE),
        )
        self._next_number += 1
        capacity = (
            settings.segment_bytes if spare else min(settings.first_segment_bytes, settings.segment_bytes)
        )
        segment = open_segment(
            self._files, self.directory, header, capacity_bytes=capacity, spare=spare, data_key=data_key
        )
        if data_key is not None:
            self._on_data_key(data_key)
        return segment

    def _has_key(self) -> bool:
        """A segment that could go on is not ended while no key for the next is ready: at most until it is
        full, or the hour is over."""
        return self._keys is None or self._keys.is_ready

    def _take_key(self) -> DataKey | None:
        if self._keys is None:
            return None
        data_key = self._keys.take(KEY_WAIT_S)
        if data_key is None:
            why = self._keys.problem or f"none within {KEY_WAIT_S:.0f} s"
            raise LogFailed("data key", str(self.directory), why)
        return data_key

    def _finish(self) -> None:
        self._sync()
        self._report()
        self._attendant.seal(self._segment)
        self._attendant.stop()
        if self._intake.failed is not None:
            raise self._intake.failed

    def _fail(self, failure: LogFailed) -> None:
        """The end of the writer thread. The segment stays as it is, for the next start to examine; so does
        its descriptor, which may belong to the attendant by now."""
        self._intake.latch(failure)
        self._on_failure(self._intake.failed or failure)
        self._attendant.stop()
