"""The export as a duty: made from the settings, run beside the others, asked by retention."""

from collections.abc import Collection
from pathlib import Path
from typing import Final

import trio

from gateway.config import Settings
from gateway.export.exporter import Exporter
from gateway.export.s3 import S3Store
from gateway.keeper_messages import DutyStatus
from gateway.keeping.tree import Trees
from storage.files import REAL_FILES
from storage.format import SegmentName
from storage.notary.coverage import read_covered

CONFIRM_S: Final = 30.0


class Export:
    """exporter: None when no bucket is configured."""

    def __init__(self, settings: Settings, data_dir: Path, trees: Trees) -> None:
        self._trees = trees
        self._token = trio.lowlevel.current_trio_token()
        self.exporter: Exporter | None = None
        s3 = settings.export.s3
        if s3 is not None:
            self.exporter = Exporter(
                data_dir, s3, S3Store(s3), cluster=settings.cluster.name, covered=self._covered
            )

    async def run(self) -> None:
        if self.exporter is not None:
            await self.exporter.run()

    async def flush(self, deadline_s: float) -> None:
        """Copy what there is, within the time."""
        if self.exporter is not None and deadline_s > 0:
            await self.exporter.flush(deadline_s)

    def freeable(self, log: str) -> Collection[SegmentName]:
        assert self.exporter is not None
        return self.exporter.freeable(log)

    def confirm_from_thread(self, log: str, name: SegmentName) -> bool:
        """Whether a segment is in the bucket at this moment. Blocks; called from retention's thread."""
        assert self.exporter is not None
        return trio.from_thread.run(self._confirm, log, name, trio_token=self._token)

    async def _confirm(self, log: str, name: SegmentName) -> bool:
        assert self.exporter is not None
        with trio.move_on_after(CONFIRM_S):
            return await self.exporter.confirm(log, name)
        return False  # no answer is no confirmation

    def _covered(self, log_directory: Path) -> int:
        keys = [self._trees.signer(log_directory.name).verifier]
        return read_covered(REAL_FILES, log_directory, keys).manifests

    def status(self) -> DutyStatus | None:
        """None when there is nothing to export to."""
        if self.exporter is None:
            return None
        status = self.exporter.status()
        facts = {
            "kubetape_segment_export_backlog": float(status.backlog),
            "kubetape_segment_export_backlog_bytes": float(status.backlog_bytes),
            "kubetape_segment_export_age_seconds": status.oldest_pending_s,
            "kubetape_segment_export_total": float(status.uploaded),
            "kubetape_segment_export_alarms": float(len(status.alarms)),
            "kubetape_checkpoint_export_age_seconds": status.checkpoint_behind_s,
        }
        problems = (*status.alarms, *filter(None, (status.problem,)))
        return DutyStatus("; ".join(problems), facts)
