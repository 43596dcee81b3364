"""The log of a gateway under count: real files, a clock that stands still, and syncs that end while the loop waits.

Otherwise it would depend on the disk and on the scheduler whether a call finds its Intent durable already or has to
be woken for it. Counts records as the gateway makes them: how many of them a frame holds is up to the writer's thread.
"""

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from storage.files import RealFiles
from storage.log import Commit, SegmentLog
from storage.pace import Clock

SETTLED_BYTES: Final = 2 << 20
"""As much may wait for the disk when the loop goes on: above where the log syncs, below where streams are slowed down."""
SETTLE_TIMEOUT_S: Final = 30.0


class GatedFiles(RealFiles):
    """Real files whose `sync_data` returns only while the gate is open."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()

    def sync_data(self, fd: int) -> None:
        self.gate.wait()
        super().sync_data(fd)


class WatchedLog:
    """Stands for the class SegmentLog where the recorder opens its log, of which there is one.

    That log syncs what is urgent or large, never what is merely old.
    """

    def __init__(self) -> None:
        self.records = self.urgent_records = self.record_bytes = 0
        self._log: SegmentLog
        self._urgent_position = self._durable_position = 0
        self._committed = threading.Condition()

    def open(self, *arguments: Any, on_commit: Callable[[Commit], None], **options: Any) -> SegmentLog:
        now_s = time.monotonic()
        on_commit = partial(self._on_commit, on_commit)
        clock = Clock(monotonic_s=lambda: now_s)
        self._log = SegmentLog.open(*arguments, on_commit=on_commit, clock=clock, **options)
        self._log.append = partial(self._append, self._log.append)  # type: ignore[method-assign]
        return self._log

    def settle(self) -> None:
        """Block until everything urgent is durable, and little else waits. For the loop's thread, when it has nothing to do."""
        with self._committed:
            if not self._committed.wait_for(self._is_settled, SETTLE_TIMEOUT_S):
                raise RuntimeError(f"the log did not sync within {SETTLE_TIMEOUT_S:.0f} s")

    def _is_settled(self) -> bool:
        durable = self._durable_position >= self._urgent_position
        return durable and self._log.pending_bytes <= SETTLED_BYTES

    def _append(self, append: Callable[..., int], *records: bytes, **how: bool) -> int:
        position = append(*records, **how)
        self.records += len(records)
        self.record_bytes += sum(map(len, records))
        if how.get("urgent"):
            self.urgent_records += len(records)
            self._urgent_position = position
        return position

    def _on_commit(self, tell: Callable[[Commit], None], commit: Commit) -> None:
        tell(commit)
        with self._committed:
            self._durable_position = commit.durable_position
            self._committed.notify_all()
