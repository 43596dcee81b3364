"""What a log acknowledged, seen from the caller's side."""

import threading
from pathlib import Path

from storage.errors import LogFailed
from storage.files import REAL_FILES, FileOps
from storage.log import Commit, LogIdentity, SegmentLog
from storage.pace import Clock, LogSettings

IDENTITY = LogIdentity("gw", "example.com/kubetape/gw", 0)
SMALL = LogSettings(
    segment_bytes=32 << 10, first_segment_bytes=16 << 10, spares=0, company_s=0.005, sync_s=0.02
)
PATIENCE_S = 20.0


class Acks:
    """Collects the callbacks of a log; waiting ends with the log's failure too."""

    def __init__(self) -> None:
        self.commits: list[Commit] = []
        self.failures: list[LogFailed] = []
        self._changed = threading.Condition()

    def on_commit(self, commit: Commit) -> None:
        with self._changed:
            self.commits.append(commit)
            self._changed.notify_all()

    def on_failure(self, failure: LogFailed) -> None:
        with self._changed:
            self.failures.append(failure)
            self._changed.notify_all()

    @property
    def written(self) -> int:
        return self.commits[-1].written_position if self.commits else 0

    @property
    def durable(self) -> int:
        return self.commits[-1].durable_position if self.commits else 0

    def wait_durable(self, position: int) -> bool:
        """Whether it became durable; False when the log failed instead."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.durable >= position or self.failures, PATIENCE_S)
            return self.durable >= position

    def wait_written(self, position: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self.written >= position, PATIENCE_S)

    def wait_failure(self) -> LogFailed:
        with self._changed:
            assert self._changed.wait_for(lambda: bool(self.failures), PATIENCE_S)
            return self.failures[0]


def open_log(
    directory: Path,
    acks: Acks,
    *,
    files: FileOps = REAL_FILES,
    settings: LogSettings = SMALL,
    clock: Clock = Clock(),  # noqa: B008 - frozen
) -> SegmentLog:
    return SegmentLog.open(
        directory,
        identity=IDENTITY,
        on_commit=acks.on_commit,
        on_failure=acks.on_failure,
        files=files,
        settings=settings,
        clock=clock,
    )
