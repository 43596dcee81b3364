"""The bulk lane: segments, their wrapped keys, dictionaries, rows, tombstones, the oldest first. Conduct.

One pass looks at the data directory, destroys in the bucket what was shredded here, and attempts what is due, two
things at once. What was verified is in the ledger; whatever is not in it is a job. What an answer means for a
job, and which one is next, is decided in storage.export.

The trap: "uploaded" is not "safe". Only what a HEAD compared counts, and `freeable` asks for more.
"""

import math
from collections.abc import Callable

import trio

from gateway.export.ledger import Ledger
from gateway.export.scan import Found, Scanner, Segment
from gateway.export.ship import Shipped, ship_file
from gateway.export.store import ObjectStore
from storage.export import (
    CONCURRENT,
    Answer,
    Evidence,
    Item,
    Job,
    Kind,
    Lane,
    Outcome,
    State,
    advance,
    batch,
    begin,
    may_free,
)
from storage.format import SegmentName

_NO_LOCK_SHOWN = "the store shows no lock on objects that were uploaded with one: does the role have s3:GetObjectRetention?"


class FileLane:
    """All files of one data directory that become objects, but for trees."""

    def __init__(
        self,
        scanner: Scanner,
        store: ObjectStore,
        ledger: Ledger,
        *,
        clock: Callable[[], int],
        jitter: Callable[[], float],
    ) -> None:
        """clock: UTC nanoseconds. jitter: random, 0 to 1."""
        self.uploaded = 0  # verified in this run
        self.last_success_ns: int | None = None  # UTC
        self.alarms: dict[str, str] = {}  # by key
        self.problems: dict[str, str] = {}  # why it does not get on, by subject; "" for what does
        self.warning = ""
        self._scanner, self._store, self._ledger = scanner, store, ledger
        self._clock, self._jitter = clock, jitter
        self._threads = trio.CapacityLimiter(CONCURRENT)
        self._pass = trio.Lock()
        self._jobs: dict[str, Job] = {}  # by key: everything that is not verified
        self._segments: dict[str, list[Segment]] = {}  # by log, as last seen
        self._to_shred: set[str] = set()
        self._shredded: set[str] = set()
        self._lane = Lane()
        # After a lost ledger it is probably there already: comparing costs a HEAD, uploading a segment.
        self._new = State.UPLOADED if ledger.was_lost else State.PENDING

    def pending(self) -> list[Item]:
        """What is to be uploaded or compared."""
        return [job.item for job in self._jobs.values() if job.state is not State.ALARMED]

    def backlog(self) -> int:
        return len(self.pending()) + len(self._to_shred)

    # --- a pass ---------------------------------------------------------------------------------------

    async def ship_due(self, limit: int, *, hurry: bool = False) -> int:
        """Attempt what is due, each thing once, at most `limit`; returns how many were. hurry: all of it is due."""
        async with self._pass:
            try:
                found = await trio.to_thread.run_sync(self._look, limiter=self._threads)
            except OSError as error:
                self.problems["look"] = f"{error.filename or 'a directory'} cannot be read: {error.strerror}"
                return 0
            self._take_in(found)
            await self._shred()
            now_s = math.inf if hurry else trio.current_time()
            due = {job.item.key: job for job in batch(self._jobs.values(), now_s, limit)}
            many = len(due)
            async with trio.open_nursery() as nursery:
                for _ in range(CONCURRENT):
                    nursery.start_soon(self._work, due, hurry)
            return many - len(due)

    def _look(self) -> Found:
        found = self._scanner.scan(self._ledger.get)
        self._ledger.retain(found.keys)
        return found

    def _take_in(self, found: Found) -> None:
        """New items become jobs; of what is no longer there, jobs go."""
        wanted = {item.key: item for item in found.items}
        self._jobs = {key: job for key, job in self._jobs.items() if key in wanted}
        for key, item in wanted.items():
            job = self._jobs.get(key)
            if job is None:
                self._jobs[key] = Job(item, State.PENDING if item.mutable else self._new)
            elif job.item != item:
                self._jobs[key] = Job(item, job.state, job.failures, job.not_before_s, job.problem)
        self._new = State.PENDING
        self._segments = found.segments
        self._to_shred = set(found.shredded) - self._shredded
        self.problems["look"] = "; ".join(found.problems)

    async def _shred(self) -> None:
        """Destroy in the bucket what was destroyed here. Asked anew by every run: it is a promise."""
        self.problems["shred"] = ""
        for key in sorted(self._to_shred):
            answer = await trio.to_thread.run_sync(self._store.delete_versions, key, limiter=self._threads)
            if answer.outcome is Outcome.DELETED:
                self._ledger.forget(key)
                self._jobs.pop(key, None)
                self._shredded.add(key)
                self._to_shred.discard(key)
            else:
                self.problems["shred"] = f"what was destroyed here is still in the bucket: {answer.detail}"

    async def _work(self, due: dict[str, Job], hurry: bool) -> None:
        while due and (hurry or self._lane.not_before_s <= trio.current_time()):
            key = next(iter(due))
            await self._attempt(due.pop(key))

    async def _attempt(self, job: Job) -> None:
        item = job.item
        try:
            shipped = await trio.to_thread.run_sync(
                self._ship,
                item,
                job.state is State.UPLOADED,
                limiter=self._threads,
                # What can be shredded is waited for: arriving late, it would undo that.
                abandon_on_cancel=item.kind not in (Kind.KEYS, Kind.ROWS),
            )
        except FileNotFoundError:
            del self._jobs[item.key]  # freed or renamed meanwhile: the next look says
        except OSError as error:
            failed = Answer(Outcome.TRANSIENT, f"{item.path.name} cannot be read: {error.strerror or error}")
            self._jobs[item.key] = advance(begin(job), failed, trio.current_time(), self._jitter())
            self.problems["ship"] = failed.detail
        else:
            self._learn(job, shipped)

    def _ship(self, item: Item, probably_there: bool) -> Shipped:
        shipped = ship_file(self._store, item, self._clock(), probably_there=probably_there)
        if shipped.answers[-1].outcome is Outcome.SAME:
            self._ledger.add(shipped.entry)
        return shipped

    def _learn(self, job: Job, shipped: Shipped) -> None:
        """Follow the answers; what is verified is in the ledger and no job any more."""
        now_s = trio.current_time()
        if shipped.tried:
            job = begin(job)
        for answer in shipped.answers:
            job = advance(job, answer, now_s, self._jitter())
        last = shipped.answers[-1]
        self._lane = self._lane.after(last.outcome, now_s, self._jitter())
        if job.state is State.VERIFIED:
            del self._jobs[job.item.key]
            self.uploaded += 1
            self.last_success_ns = self._clock()
            self.problems["ship"] = ""
            if shipped.unlocked:
                self.warning = _NO_LOCK_SHOWN
            return
        self._jobs[job.item.key] = job
        if job.state is State.ALARMED:
            self.alarms[job.item.key] = last.detail
        else:
            self.problems["ship"] = last.detail

    # --- what may go ------------------------------------------------------------------------------------

    def freeable(self, log: str, covered: int) -> list[SegmentName]:
        """Segments whose local copies may go, as last seen. covered: see TreeExport.covered."""
        return [segment.name for segment in self._segments.get(log, []) if self._may_free(segment, covered)]

    async def confirm(self, log: str, name: SegmentName, covered: int) -> bool:
        """Whether the copy of a freeable segment is in the bucket now, with the bytes that were uploaded."""
        for segment in self._segments.get(log, []):
            if segment.name == name and self._may_free(segment, covered):
                return await trio.to_thread.run_sync(
                    self._is_there, segment.keys[0], limiter=self._threads, abandon_on_cancel=True
                )
        return False

    def _is_there(self, key: str) -> bool:
        entry = self._ledger.get(key)
        if entry is None:
            return False
        answer, _ = self._store.compare(key, bytes.fromhex(entry.sha256), entry.size)
        if answer.outcome in (Outcome.MISSING, Outcome.DIFFERENT):
            self._ledger.forget(key)  # so that it is uploaded again, or becomes an alarm
        return answer.outcome is Outcome.SAME

    def _may_free(self, segment: Segment, covered: int) -> bool:
        key, *companions = segment.keys
        return may_free(
            Evidence(
                State.VERIFIED if self._is_verified(key) else State.PENDING,
                all(map(self._is_verified, companions)) and self._to_shred.isdisjoint(segment.shredded_keys),
                segment.name.number <= covered,
                retention_over=True,  # the caller's business
            )
        )

    def _is_verified(self, key: str) -> bool:
        return key not in self._jobs and self._ledger.get(key) is not None
