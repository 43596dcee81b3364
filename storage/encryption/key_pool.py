"""Data keys made ahead, in a thread of their own: beginning a segment must not wait for a key service.

The pool is the time an outage of that service may last: as many segments as it holds, and an hour, then the log
fails closed. A failure is kept as the reason and tried again with growing pauses; the next success clears it.
The hour is what bounds how long a key that was made ahead outlives the key encryption key it is wrapped with:
after a rotation, and before an old one is retired.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from storage.encryption.keys import DataKey, KeyMaker
from storage.errors import StorageError

FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 30.0
MAX_AGE_S: Final = 3600.0


class KeyPool:
    """Keeps `size` data keys ready. `start` it before use, `stop` it at the end."""

    def __init__(
        self,
        maker: KeyMaker,
        size: int = 2,
        *,
        first_pause_s: float = FIRST_PAUSE_S,
        max_age_s: float = MAX_AGE_S,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._maker, self._size, self._first_pause_s = maker, size, first_pause_s
        self._max_age_s, self._monotonic_s = max_age_s, monotonic_s
        self._ready: deque[tuple[float, DataKey]] = deque()  # with the moment each was made, oldest first
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="kubetape-data-keys", daemon=True)
        self.problem = ""  # why the last attempt failed, "" when it did not

    def start(self) -> None:
        self._thread.start()

    @property
    def is_ready(self) -> bool:
        """Whether the next `take` returns at once."""
        with self._changed:
            self._drop_old()
            return bool(self._ready)

    def take(self, deadline_s: float) -> DataKey | None:
        """A fresh key, waiting up to deadline_s seconds; None if there is none: see `problem`."""
        with self._changed:
            self._drop_old()
            if (
                not self._changed.wait_for(lambda: self._ready or self._stopping, deadline_s)
                or not self._ready
            ):
                return None
            self._changed.notify_all()
            return self._ready.popleft()[1]

    def stop(self) -> None:
        """Make no more keys, and forget those made. Does not wait for a call under way: it changes nothing."""
        with self._changed:
            self._stopping = True
            self._ready.clear()
            self._changed.notify_all()

    def _drop_old(self) -> None:
        oldest_s = self._monotonic_s() - self._max_age_s
        while self._ready and self._ready[0][0] <= oldest_s:
            self._ready.popleft()
            self._changed.notify_all()

    # --- the thread -------------------------------------------------------------------------------

    def _run(self) -> None:
        pause_s = self._first_pause_s
        while self._wait_for_room():
            made_s = self._monotonic_s()
            try:
                key = self._maker.make()
            except Exception as error:  # a bug of a key service's library must not end the thread in silence
                known = isinstance(error, StorageError | OSError)
                self.problem = str(error) if known else f"no data key can be made: {type(error).__name__}"
                self._pause(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
                continue
            self.problem, pause_s = "", self._first_pause_s
            with self._changed:
                if not self._stopping:
                    self._ready.append((made_s, key))
                    self._changed.notify_all()

    def _wait_for_room(self) -> bool:
        """Sleep while the pool is full of young keys; False when it is over."""
        with self._changed:
            while not self._stopping:
                self._drop_old()
                if len(self._ready) < self._size:
                    return True
                self._changed.wait(self._ready[0][0] + self._max_age_s - self._monotonic_s())
            return False

    def _pause(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._stopping, seconds)
