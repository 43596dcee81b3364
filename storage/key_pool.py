"""Data keys made ahead, in a thread of their own: beginning a segment must not wait for a key service.

The pool is the time an outage of that service may last: as many segments as it holds, then the log fails closed.
A failure is kept as the reason and tried again with growing pauses; the next success clears it.
"""

import queue
import threading
from typing import Final

from storage.errors import StorageError
from storage.keys import DataKey, KeyMaker

FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 30.0


class KeyPool:
    """Keeps `size` data keys ready. `start` it before use, `stop` it at the end."""

    def __init__(self, maker: KeyMaker, size: int = 2, *, first_pause_s: float = FIRST_PAUSE_S) -> None:
        self._maker, self._first_pause_s = maker, first_pause_s
        self._ready: queue.Queue[DataKey] = queue.Queue(size)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kubetape-data-keys", daemon=True)
        self.problem = ""  # why the last attempt failed, "" when it did not

    def start(self) -> None:
        self._thread.start()

    @property
    def is_ready(self) -> bool:
        """Whether the next `take` returns at once."""
        return not self._ready.empty()

    def take(self, deadline_s: float) -> DataKey | None:
        """A fresh key, waiting up to deadline_s seconds; None if there is none: see `problem`."""
        try:
            return self._ready.get(timeout=deadline_s)
        except queue.Empty:
            return None

    def stop(self) -> None:
        """Make no more keys. Does not wait for a call that is under way: it changes nothing."""
        self._stopping.set()
        while self.is_ready:  # a put that waits for room
            self.take(0.001)

    def _run(self) -> None:
        pause_s = self._first_pause_s
        while not self._stopping.is_set():
            try:
                key = self._maker.make()
            except (StorageError, OSError) as error:
                self.problem = str(error)
                self._stopping.wait(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
                continue
            self.problem, pause_s = "", self._first_pause_s
            while not self._stopping.is_set():
                try:
                    self._ready.put(key, timeout=0.5)
                    break
                except queue.Full:
                    continue
