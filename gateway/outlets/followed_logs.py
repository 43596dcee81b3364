"""All logs of a data directory, read on and on into assemblers. Conduct; blocks; no Trio.

A log that cannot be read holds up only itself: it is said, and looked at again later. The trap: retention may
delete segments before they were read, or their key may have been destroyed. Then reading goes on behind them,
how many records are missing is counted and said, and short calls that were open are given out as unknown. A
segment that is missing without leave is another matter: its log is not read on until somebody looked.
"""

from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from gateway import journal
from gateway.outlets.assembler import Assembler, WantsBodies
from gateway.outlets.exchange_records import Assembled, AssemblerState
from storage.errors import UNDECODABLE, StorageError
from storage.reader import Position
from storage.records import decode_record
from storage.sources import RecordSource

STEP_RECORDS: Final = 4000
"""Records of one log read in one step: well under a second."""
RETRY_S: Final = 5.0
"""Between two looks at a log that could not be read."""
MEASURE_S: Final = 10.0
MEASURE_RECORDS: Final = 20_000
"""How far beyond what was read a look may go, to say how much there is."""

ABANDONED: Final = "interrupted: the process that served it ended without recording an outcome"
SKIPPED: Final = "some of its records were deleted, or their key destroyed, before they were sent on"


class Receiver(Protocol):
    """Takes what was assembled, while there is room for more."""

    def is_full(self) -> bool: ...

    def take(self, told: list[Assembled]) -> None: ...


class _Problem(NamedTuple):
    what: str
    look_again_s: float  # monotonic


class FollowedLogs:
    """The logs, each with its assembler, from where the states say. outlet: its name, for messages."""

    def __init__(
        self,
        source: RecordSource,
        states: dict[str, AssemblerState],
        *,
        outlet: str,
        max_body_bytes: int,
        wants_bodies: WantsBodies,
        monotonic_s: Callable[[], float],
    ) -> None:
        self._source, self._states, self._outlet = source, states, outlet
        self._max_body_bytes, self._wants_bodies = max_body_bytes, wants_bodies
        self._monotonic_s = monotonic_s
        self._assemblers: dict[str, Assembler] = {}
        self._problems: dict[str, _Problem] = {}
        self._heads: dict[str, Position] = {}  # log -> behind the last record seen
        self._delivered: dict[str, int] = {}  # log -> number of the first record not delivered
        self._head_is_more = False
        self._measured_at_s = monotonic_s()
        self._turn = 0
        self.skipped = 0  # records deleted before they were read

    def states(self) -> dict[str, AssemblerState]:
        """What to go on from after a restart, once all that was given out is delivered. Also of logs that
        could not be read this time."""
        return self._states | {log: assembler.state() for log, assembler in self._assemblers.items()}

    def read(self, receiver: Receiver) -> bool:
        """Read each log on until the receiver is full. True: there is more."""
        logs = self._source.logs()
        self._turn += 1  # else the first log could keep the last one waiting for ever
        at = self._turn % len(logs) if logs else 0
        more = False
        for log in logs[at:] + logs[:at]:
            more |= not receiver.is_full() and self._read_one(log, receiver)
        return more

    def _read_one(self, log: str, receiver: Receiver) -> bool:
        problem = self._problems.get(log)
        if problem is not None and self._monotonic_s() < problem.look_again_s:
            return False
        try:
            more = self._read_on(log, self._assembler(log), receiver)
        except (StorageError, OSError) as error:
            what = str(error)
            if problem is None or what != problem.what:
                journal.problem("outlet", f"outlet {self._outlet} cannot read log {log}: {what}")
            self._problems[log] = _Problem(what, self._monotonic_s() + RETRY_S)
            return False
        if self._problems.pop(log, None):
            journal.note("outlet", f"outlet {self._outlet} reads log {log} again")
        return more

    def _assembler(self, log: str) -> Assembler:
        if log not in self._assemblers:
            try:
                self._assemblers[log] = self._open_assembler(self._states.get(log))
            except UNDECODABLE:
                journal.problem(
                    "outlet",
                    f"outlet {self._outlet} sends log {log} from its beginning: its state is garbled",
                )
                self._assemblers[log] = self._open_assembler(None)
        return self._assemblers[log]

    def _open_assembler(self, state: AssemblerState | None) -> Assembler:
        return Assembler(max_body_bytes=self._max_body_bytes, wants_bodies=self._wants_bodies, state=state)

    def _read_on(self, log: str, assembler: Assembler, receiver: Receiver) -> bool:
        is_live = self._source.is_live(log)  # before reading: what its last writer wrote is read below
        start = assembler.read_from
        expected = start.record_seq if start is not None else None
        try:
            for count, (at, encoded) in enumerate(self._source.records(log, start), 1):
                if expected is None:
                    self._delivered.setdefault(log, at.record_seq)
                elif at.record_seq > expected:
                    self._lose(log, assembler, at, at.record_seq - expected, receiver)
                expected = at.record_seq + 1
                _take(assembler, receiver, at, encoded)
                if count >= STEP_RECORDS or receiver.is_full():
                    return True
        except FileNotFoundError:
            if assembler.read_from != start:
                return True
            if start is None:
                return False  # a segment went between being listed and being opened; look again later
            return self._resume(log, assembler, start, receiver)
        if not is_live:
            receiver.take(assembler.abandon(ABANDONED))
        return False

    def _resume(self, log: str, assembler: Assembler, start: Position, receiver: Receiver) -> bool:
        """The segment to read on in is gone. Behind it the log goes on, or waits to."""
        first = next(iter(self._source.records(log, None)), None)
        if first is None:
            return False
        at, _ = first
        missing = at.record_seq - start.record_seq
        if missing < 0:
            raise StorageError(f"segment {start.segment} is missing, and older ones are there")
        if missing:
            self._lose(log, assembler, at, missing, receiver)
        else:
            assembler.continue_at(at)
        return True

    def _lose(self, log: str, assembler: Assembler, at: Position, missing: int, receiver: Receiver) -> None:
        """Records before `at` will never be read here: deleted by retention, or their key was destroyed."""
        self.skipped += missing
        journal.problem(
            "outlet",
            f"outlet {self._outlet}: {missing} records of log {log} were deleted, or their key destroyed, "
            "before they were sent on",
        )
        receiver.take(assembler.skip_to(at, SKIPPED))

    # --- what is told of it ------------------------------------------------------------------------

    def all_delivered(self) -> None:
        """Everything read so far has reached its receiver."""
        for log, assembler in self._assemblers.items():
            if assembler.read_from is not None:
                self._delivered[log] = assembler.read_from.record_seq

    def measure(self) -> None:
        """See how far the logs went on while nothing is read: a look at a bounded part, now and then."""
        now_s = self._monotonic_s()
        if now_s - self._measured_at_s < MEASURE_S:
            return
        self._measured_at_s, self._head_is_more = now_s, False
        for log, assembler in self._assemblers.items():
            head = self._head(log, assembler)
            try:
                for count, (at, _) in enumerate(self._source.records(log, head), 1):
                    self._heads[log] = at.next()
                    if count >= MEASURE_RECORDS:
                        self._head_is_more = True
                        break
            except (StorageError, OSError):
                continue  # reading it will say what is wrong

    def _head(self, log: str, assembler: Assembler) -> Position | None:
        known, reached = self._heads.get(log), assembler.read_from
        if known is not None and (reached is None or reached.record_seq < known.record_seq):
            return known
        return reached

    def backlog(self) -> tuple[int, bool]:
        """Records there are and not delivered, as far as is known, and whether there are more."""
        records = 0
        for log, assembler in list(self._assemblers.items()):
            head = self._head(log, assembler)
            if head is not None:
                records += max(0, head.record_seq - self._delivered.get(log, 0))
        return records, self._head_is_more

    def problems(self) -> str:
        return "; ".join(f"log {log}: {problem.what}" for log, problem in sorted(self._problems.items()))


def _take(assembler: Assembler, receiver: Receiver, at: Position, encoded: bytes) -> None:
    try:
        record = decode_record(encoded)
    except UNDECODABLE:  # a bug of the writer; the frame around it is intact
        assembler.pass_over(at)
        return
    told = assembler.take(at, record)
    if told:
        receiver.take(told)
