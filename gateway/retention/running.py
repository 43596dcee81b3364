"""One run of retention over all logs of a data directory. Conduct, blocking: for a worker thread, every minute.

Decides nothing itself (`storage.retention.decide` does) and deletes nothing itself (`storage.retention.expiry_run`). What it needs
of others comes in as functions: what is verified in S3, the key of the log, and who puts a tombstone into the tree.

The trap: whatever cannot be read, the holds first of all, means that nothing is deleted; it is said in the report
and tried again.
"""

import time
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from gateway.retention.settings import RetentionSettings
from storage.encryption.keys import NO_KEYS, KeyRing, read_small
from storage.errors import StorageError
from storage.files import REAL_FILES, FileOps, replace_file
from storage.format import SegmentName
from storage.index import INDEX_DIRECTORY
from storage.retention.expiry_plan import Outlook, Rules, needed_by_nobody
from storage.retention.expiry_run import Expiry, LogReport
from storage.retention.holds import Lookup
from storage.retention.holds_file import Change, holding_still, read_changes, read_holds
from storage.retention.holds_index import IndexLookup
from storage.retention.inventory import list_entries
from storage.retention.rows_expiry import expire_rows
from storage.sources import LOG_DIRECTORY, log_names
from storage.tlog.note import Signer

TOLD_FILE: Final = "holds.told"
"""How far the changes of holds were handed on: an offset in their log."""
_MAX_OFFSET_BYTES: Final = 32

Freeable = Callable[[str], Collection[SegmentName]]
"""log -> its segments whose copy in S3 is verified, as last seen."""
Confirm = Callable[[str, SegmentName], bool]
"""Whether the copy of a segment is in S3 at this moment. Raises StorageError, OSError."""


class Report(msgspec.Struct, frozen=True):
    """What one run did. problems: also those of single logs; rows_deleted: files."""

    logs: tuple[LogReport, ...] = ()
    rows_deleted: int = 0
    problems: tuple[str, ...] = ()

    @property
    def more(self) -> bool:
        """Whether to run again at once: something was deleted, and a bound was reached, not an obstacle."""
        return any(log.more and log.deleted for log in self.logs)


class Status(msgspec.Struct, frozen=True):
    """For metrics and readiness. problems: of the last run; waiting: segments with a tombstone, still there; of these
    `kept` are under a hold that came later."""

    last_run_ns: int = 0
    deleted_segments: int = 0  # since start
    deleted_bytes: int = 0
    waiting: int = 0
    kept: int = 0
    holds: int = 0
    problems: tuple[str, ...] = ()


class Retention:
    """Keeps a data directory within its limits. Not for two threads at once.

    freeable: None while export is not configured. confirm: asked before a segment goes that must be in S3.
    publish_leaf: puts the tombstones of a log into its tree, signs a checkpoint, syncs the tree; may be asked again,
    and may leave it to whoever does so anyway: an unlink waits until it is seen in the tree. signer: of a log, by
    name. key_ring: what the index is made with; of a segment that it does not open, holds on a session or user are
    taken to be on it. on_hold_change: told each change of legal holds at least once, in order.
    """

    def __init__(
        self,
        data_dir: Path,
        settings: RetentionSettings,
        *,
        signer: Callable[[str], Signer],
        freeable: Freeable | None = None,
        confirm: Confirm | None = None,
        publish_leaf: Callable[[str], None] = lambda _: None,
        on_hold_change: Callable[[Change], None] | None = None,
        lookup: Lookup | None = None,
        key_ring: KeyRing = NO_KEYS,
        needed_by: Callable[[str, SegmentName], str] = needed_by_nobody,
        files: FileOps = REAL_FILES,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._data_dir, self._settings, self._files, self._now_ns = data_dir, settings, files, now_ns
        self._signer, self._publish_leaf = signer, publish_leaf
        self._freeable, self._confirm = freeable, confirm
        self._on_hold_change = on_hold_change
        self._lookup, self._key_ring = lookup or IndexLookup(data_dir / INDEX_DIRECTORY), key_ring
        self._needed_by = needed_by
        self._policy = settings.policy(export_configured=freeable is not None)
        self._sizes: dict[tuple[str, str], int] = {}
        self._status = Status()

    def run_once(self) -> Report:
        """Delete what may go now. Problems of one log do not keep the others from it; none are raised."""
        try:
            self._tell_changes()
            with holding_still(self._files, self._data_dir):
                report, holds = self._run()
        except (StorageError, OSError) as error:
            report, holds = Report(problems=(f"nothing was deleted: {error}",)), self._status.holds
        self._note(report, holds)
        return report

    def status(self) -> Status:
        return self._status

    def facts(self) -> dict[str, float]:
        """Figures for the metrics, by name."""
        status = self._status
        return {
            "retention_deleted_segments": status.deleted_segments,
            "retention_deleted_bytes": status.deleted_bytes,
            "retention_waiting_segments": status.waiting,
            "retention_legal_holds": status.holds,
        }

    def _run(self) -> tuple[Report, int]:
        holds = read_holds(self._files, self._data_dir)
        rules = Rules(self._policy, holds, self._lookup, self._now_ns(), self._key_ring, self._needed_by)
        logs, problems, rows_deleted = [], [], 0
        for log in log_names(self._files, self._data_dir / LOG_DIRECTORY):
            try:
                report = self._run_log(log, rules)
                rows_deleted += self._expire_rows(log, rules.now_ns)
            except (StorageError, OSError) as error:
                problems.append(f"log {log}: {error}")
                continue
            logs.append(report)
            problems += [f"log {log}: {problem}" for problem in report.problems]
        return Report(tuple(logs), rows_deleted, tuple(problems)), len(holds)

    def _run_log(self, log: str, rules: Rules) -> LogReport:
        signer = self._signer(log)
        outlook = Outlook(
            self._files,
            self._data_dir,
            log,
            rules,
            exported=frozenset(self._freeable(log)) if self._freeable else frozenset(),
            keys=[signer.verifier],
            sizes=self._sizes,
        )
        confirm = partial(self._confirm, log) if self._confirm else None
        return Expiry(outlook, confirm=confirm).run(signer, self._publish_leaf)

    def _expire_rows(self, log: str, now_ns: int) -> int:
        max_age_ns = self._settings.rows_max_age_ns
        if max_age_ns is None:
            return 0
        entries = list_entries(self._files, self._data_dir / LOG_DIRECTORY / log)
        return expire_rows(self._files, self._data_dir, log, entries, begun_before_ns=now_ns - max_age_ns)

    def _note(self, report: Report, holds: int) -> None:
        known = self._status
        self._status = Status(
            self._now_ns(),
            known.deleted_segments + sum(len(log.deleted) for log in report.logs),
            known.deleted_bytes + sum(log.deleted_bytes for log in report.logs),
            sum(len(log.waiting) + len(log.kept) for log in report.logs),
            sum(len(log.kept) for log in report.logs),
            holds,
            report.problems,
        )

    # --- changes of holds ---------------------------------------------------------------------------

    def _tell_changes(self) -> None:
        """Hand on what the command line changed. Noted after it was handed on: told twice rather than never."""
        if self._on_hold_change is None:
            return
        path = self._data_dir / TOLD_FILE
        try:
            text = read_small(self._files, path, _MAX_OFFSET_BYTES)
        except FileNotFoundError:
            text = b""
        told = int(text) if text.isdigit() else 0
        changes, upto = read_changes(self._files, self._data_dir, told)
        for change in changes:
            self._on_hold_change(change)
        if upto != told:
            replace_file(self._files, path, b"%d" % upto)
