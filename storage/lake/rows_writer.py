"""Sealed segments -> row files, one segment after the other, each once.

Conduct: reads what the log's writer has finished (sealed and recovered segments, in order), gives it to
`RowMaker`, writes the files, then the state. A crash anywhere repeats one segment with the same bytes. A
segment that cannot be read (no key, shredded, damaged) never blocks those behind it: a control event says
so. Where the reason may pass (a key service that does not answer), name its error in `transient`.

The trap: the log goes on while this reads. A segment still open ends the step, even if later ones are
sealed: they follow each other in sealing too.
"""

import errno
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeAlias

import msgspec

from storage.encryption.keys import NO_KEYS, KeyRing
from storage.errors import UNDECODABLE, StorageError
from storage.files import REAL_FILES, FileOps, read_start
from storage.format import (
    PAGE_BYTES,
    SUFFIX_RECOVERED,
    SUFFIX_SEALED,
    SegmentName,
    parse_header_page,
    parse_segment_name,
)
from storage.lake.place import Place, SegmentRef
from storage.lake.row_maker import RowMaker
from storage.lake.rows import TABLE_OF, Row
from storage.lake.rows_file import RowsFile
from storage.lake.rows_state import LOCK_NAME, ROWS_DIRECTORY, RowsState, load_state, rows_path, save_state
from storage.lake.settings import RowSettings
from storage.reader import list_segments, read_segment
from storage.segment_file import Frame
from storage.sources import LOG_DIRECTORY

FINISHED: Final = (SUFFIX_SEALED, SUFFIX_RECOVERED)
_GONE: Final = (errno.EIO, errno.ENOENT)
"""Reading will not do better later: a bad sector, or retention was faster."""

LogLeafIndex: TypeAlias = Callable[[str, str, int], int | None]
"""(log, stem of a segment, block_seq) -> index of its leaf."""


class Unreadable(msgspec.Struct, frozen=True):
    """A segment whose rows are missing, all or from some place on."""

    log: str
    stem: str
    why: str


class RowsWriter:
    """Keeps rows up with the logs of a data directory. Not to be shared by threads at one time.

    rows_dir: default DIR/rows. between_frames is called between two frames: to let other threads run, or to
    stop by raising. unreadable: what was skipped by this object, the latest last.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        settings: RowSettings | None = None,
        rows_dir: Path | None = None,
        files: FileOps = REAL_FILES,
        keys: KeyRing = NO_KEYS,
        leaf_index: LogLeafIndex | None = None,
        transient: tuple[type[StorageError], ...] = (),
        between_frames: Callable[[], None] = lambda: None,
    ) -> None:
        self.rows_dir = rows_dir or data_dir / ROWS_DIRECTORY
        self.unreadable: list[Unreadable] = []
        self.rows_made = 0
        self._log_dir, self._files, self._keys = data_dir / LOG_DIRECTORY, files, keys
        self._settings, self._leaf_index = settings or RowSettings(), leaf_index
        self._transient, self._between_frames = transient, between_frames
        self._lock: int | None = None
        self._logs: dict[str, tuple[SegmentName | None, RowMaker]] = {}  # the last segment done

    def run_once(self) -> bool:
        """Make the rows of the next finished segment of each log. True: there may be more.

        False also while another process makes rows here. Raises OSError when rows cannot be written or the
        log cannot be read, and errors of `transient`; nothing is lost, call again later.
        """
        if not self.take_lock():
            return False
        found = False
        for log in self.logs():
            try:
                found |= self._step(log)
            except BaseException:
                self._logs.pop(log, None)  # what it took and did not write is read again
                raise
        return found

    def take_lock(self) -> bool:
        """Become the one that makes rows here; False while another process is. Raises OSError."""
        if self._lock is None:
            self._files.make_directory(self.rows_dir)
            try:
                self._lock = self._files.lock(self.rows_dir / LOCK_NAME)
            except BlockingIOError:
                return False
        return True

    def close(self) -> None:
        """Give up the lock; the next one goes on where this one stopped."""
        self._logs.clear()
        if self._lock is not None:
            self._files.close(self._lock)
            self._lock = None

    def logs(self) -> list[str]:
        """Names of the logs, sorted."""
        try:
            return sorted(name for name in self._files.names(self._log_dir) if self._segments(name))
        except FileNotFoundError:
            return []

    # --- one segment ------------------------------------------------------------------------------

    def _segments(self, log: str) -> list[SegmentName]:
        try:
            return list_segments(self._log_dir / log, files=self._files)
        except NotADirectoryError:
            return []

    def _step(self, log: str) -> bool:
        done, maker = self._logs[log] if log in self._logs else self._restore(log)
        name = next((name for name in self._segments(log) if done is None or name > done), None)
        path = self._finished(log, name) if name is not None else None
        if name is None or path is None:
            self._logs[log] = done, maker
            return False
        self._make(log, maker, name, path)
        save_state(
            self.rows_dir, log, RowsState(name.stem, maker.encode(), self._settings), files=self._files
        )
        self._logs[log] = name, maker
        return True

    def _finished(self, log: str, name: SegmentName) -> Path | None:
        """The file of a segment nobody writes any more; None while it is open."""
        present = set(self._files.names(self._log_dir / log))
        for suffix in FINISHED:
            if name.stem + suffix in present:
                return self._log_dir / log / (name.stem + suffix)
        return None

    def _make(self, log: str, maker: RowMaker, name: SegmentName, path: Path) -> None:
        """Write the row files of one segment."""
        tables: dict[str, RowsFile] = {}
        try:
            for row in self._rows(log, maker, name, path):
                table = TABLE_OF[type(row)]
                if table not in tables:
                    tables[table] = RowsFile(self._files, rows_path(self.rows_dir, log, table, name.stem))
                tables[table].add(row)
            while tables:
                table, file = next(iter(tables.items()))
                del tables[table]
                file.finish()
                self.rows_made += file.rows
        finally:
            for file in tables.values():
                file.abandon()

    def _rows(self, log: str, maker: RowMaker, name: SegmentName, path: Path) -> Iterator[Row]:
        segment = SegmentRef(name.stem, "", "")
        try:
            segment = self._reference(path, name)
            for frame in read_segment(path, files=self._files, keys=self._keys):
                for at, encoded in records_of(frame, segment):
                    yield from maker.take(at, encoded)
                self._between_frames()
        except self._transient:
            raise
        except (StorageError, OSError) as error:
            if isinstance(error, OSError) and error.errno not in _GONE:
                raise
            self.unreadable.append(Unreadable(log, name.stem, str(error)))
            yield maker.unreadable(segment, name.start_ms * 1_000_000, str(error))
        yield from maker.end_segment()

    def _reference(self, path: Path, name: SegmentName) -> SegmentRef:
        """What rows say of their segment. Raises CorruptFrame."""
        header = parse_header_page(read_start(self._files, path, PAGE_BYTES), path.name)
        return SegmentRef(name.stem, header.segment_id, header.gateway_id)

    # --- after a restart ----------------------------------------------------------------------------

    def _restore(self, log: str) -> tuple[SegmentName | None, RowMaker]:
        leaf_index = self._leaf_of(log)
        state = load_state(self.rows_dir, log, files=self._files)
        if state is not None and not self._of_another_log(log, state.name):
            try:
                maker = RowMaker.decode(state.maker, log, self._settings, leaf_index)
            except UNDECODABLE:
                pass
            else:
                self._feed_again(log, maker, state.name)
                return state.name, maker
        return None, RowMaker(log, self._settings, leaf_index)

    def _of_another_log(self, log: str, done: SegmentName) -> bool:
        """Whether the data directory was exchanged: the same number is another segment now."""
        return any(name.number == done.number and name != done for name in self._segments(log))

    def _leaf_of(self, log: str) -> Callable[[str, int], int | None] | None:
        look_up = self._leaf_index
        return None if look_up is None else lambda stem, block_seq: look_up(log, stem, block_seq)

    def _feed_again(self, log: str, maker: RowMaker, done: SegmentName) -> None:
        """Read once more the bodies that were being hashed at the end of the last segment done."""
        first = parse_segment_name(maker.bodies_from() or "")
        wanted = [name for name in self._segments(log) if first is not None and first <= name <= done]
        for name in wanted:
            path = self._finished(log, name)
            try:
                for frame in read_segment(path, files=self._files, keys=self._keys) if path else ():
                    for encoded in frame.records:
                        maker.feed_again(encoded)
            except self._transient:
                raise
            except (StorageError, OSError):
                continue  # it was not readable before either, or is no more: no hash


def forget_open_texts(data_dir: Path, log: str, *, files: FileOps = REAL_FILES) -> None:
    """Drop the text that the state keeps of calls still open: a segment with some of it was shredded.

    Their rows will lack it. A process that makes rows meanwhile has it in memory, and may write it once more.
    """
    rows_dir = data_dir / ROWS_DIRECTORY
    state = load_state(rows_dir, log, files=files)
    if state is None:
        return
    try:
        maker = RowMaker.decode(state.maker, log, RowSettings(metadata_only=True))
    except UNDECODABLE:
        maker = RowMaker(log, RowSettings(metadata_only=True))
    save_state(rows_dir, log, msgspec.structs.replace(state, maker=maker.encode()), files=files)


def records_of(frame: Frame, segment: SegmentRef) -> Iterator[tuple[Place, bytes]]:
    """The records of a frame, each with its place."""
    info = frame.info
    for index, encoded in enumerate(frame.records):
        place = Place(segment, info.block_seq, index, info.first_record_seq + index, info.committed_ns)
        yield place, encoded
