"""Records -> the index: one SQLite file a UTC day, brought up to date one bounded step at a time.

`Indexer.run_once` is called again and again (by the keeper in a thread, by the command line before it
reads). One indexer at a time: `index/LOCK`. Rows of a day and the number of the record they reach to
are one transaction, so a crash anywhere repeats work and doubles nothing.

The log is the truth. Whatever does not fit together (a file deleted, garbled, of another log, older
than its generation says) is thrown away and read from the log again.
"""

import fcntl
import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from storage.errors import UNDECODABLE, BadKeyFile, CorruptFrame, NoKey, StorageError, WrongKey
from storage.index_day import Day
from storage.index_early import EarlyRecords
from storage.index_rows import INTERRUPTED, IndexSettings, OpenCall, call_text, day_of
from storage.index_schema import (
    LOCK_FILE,
    STATE_FILE,
    GarbledIndex,
    IndexFailed,
    create_private,
    day_files,
    make_private,
    remove_index_file,
)
from storage.index_state import MODE_FULL, MODE_METADATA, MODE_NONE, IndexState
from storage.reader import Position
from storage.records import (
    AnyRecord,
    ChannelChunk,
    Gap,
    Heartbeat,
    Intent,
    LogStarted,
    LogStopped,
    LossAccepted,
    Outcome,
    PolicyLoaded,
    ResponseBody,
    ResponseStarted,
    SegmentRecovered,
    SessionOpened,
    StateChanged,
    SubRequest,
    UnknownRecord,
    decode_record,
)
from storage.sources import RecordSource, SegmentLogs
from storage.state_note import read_state

INDEX_DIRECTORY: Final = "index"
STEP_RECORDS: Final = 4000
"""Records of one step: well under a second of work."""

MAX_STEP_BYTES: Final = 16 * 1024 * 1024
"""Bytes of records of one step: bounds memory and how long a transaction lasts."""

MAX_STEP_S: Final = 0.25
"""A step ends after this long, at a whole record: the indexer must be able to stop soon, and output
made of nothing but escape sequences takes a hundred times longer than text."""

MAX_OPEN_DAYS: Final = 4
"""Day files kept open between steps: today, yesterday, and some while catching up."""

_NOT_OF_A_CALL: Final = (
    *(LogStarted, LogStopped, Gap, SegmentRecovered, Heartbeat, LossAccepted),
    *(SessionOpened, PolicyLoaded, StateChanged, UnknownRecord),
)
_MOST_OF_A_CALL: Final = (ResponseStarted, ResponseBody, Outcome, ChannelChunk)
"""Asked about first."""


class Indexer:
    """Keeps an index up with the logs of a data directory. Not to be shared by threads at one time.

    index_dir: default DIR/index. Nothing is opened before the first step.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        index_dir: Path | None = None,
        source: RecordSource | None = None,
        settings: IndexSettings | None = None,
    ) -> None:
        self.directory = index_dir or data_dir / INDEX_DIRECTORY
        self._source = source or SegmentLogs(data_dir)
        self._settings = settings or IndexSettings()
        self._lock_fd: int | None = None
        self._state: IndexState | None = None
        self._days: dict[str, Day] = {}
        self._open: dict[bytes, tuple[str, str, OpenCall]] = {}  # exchange -> (log, day, call)
        self.indexed = 0  # records taken by this object

    def run_once(self, budget: int = STEP_RECORDS) -> bool:
        """Index up to `budget` more records of each log. True: there is more; call again at once.

        False also while another indexer holds the lock. Raises IndexFailed when the index cannot be
        written, and CorruptFrame, UnknownDictionary, NoKey, BadKeyFile or WrongKey when a log cannot be read
        on; the other logs, and everything before the damage, are indexed then.
        """
        if not self.take_lock():
            return False
        try:
            state = self._ready()
            more, damage = False, None
            for log in self._source.logs():
                step = self._step(state, log, budget)
                more |= step is True
                damage = damage or (step if isinstance(step, StorageError) else None)
        except GarbledIndex:
            self.discard()
            return True
        except BaseException:
            self._forget()  # what is in memory and not on disk is read again
            raise
        if damage is not None and not more:
            raise damage
        return more

    def close(self) -> None:
        """Give up the lock; the next indexer goes on where this one stopped."""
        self._forget()
        if self._lock_fd is not None:
            os.close(self._lock_fd)
            self._lock_fd = None

    def take_lock(self) -> bool:
        """Become the indexer of this directory; False while another process is. Raises IndexFailed."""
        if self._lock_fd is not None:
            if self._lock_in_place(self._lock_fd):
                return True
            self.close()  # the whole directory was deleted under us
        try:
            make_private(self.directory)
            fd = create_private(self.directory / LOCK_FILE)
        except OSError as error:
            raise IndexFailed(f"cannot write to {self.directory}: {error.strerror}") from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            return False
        self._lock_fd = fd
        return True

    def _lock_in_place(self, fd: int) -> bool:
        try:
            return os.path.samestat(os.fstat(fd), os.stat(self.directory / LOCK_FILE))
        except OSError:
            return False

    # --- one step -------------------------------------------------------------------------------

    def _step(self, state: IndexState, log: str, budget: int) -> bool | StorageError:
        """Take records of one log and commit them. True if the budget ended it; damage that did is
        returned, because what lies before it is good."""
        last, last_encoded = state.position(log), b""
        records = self._source.records(log, last.next() if last is not None else None)
        taken = size = 0
        end_s = time.monotonic() + MAX_STEP_S
        outcome: bool | StorageError = False
        while taken < budget and size < MAX_STEP_BYTES and (not taken or time.monotonic() < end_s):
            try:
                position, encoded = next(records)
            except StopIteration:
                break
            except FileNotFoundError:  # expired while we were away: go on with the oldest there is
                state.forget_positions(None)
                outcome = last is not None
                break
            except StorageError as error:
                outcome = error
                break
            if last is not None and position.record_seq > last.record_seq + 1:
                self._skip(log)
            self._take(log, position, encoded)
            last, last_encoded = position, encoded
            taken += 1
            size += len(encoded)
        else:
            outcome = True
        if taken and last is not None:
            self._commit(state, log, last, last_encoded)
        self.indexed += taken
        return outcome

    def _commit(self, state: IndexState, log: str, last: Position, encoded: bytes) -> None:
        changed = {name: day for name, day in self._days.items() if day.changed}
        for day in changed.values():
            day.commit(log, last.record_seq)
        state.save(log, last, encoded, changed)
        for name in sorted(self._days)[:-MAX_OPEN_DAYS]:
            self._days.pop(name).close()

    def _take(self, log: str, at: Position, encoded: bytes) -> None:
        try:
            record = decode_record(encoded)
        except UNDECODABLE:  # a bug of the writer; the frame around it is intact
            return
        if isinstance(record, Intent):
            self._begin(log, at, record)
        elif isinstance(record, _MOST_OF_A_CALL) or not isinstance(record, _NOT_OF_A_CALL):
            self._continue(log, at, record)
        elif isinstance(record, SessionOpened):
            day = self._day(day_of(record.at_ns))
            if not day.has(log, at.record_seq):
                day.note_session(record)
        elif not isinstance(record, Heartbeat | UnknownRecord):
            if isinstance(record, LogStarted | LogStopped):
                self._end_of_run(log, at)
            self._note(log, at, record)

    def _begin(self, log: str, at: Position, intent: Intent) -> None:
        name = day_of(intent.at_ns)
        day = self._day(name)
        early = self._early(log).take(intent.exchange)
        if day.has(log, at.record_seq):
            return
        call = OpenCall.begin(day.new_call(), log, at.record_seq, intent, self._settings)
        self._open[intent.exchange] = (log, name, call)
        for before, record in early:
            day.touch(call, log, before)
            call.take(record, self._settings, day.pieces, day.known)
        day.touch(call, log, at)
        if not self._settings.metadata_only:
            day.note_words(call, call_text(intent))

    def _continue(self, log: str, at: Position, record: AnyRecord) -> None:
        exchange: bytes = getattr(record, "exchange", b"")
        known = self._open.get(exchange)
        if known is None or known[0] != log:
            if isinstance(record, SubRequest):  # else its Intent expired, or its row is complete
                self._early(log).keep(at, record)
            return
        _, name, call = known
        day = self._day(name)
        if day.has(log, at.record_seq):
            return
        day.touch(call, log, at)
        if not self._settings.metadata_only:
            day.note_content(call, record)
        if call.take(record, self._settings, day.pieces, day.known):
            day.end(call)
            del self._open[exchange]

    def _early(self, log: str) -> EarlyRecords:
        assert self._state is not None  # a step is running
        early = self._state.early.get(log)
        if early is None:
            early = self._state.early[log] = EarlyRecords()
        return early

    def _skip(self, log: str) -> None:
        """Records were stepped over that nobody can read: what is open may have had some of them."""
        for of_log, name, call in self._open.values():
            if of_log == log:
                call.lose()
                self._day(name).keep(call)

    def _end_of_run(self, log: str, at: Position) -> None:
        """Another run of the gateway writes from here on: what is open will never end."""
        self._early(log).clear()
        for exchange, (of_log, name, call) in list(self._open.items()):
            if of_log == log and call.row.seq < at.record_seq:
                day = self._day(name)  # does not have this record yet, else the call were not open
                call.abandon(INTERRUPTED, day.pieces)
                day.end(call)
                del self._open[exchange]

    def _note(
        self,
        log: str,
        at: Position,
        record: LogStarted | LogStopped | Gap | SegmentRecovered | LossAccepted | PolicyLoaded | StateChanged,
    ) -> None:
        day = self._day(day_of(record.at_ns))
        if day.has(log, at.record_seq):
            return
        shown: object = record
        if isinstance(record, StateChanged):
            shown = read_state(record, with_content=not self._settings.metadata_only).entry
        detail = msgspec.json.encode(shown).decode()
        day.note_event(log, at.record_seq, record.at_ns, type(record).__name__, detail)

    def _day(self, name: str) -> Day:
        day = self._days.get(name)
        if day is None:
            day = self._days[name] = Day(self.directory / f"{name}.sqlite")
        return day

    # --- trust ----------------------------------------------------------------------------------

    def _ready(self) -> IndexState:
        """The state, once everything on disk fits together. Raises GarbledIndex if it does not."""
        if (
            self._state is not None
            and self._state.in_place()
            and all(d.in_place() for d in self._days.values())
        ):
            return self._state
        self._forget()
        files = day_files(self.directory)
        if files and not (self.directory / STATE_FILE).exists():
            raise GarbledIndex(f"{self.directory}: day files without {STATE_FILE}")
        state = self._state = IndexState(self.directory / STATE_FILE)
        mode = MODE_METADATA if self._settings.metadata_only else MODE_FULL
        if not state.mode:
            state.set_mode(mode)
        elif state.mode != mode:
            raise GarbledIndex(f"{self.directory}: holds {state.mode}, and {mode} is wanted")
        for log in self._source.logs():
            self._check_log(state, log)
        for name, (token, generation) in state.days().items():
            if name not in files:
                state.forget_positions(name)
            elif not self._adopt(name, files[name], token, generation):
                remove_index_file(files[name])
                state.forget_positions(name)
        for name in files.keys() - state.days().keys():
            self._adopt(name, files[name], None, 0)  # its commit was the last act before a crash
        return state

    def _check_log(self, state: IndexState, log: str) -> None:
        """The record the index reached must be the one in the log, or the index is of another log."""
        known = state.last_record(log)
        if known is None:
            return
        position, digest = known
        try:
            for at, encoded in self._source.records(log, position):
                if at == position and hashlib.sha256(encoded).digest() == digest:
                    return
                break
        except FileNotFoundError:
            state.forget_positions(None)  # that segment expired; days know what they have
            return
        except (CorruptFrame, NoKey, BadKeyFile, WrongKey):
            return  # damaged or locked since: keep what was read from it when it could be
        except StorageError:
            pass
        if self._source.unreadable(log, position) is not None:
            return
        raise GarbledIndex(f"{self.directory}: made from another log than the one in place")

    def _adopt(self, name: str, path: Path, token: str | None, generation: int) -> bool:
        """Load what a day file holds open; False if it is not the file the state knows."""
        try:
            day = Day(path)
        except GarbledIndex:
            return False
        try:
            if token is not None and (day.token != token or day.generation < generation):
                return False
            for log, encoded in day.open_calls():
                call = OpenCall.decode(encoded, self._settings)
                self._open[call.row.exchange] = (log, name, call)
        except (*UNDECODABLE, GarbledIndex):
            return False
        finally:
            day.close()
        return True

    def discard(self) -> None:
        """Delete every file of the index; the next step begins anew. The lock must be held."""
        self._forget()
        for path in [*day_files(self.directory).values(), self.directory / STATE_FILE]:
            remove_index_file(path)

    def forbid(self) -> None:
        """Delete the index and leave word that none is wanted on this disk. The lock must be held."""
        self.discard()
        state = IndexState(self.directory / STATE_FILE)
        try:
            state.set_mode(MODE_NONE)
        finally:
            state.close()

    def _forget(self) -> None:
        for day in self._days.values():
            day.close()
        self._days.clear()
        self._open.clear()
        if self._state is not None:
            self._state.close()
            self._state = None


def rebuild_index(
    data_dir: Path,
    progress: Callable[[int], None] = lambda _: None,
    *,
    index_dir: Path | None = None,
    source: RecordSource | None = None,
    settings: IndexSettings | None = None,
) -> int:
    """Throw the index away and make it again from the logs; returns the number of records read.

    progress: called with that number so far, several times a second. Raises IndexFailed when another
    process is indexing, and what `Indexer.run_once` raises.
    """
    indexer = Indexer(data_dir, index_dir=index_dir, source=source, settings=settings)
    try:
        if not indexer.take_lock():
            raise IndexFailed(f"{indexer.directory} is being written by a running gateway; stop it first")
        indexer.discard()
        while indexer.run_once():
            progress(indexer.indexed)
    finally:
        indexer.close()
    return indexer.indexed
