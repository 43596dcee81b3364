"""Retention as a duty: once a minute, what is old enough and safe enough goes."""

from pathlib import Path

from gateway.config import Settings
from gateway.keeping.export import Export
from gateway.keeping.sinks import Sinks
from gateway.keeping.tree import Trees
from gateway.retention.running import Retention
from storage.encryption.keys import KeyRing
from storage.errors import StorageError


class Expiry:
    """Runs without limits too: what was begun is completed, and holds are looked after.

    keys: what opens segments, to see whom a hold on a user or session covers.
    """

    def __init__(
        self,
        settings: Settings,
        data_dir: Path,
        trees: Trees,
        export: Export,
        sinks: Sinks,
        keys: KeyRing,
    ) -> None:
        exports = export.exporter is not None
        self._retention = Retention(
            data_dir,
            settings.record.retention,
            signer=trees.signer,
            freeable=export.freeable if exports else None,
            confirm=export.confirm_from_thread if exports else None,
            publish_leaf=trees.put_leaves,
            key_ring=keys,
            needed_by=sinks.needed_by,
        )

    def step(self) -> bool:
        """One run. Raises StorageError with what kept it from deleting what is due."""
        report = self._retention.run_once()
        if report.problems:
            raise StorageError("; ".join(report.problems))
        return report.more

    def facts(self) -> dict[str, float]:
        status = self._retention.status()
        return {
            "kubetape_retention_deleted_total": float(status.deleted_segments),
            "kubetape_retention_held_segments": float(status.waiting),
        }
