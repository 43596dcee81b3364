"""The export: a data directory into a bucket, until cancelled. Conduct; what is next is decided in storage.export.

Two lanes that do not wait for each other: the urgent one keeps every log's tree and checkpoint in the bucket
(tree_export), the other one everything else (file_lane). boto3 runs in worker threads of a number of their own, so
neither the loop nor other threads' work ever waits for S3. Nothing is uploaded before the bucket was found to be
what the settings say. An object of somebody else's under one of our keys is an alarm, never overwritten.
"""

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
import trio

from gateway import journal
from gateway.export.file_lane import FileLane
from gateway.export.ledger import Ledger
from gateway.export.scan import Scanner
from gateway.export.settings import S3Settings, lock_problem, lock_warning
from gateway.export.store import ObjectStore, StoreFailed
from gateway.export.tree_export import Covered, TreeExport
from storage.format import SegmentName

POLL_S: Final = 1.0
"""How soon a sealed segment is met. Looking costs a directory listing."""
RECHECK_S: Final = 30.0
"""How often a bucket that does not fit is looked at again, so that mending it needs no restart."""
BATCH: Final = 16
"""Taken before looking again, so that during a long backlog a key that has to be destroyed is not forgotten."""
URGENT_THREADS: Final = 2


class ExportStatus(msgspec.Struct, frozen=True):
    """How far the copy is. Ages in seconds; None: not in this run."""

    backlog: int  # objects that are to be uploaded, compared or destroyed; not trees
    backlog_bytes: int
    oldest_pending_s: float  # since its file came to be; 0: nothing is pending
    last_success_s: float | None
    last_checkpoint_s: float | None  # of the log that is furthest behind
    checkpoint_behind_s: (
        float  # how long a log's newest checkpoint has not been in the bucket; 0: all are there
    )
    uploaded: int  # verified in this run
    alarms: tuple[str, ...]  # somebody else's objects under our keys, rewritten logs
    problem: str  # why the export does not get on, "" while it does
    warning: str  # what the operator should know, "" for nothing


class Exporter:
    """One data directory and one bucket."""

    def __init__(
        self,
        data_dir: Path,
        settings: S3Settings,
        store: ObjectStore,
        *,
        cluster: str,
        covered: Covered = lambda log_directory: 0,
        clock: Callable[[], int] = time.time_ns,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """store: gateway.export.s3.S3Store(settings). cluster: its name, for the keys. clock: UTC nanoseconds.

        covered: without it no local copy is ever freeable. Reads the ledger: blocks for a moment.
        """
        self._data_dir, self._settings, self._store = data_dir, settings, store
        self._covered, self._clock, self._jitter = covered, clock, jitter
        self._ledger = Ledger(data_dir, _store_name(settings))
        self._scanner = Scanner(data_dir, settings, cluster)
        self._files = FileLane(self._scanner, store, self._ledger, clock=clock, jitter=jitter)
        self._trees: dict[str, TreeExport] = {}  # by log
        self._urgent_threads = trio.CapacityLimiter(URGENT_THREADS)
        self._urgent_pass = trio.Lock()
        self._fits = False
        self._blocked = "the bucket has not been looked at yet"  # why nothing is exported at all
        self._warning = ""
        self._told: dict[str, str] = {}  # alarms and problems of trees that are in the journal

    # --- conduct --------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled. Never ends because of the store or the disk."""
        await self._bucket_fits(RECHECK_S)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._run_urgent)
            nursery.start_soon(self._run_bulk)

    async def _run_urgent(self) -> None:
        # Half of what is allowed: the other half is left for uploading, and for a failure in between.
        pause_s = self._settings.checkpoint_seconds / 2
        while True:
            settled = await self._update_trees()
            await trio.sleep(pause_s if settled else min(POLL_S, pause_s))

    async def _run_bulk(self) -> None:
        while True:
            attempted = await self._ship(BATCH)
            if not attempted:
                await trio.sleep(POLL_S)

    async def run_once(self) -> bool:
        """One attempt at everything that is due. True: something is left, for later."""
        if not await self._check_bucket():
            return True
        settled = await self._update_trees()
        await self._ship(_ALL)
        return not settled or self._files.backlog() > 0

    async def flush(self, deadline_s: float) -> bool:
        """Export all there is now, within so many seconds, without waiting out failures. True: all of it is there."""
        with trio.move_on_after(deadline_s):
            await self._bucket_fits(POLL_S)
            while True:
                settled = await self._update_trees(hurry=True)
                await self._ship(_ALL, hurry=True)
                if settled and not self._files.backlog():
                    return True
                await trio.sleep(POLL_S / 4)
        return False

    async def _bucket_fits(self, pause_s: float) -> None:
        while True:
            if await self._check_bucket():
                return
            await trio.sleep(pause_s * (0.5 + self._jitter() / 2))

    async def _check_bucket(self) -> bool:
        """Whether the bucket is what the settings say. Asked until it is, then no more."""
        if self._fits:
            return True
        blocked = ""
        try:
            bucket = await trio.to_thread.run_sync(
                self._store.bucket_lock, limiter=self._urgent_threads, abandon_on_cancel=True
            )
        except StoreFailed as failure:
            blocked = (
                f"{failure}. To lock objects rightly, the export asks the bucket for its object lock first"
            )
        else:
            blocked = lock_problem(self._settings, bucket)
            self._warning = lock_warning(self._settings, bucket)
        if blocked and blocked != self._blocked:
            journal.problem("export", f"nothing is exported: {blocked}")
        if self._warning and not blocked:
            journal.problem("export", self._warning)
        self._blocked, self._fits = blocked, not blocked
        return self._fits

    async def _update_trees(self, *, hurry: bool = False) -> bool:
        """Every log's checkpoint, side by side. True: the bucket has the newest of all of them."""
        async with self._urgent_pass:
            try:
                logs = await trio.to_thread.run_sync(self._scanner.logs, limiter=self._urgent_threads)
            except OSError as error:
                self._tell("problem", {"logs": f"{self._data_dir} cannot be read: {error.strerror}"})
                return False
            results: list[bool] = []

            async def update(tree: TreeExport) -> None:
                results.append(await tree.update(hurry=hurry))

            async with trio.open_nursery() as nursery:
                for directory in logs:
                    nursery.start_soon(update, self._tree(directory))
            for log, tree in self._trees.items():
                self._tell("alarm", tree.alarms)
                self._tell("problem", {log: tree.problem})
            return all(results)

    async def _ship(self, limit: int, *, hurry: bool = False) -> int:
        attempted = await self._files.ship_due(limit, hurry=hurry)
        self._tell("alarm", self._files.alarms)
        self._tell("problem", self._files.problems)
        return attempted

    def _tree(self, log_directory: Path) -> TreeExport:
        log = log_directory.name
        if log not in self._trees:
            self._trees[log] = TreeExport(
                log_directory,
                self._settings.prefix,
                self._store,
                self._ledger,
                self._urgent_threads,
                clock=self._clock,
                covered=self._covered,
            )
        return self._trees[log]

    def _tell(self, kind: str, texts: dict[str, str]) -> None:
        """Write to the journal what is new."""
        for subject, text in texts.items():
            if text and self._told.get(subject) != text:
                journal.problem(f"export {kind}", text)
            self._told[subject] = text

    # --- what others ask --------------------------------------------------------------------------------

    def freeable(self, log: str) -> list[SegmentName]:
        """Segments of a log whose local copies may go as far as the export is concerned, as last seen. Before
        one is deleted, ask `confirm`; retention is the caller's business."""
        return self._files.freeable(log, self._covered_in_bucket(log))

    async def confirm(self, log: str, name: SegmentName) -> bool:
        """Whether a freeable segment is in the bucket at this moment, with the bytes that were uploaded."""
        return await self._files.confirm(log, name, self._covered_in_bucket(log))

    def _covered_in_bucket(self, log: str) -> int:
        return self._trees[log].covered if log in self._trees else 0

    def status(self) -> ExportStatus:
        """For metrics and readiness; cheap."""
        now_ns = self._clock()
        pending = self._files.pending()
        trees = list(self._trees.values())
        exported_ns = [tree.exported_at_ns for tree in trees if tree.exported_at_ns is not None]
        problems = (self._blocked, *(tree.problem for tree in trees), *self._files.problems.values())
        return ExportStatus(
            backlog=self._files.backlog(),
            backlog_bytes=sum(item.size for item in pending),
            oldest_pending_s=max(now_ns - min((item.born_ns for item in pending), default=now_ns), 0) / 1e9,
            last_success_s=_age_s(self._files.last_success_ns, now_ns),
            last_checkpoint_s=_age_s(min(exported_ns, default=None), now_ns),
            checkpoint_behind_s=max((tree.behind_s() for tree in trees), default=0.0),
            uploaded=self._files.uploaded,
            alarms=(*self._files.alarms.values(), *(text for tree in trees for text in tree.alarms.values())),
            problem=next(filter(None, problems), ""),
            warning=self._warning or self._files.warning or self._ledger.problem,
        )


_ALL: Final = 1 << 30


def _store_name(settings: S3Settings) -> str:
    """What makes two stores the same to a ledger."""
    return " ".join(
        (settings.endpoint_url or "", settings.bucket, settings.prefix, settings.expected_bucket_owner or "")
    )


def _age_s(at_ns: int | None, now_ns: int) -> float | None:
    return None if at_ns is None else max(now_ns - at_ns, 0) / 1e9
