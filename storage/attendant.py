"""The slow work of a log in a thread of its own: pre-zeroed spare segments, and sealing full ones.

A commit must wait for neither 64 MiB of zeros nor a block table of a hundred thousand entries. Runs at
low priority and syncs its zeros piece by piece. A disk without room only means that there is no spare:
the log finds out by itself, and spares are its reserve. Any other I/O error goes to `on_trouble`, for a
disk that fails here fails there.
"""

import contextlib
import errno
import os
import queue
import secrets
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

from storage.errors import LogFailed
from storage.files import FileOps, log_failed
from storage.pace import LogSettings
from storage.writer import SUFFIX_TEMPORARY, SegmentWriter, write_zeros

SUFFIX_SPARE: Final = ".spare"
PAUSE_S: Final = 0.005
"""Between two synced MiB of zeros: a spare takes about a second, and a commit in between hardly longer."""
NICENESS: Final = 10
NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT)


class _Stopping(Exception):
    """The log closes: drop the spare being made."""


class Attendant:
    """Makes spares and seals segments until stopped. Its own methods never block but `stop`."""

    def __init__(
        self, files: FileOps, directory: Path, settings: LogSettings, on_trouble: Callable[[LogFailed], None]
    ) -> None:
        self._files, self._directory, self._settings = files, directory, settings
        self._on_trouble = on_trouble
        self._jobs: queue.SimpleQueue[SegmentWriter | None] = queue.SimpleQueue()
        self._ready: deque[Path] = deque()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kubetape-log-attendant", daemon=True)

    def start(self) -> None:
        """Adopt the spares of earlier runs, then begin to work. Raises LogFailed."""
        try:
            for name in self._files.names(self._directory):
                path = self._directory / name
                if path.suffix == SUFFIX_SPARE:
                    self._adopt(path)
        except OSError as error:
            raise log_failed("list", self._directory, error) from error
        self._jobs.put(None)
        self._thread.start()

    def _adopt(self, path: Path) -> None:
        """A spare got its name when all its zeros were durable; one of another size serves nobody."""
        fd = self._files.open_read(path)
        size = self._files.size(fd)
        self._files.close(fd)
        if size == self._settings.segment_bytes and len(self._ready) < self._settings.spares:
            self._ready.append(path)
        else:
            self._files.remove(path)

    def take_spare(self) -> Path | None:
        """A pre-zeroed file of segment_bytes, None when none is ready; another is made in its place."""
        self._jobs.put(None)
        return self._ready.popleft() if self._ready else None

    def seal(self, segment: SegmentWriter) -> None:
        """Seal it some time soon, in order; it belongs to the attendant from now on."""
        self._jobs.put(segment)

    def stop(self) -> None:
        """Finish the seals, drop a spare being made, end the thread."""
        self._stopping.set()
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        with contextlib.suppress(OSError):  # low priority is a wish
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        try:
            while not (self._stopping.is_set() and self._jobs.empty()):
                segment = self._jobs.get()
                if segment is not None:
                    segment.seal()
                elif not self._stopping.is_set():
                    self._refill()
        except LogFailed as failure:
            self._on_trouble(failure)
        except Exception as error:  # a bug here must end in refusal, not in a silent thread
            self._on_trouble(LogFailed("attend", str(self._directory), f"{type(error).__name__}: {error}"))

    def _refill(self) -> None:
        while len(self._ready) < self._settings.spares and self._jobs.empty():
            path = self._directory / (secrets.token_hex(4) + SUFFIX_SPARE)
            unfinished = path.with_suffix(SUFFIX_TEMPORARY)
            try:
                self._make_spare(unfinished, path)
            except _Stopping:
                return
            except OSError as error:
                if error.errno in NO_ROOM:
                    with contextlib.suppress(OSError):  # the little it took is needed more elsewhere
                        self._files.remove(unfinished)
                    return
                raise log_failed("spare", path, error) from error
            self._ready.append(path)

    def _make_spare(self, unfinished: Path, path: Path) -> None:
        fd = write_zeros(self._files, unfinished, self._settings.segment_bytes, self._pause)
        self._files.close(fd)
        self._files.rename(unfinished, path)
        self._files.sync_directory(self._directory)

    def _pause(self) -> None:
        if self._stopping.wait(PAUSE_S):
            raise _Stopping
