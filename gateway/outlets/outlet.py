"""One outlet: has the logs read, makes events of them, hands these over, remembers. Conduct; blocks; no Trio.

`run_once` is called again and again, by one thread at a time. What was read and not delivered is in memory
only and at most one batch; the state on disk is saved when all of it is delivered, so a crash anywhere
repeats events and loses none.
"""

import time
from collections import deque
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from threading import Lock
from typing import Final, NamedTuple

import msgspec

from gateway import journal
from gateway.outlets import exchange_facts, ocsf
from gateway.outlets.audit_event import Limits, encode_audit_event
from gateway.outlets.cursor import DIRECTORY, CursorFile, OutletState
from gateway.outlets.delivery import Sink
from gateway.outlets.exchange_records import Assembled
from gateway.outlets.file_sink import FileSink
from gateway.outlets.followed_logs import FollowedLogs
from gateway.outlets.masking import may_look_into_request, may_show_bodies
from gateway.outlets.settings import OutletSettings, OutletType
from gateway.outlets.webhook_sink import WebhookSink
from storage.files import REAL_FILES, FileOps
from storage.format import SegmentName, parse_segment_name
from storage.records import Intent
from storage.sources import RecordSource

SAVE_S: Final = 10.0
"""The state moves on this often when there is nothing to deliver: hours of a stream are not read again."""
REJECTED_BYTES: Final = 64 * 1024 * 1024
"""Of events no receiver takes; twice that is kept, and the log has them all."""


class Step(NamedTuple):
    """What one call of `run_once` came to. more: call again at once. problem: call again later."""

    more: bool
    problem: str = ""
    retry_after_s: float = 0.0


class OutletStatus(msgspec.Struct, frozen=True):
    """For metrics and readyz. Counters live as long as the outlet's state on disk.

    backlog_records: recorded and not delivered; at least that many if `backlog_is_more`. oldest_age_s: of
    the oldest event that waits. skipped: records deleted, or locked away, before they
    were delivered.
    """

    name: str
    type: str
    backlog_records: int
    backlog_is_more: bool
    oldest_age_s: float
    sent: int
    rejected: int
    skipped: int
    problem: str


class _Waiting(NamedTuple):
    at_ns: int
    line: bytes


class Outlet:
    """One configured outlet over the logs of a data directory."""

    def __init__(
        self,
        settings: OutletSettings,
        data_dir: Path,
        source: RecordSource,
        *,
        sink: Sink | None = None,
        files: FileOps = REAL_FILES,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings
        self._source, self._monotonic_s = source, monotonic_s
        self._cursor = CursorFile(data_dir, settings.name, files=files)
        rejected = data_dir / DIRECTORY / f"{settings.name}.rejected.jsonl"
        self._rejects = FileSink(rejected, rotate_bytes=REJECTED_BYTES, keep_files=1, files=files)
        self._sink = sink or _sink_for(settings, files)
        self._limits = Limits(settings.max_body_bytes, settings.event_bytes, settings.metadata_only)
        self._product_version = _version()
        self._busy = Lock()
        self._closing = False
        self.rests = 0  # how often a step found nothing more to read, and nothing waited
        self._problem = ""
        self._saved = OutletState()
        self._logs: FollowedLogs | None = None  # None: the state is still to be loaded
        self._forget()

    def _forget(self) -> None:
        """Go on from what is on disk."""
        self._logs = None
        self._waiting: deque[_Waiting] = deque()
        self._waiting_bytes = 0
        self._waiting_since_s = 0.0
        self._flushing = False  # deliver all that waits before reading on
        self._sent = self._rejected = self._skipped_before = 0
        self._saved_at_s = self._monotonic_s()

    def needs(self, log: str, name: SegmentName) -> bool:
        """Whether something in a segment may not be delivered yet, as far as that is on disk."""
        state = self._saved.logs.get(log)
        reached = parse_segment_name(state.cursor.segment) if state and state.cursor else None
        return reached is None or reached <= name

    # --- the one step ------------------------------------------------------------------------------

    def run_once(self) -> Step:
        """Read some, deliver at most one batch. Raises nothing that an operator could mend."""
        try:
            with self._busy:
                return self._guarded_step()
        finally:
            if self._closing:  # we were abandoned meanwhile, and `close` left it to us
                self.close()

    def close(self) -> None:
        """Give up the receiver's connection; if a step still runs, in a thread that was abandoned, that does."""
        self._closing = True  # before looking: either we close, or the step sees this when it is done
        if self._busy.acquire(blocking=False):
            try:
                self._sink.close()
            finally:
                self._busy.release()

    def _guarded_step(self) -> Step:
        try:
            step = self._step()
        except OSError as error:  # of the state, or of the rejected events
            step = Step(False, f"{self._cursor.directory}: {error.strerror or error}")
        except BaseException:
            self._forget()
            raise
        self._say(step.problem)
        if self._logs is not None and (step.problem or step.more):
            self._logs.measure()
        return step

    def _step(self) -> Step:
        logs = self._logs or self._load()
        more = self._flushing or logs.read(self)  # what waits first; then, perhaps, there is more
        if self._is_due():
            problem, retry_after_s = self._deliver()
            if problem:
                return Step(False, problem, retry_after_s)
        if not self._waiting:
            self._flushing = False
            logs.all_delivered()
            self._save_if_moved(logs)
            self.rests += not more
        return Step(more or self._is_due())

    def _load(self) -> FollowedLogs:
        saved, complaint = self._cursor.load()
        if complaint:
            journal.problem("outlet", f"outlet {self.settings.name} begins anew: {complaint}")
        self._saved = saved
        self._sent, self._rejected, self._skipped_before = saved.sent, saved.rejected, saved.skipped
        self._logs = FollowedLogs(
            self._source,
            saved.logs,
            outlet=self.settings.name,
            max_body_bytes=self.settings.max_body_bytes,
            wants_bodies=self._wants_bodies,
            monotonic_s=self._monotonic_s,
        )
        return self._logs

    def _wants_bodies(self, intent: Intent) -> bool:
        """Bodies of secrets are not even kept, but for the name of one that is created."""
        return may_show_bodies(intent.call, self.settings.metadata_only) or may_look_into_request(intent.call)

    def _save_if_moved(self, logs: FollowedLogs) -> None:
        """All that was read is delivered: make that last."""
        counters = (self._sent, self._rejected, self._skipped_before + logs.skipped)
        is_told = counters != (self._saved.sent, self._saved.rejected, self._saved.skipped)
        now_s = self._monotonic_s()
        if not is_told and now_s - self._saved_at_s < SAVE_S:
            return
        state = OutletState(logs.states(), *counters)
        if state != self._saved:
            self._cursor.save(state)
        self._saved, self._saved_at_s = state, now_s

    # --- the receiver of what the logs tell ----------------------------------------------------------

    def is_full(self) -> bool:
        batch = self.settings.batch
        return len(self._waiting) >= batch.max_events or self._waiting_bytes >= batch.max_bytes

    def take(self, told: list[Assembled]) -> None:
        for one in told:
            line = self._encode(one)
            if not self._waiting:
                self._waiting_since_s = self._monotonic_s()
            self._waiting.append(_Waiting(exchange_facts.moment_ns(one.exchange, one.stage), line))
            self._waiting_bytes += len(line)

    def _encode(self, told: Assembled) -> bytes:
        if self.settings.type is OutletType.OCSF_FILE:
            return ocsf.encode_ocsf_event(told.exchange, told.stage, self._product_version)
        return encode_audit_event(told.exchange, told.stage, self._limits)

    # --- delivering --------------------------------------------------------------------------------

    def _is_due(self) -> bool:
        if not self._waiting:
            return False
        waited_ms = (self._monotonic_s() - self._waiting_since_s) * 1000
        return self._flushing or self.is_full() or waited_ms >= self.settings.batch.max_wait_ms

    def _deliver(self) -> tuple[str, float]:
        """One batch. Returns why not all of it was taken, "" if it was, and for how long to wait."""
        self._flushing = True
        lines = self._next_batch()
        delivery = self._sink.deliver(lines)
        if delivery.rejected:
            parked = self._rejects.deliver([lines[index] for index in delivery.rejected])
            if parked.problem:
                return parked.problem, 0.0
            journal.problem(
                "outlet",
                f"outlet {self.settings.name}: its receiver refused {len(delivery.rejected)} events for good; "
                f"they are in {DIRECTORY}/{self.settings.name}.rejected.jsonl",
            )
        for line in lines[: delivery.taken]:
            self._waiting.popleft()
            self._waiting_bytes -= len(line)
        self._rejected += len(delivery.rejected)
        self._sent += delivery.taken - len(delivery.rejected)
        return delivery.problem, delivery.retry_after_s

    def _next_batch(self) -> list[bytes]:
        """From the front, within the limits of a batch; one event is always in it."""
        batch = self.settings.batch
        lines: list[bytes] = []
        size = 0
        for _, line in self._waiting:
            size += len(line) + 1
            if lines and (len(lines) >= batch.max_events or size > batch.max_bytes):
                break
            lines.append(line)
        return lines

    # --- what is told of it ------------------------------------------------------------------------

    def status(self) -> OutletStatus:
        """How it stands; may be called from another thread at any time."""
        logs = self._logs
        backlog, is_more = logs.backlog() if logs else (0, False)
        oldest_ns = next((one.at_ns for one in self._waiting.copy()), None)
        return OutletStatus(
            name=self.settings.name,
            type=self.settings.type.value,
            backlog_records=backlog,
            backlog_is_more=is_more,
            oldest_age_s=0.0 if oldest_ns is None else max(0.0, (time.time_ns() - oldest_ns) / 1e9),
            sent=self._sent,
            rejected=self._rejected,
            skipped=self._skipped_before + (logs.skipped if logs else 0),
            problem="; ".join(filter(None, (self._problem, logs.problems() if logs else ""))),
        )

    def _say(self, problem: str) -> None:
        """Once when it begins, once when it is over."""
        if problem and not self._problem:
            journal.problem("outlet", f"outlet {self.settings.name} cannot deliver: {problem}")
        elif self._problem and not problem and not self._waiting:
            journal.note("outlet", f"outlet {self.settings.name} delivers again")
        if problem or not self._waiting:
            self._problem = problem


def _sink_for(settings: OutletSettings, files: FileOps) -> Sink:
    if settings.type is OutletType.AUDIT_WEBHOOK:
        return WebhookSink(settings)
    path = Path(settings.path or "")
    return FileSink(path, rotate_bytes=settings.rotate_bytes, keep_files=settings.keep_files, files=files)


def _version() -> str:
    try:
        return version("kubetape")
    except PackageNotFoundError:  # run from a source tree that is not installed
        return "unknown"
