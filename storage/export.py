"""What is exported next, what an answer of the store means, and what may go from the local disk. Decisions only.

No bucket, no file, no clock: times and random numbers come in as arguments. One object's way:

    PENDING -> UPLOADING -> UPLOADED -> VERIFIED        (and then, see `may_free`, its local copy may go)
                  |            |
                  v            v
               PENDING      ALARMED: another object has our key. Never overwritten; the rest goes on.

The trap: a PUT that was done and whose answer was lost looks like a failure, and its repetition is answered with
412. So 412 is no error but a question, "is it the same?", which only the checksum of a HEAD answers; and a
403 to a HEAD may mean "not there" where we may not list, so it sends us back to the PUT, which cannot harm.
Source: S3 conditional writes (412, 409), AWS's exponential backoff with full jitter.
"""

import heapq
from collections.abc import Iterable
from enum import Enum, auto
from pathlib import Path
from typing import Final

import msgspec

MAX_PUT_BYTES: Final = 5 << 30
"""S3's limit for one PUT. A segment has 64 MiB unless configured otherwise."""
CONCURRENT: Final = 2
"""Uploads at once: enough to fill a line, few enough that a store's trouble does not become ours."""


class Kind(Enum):
    """What an object is."""

    SEGMENT = auto()  # sealed, recovered, or the bytes set aside by a recovery
    KEYS = auto()
    DICTIONARY = auto()
    ROWS = auto()
    TOMBSTONE = auto()
    SHREDDED = auto()
    TILE = auto()
    ENTRIES = auto()
    PARTIAL = auto()  # a tile or bundle that is not full yet
    CHECKPOINT = auto()
    CHECKPOINT_COPY = auto()
    VERIFIER = auto()  # the public key that signs the checkpoints


URGENT: Final = frozenset(
    {Kind.TILE, Kind.ENTRIES, Kind.PARTIAL, Kind.CHECKPOINT, Kind.CHECKPOINT_COPY, Kind.VERIFIER}
)
"""What a checkpoint outside of the gateway's reach stands on: it has a lane of its own."""
MUTABLE: Final = frozenset({Kind.KEYS, Kind.PARTIAL, Kind.CHECKPOINT})
"""Replaced in place. Everything else is created once and never overwritten."""
LOCKED: Final = frozenset(
    {Kind.SEGMENT, Kind.TOMBSTONE, Kind.TILE, Kind.ENTRIES, Kind.CHECKPOINT_COPY, Kind.VERIFIER}
)
"""Under object lock where one is configured. KEYS are not, or nothing could ever be shredded."""


class Item(msgspec.Struct, frozen=True):
    """One local file and the object it becomes."""

    kind: Kind
    key: str
    path: Path
    born_ns: int  # UTC, when the file came to be: the oldest goes first
    size: int  # bytes
    locked: bool

    @property
    def mutable(self) -> bool:
        return self.kind in MUTABLE


def make_item(kind: Kind, key: str, path: Path, *, born_ns: int, size: int, lock_keys: bool = False) -> Item:
    return Item(kind, key, path, born_ns, size, kind in LOCKED or (kind is Kind.KEYS and lock_keys))


class State(Enum):
    """How far an object is. UPLOADED: to be compared before it counts, also after a lost ledger."""

    PENDING = auto()
    UPLOADING = auto()
    UPLOADED = auto()
    VERIFIED = auto()
    ALARMED = auto()


class Outcome(Enum):
    """What the store, or the way to it, said."""

    CREATED = auto()  # PUT: it is there now
    EXISTS = auto()  # PUT: 412, something has this key
    CONFLICT = auto()  # PUT: 409, somebody else is writing it
    MISMATCH = auto()  # PUT: the bytes that arrived do not have the checksum that was sent
    SAME = auto()  # HEAD: it has our SHA-256
    DIFFERENT = auto()  # HEAD: it has another
    MISSING = auto()  # HEAD: not there
    DELETED = auto()  # DELETE: no version of it is there
    TRANSIENT = auto()  # 5xx, timeouts, broken connections
    DENIED = auto()  # credentials, permissions, configuration: a person has to act
    SKEWED = auto()  # the clocks differ by more than S3 forgives
    UNFIT = auto()  # can never be uploaded as it is
    GONE = auto()  # the local file is no longer there


class Answer(msgspec.Struct, frozen=True):
    """An outcome, and for people why: one line, without secrets."""

    outcome: Outcome
    detail: str = ""
    code: str = ""  # the store's own word for it


class NotInTable(AssertionError):
    """An outcome that cannot follow this state: a mistake in the exporter."""


_AGAIN: Final = (Outcome.CONFLICT, Outcome.MISMATCH, Outcome.TRANSIENT, Outcome.DENIED, Outcome.SKEWED)
TRANSITIONS: Final[dict[tuple[State, Outcome], State]] = {
    (State.UPLOADING, Outcome.CREATED): State.UPLOADED,
    (State.UPLOADING, Outcome.EXISTS): State.UPLOADED,
    **{(State.UPLOADING, outcome): State.PENDING for outcome in _AGAIN},
    (State.UPLOADING, Outcome.UNFIT): State.ALARMED,
    (State.UPLOADED, Outcome.SAME): State.VERIFIED,
    (State.UPLOADED, Outcome.DIFFERENT): State.ALARMED,
    (State.UPLOADED, Outcome.MISSING): State.PENDING,
    (State.UPLOADED, Outcome.DENIED): State.PENDING,
    (State.UPLOADED, Outcome.TRANSIENT): State.UPLOADED,
    (State.UPLOADED, Outcome.SKEWED): State.UPLOADED,
}
"""What is not in it cannot happen. A mutable object that differs is older than ours: see `next_state`."""
FAILED: Final = frozenset((*_AGAIN, Outcome.MISSING))
"""Outcomes after which one waits before the next attempt."""


def next_state(state: State, outcome: Outcome, *, mutable: bool = False) -> State:
    """Follow the table. Raises NotInTable."""
    if mutable and (state, outcome) == (State.UPLOADED, Outcome.DIFFERENT):
        return State.PENDING
    try:
        return TRANSITIONS[state, outcome]
    except KeyError:
        raise NotInTable(f"{outcome.name} cannot follow {state.name}") from None


# --- when ---------------------------------------------------------------------------------------------


class Backoff(msgspec.Struct, frozen=True):
    """How long to wait after failures in a row."""

    base_s: float
    cap_s: float

    def delay_s(self, failures: int, jitter: float) -> float:
        """failures: at least 1. jitter: random, 0 to 1; all of it counts ("full jitter"), or everybody who was
        turned away together comes back together."""
        return jitter * min(self.cap_s, self.base_s * 2.0 ** min(failures - 1, 30))


BULK_BACKOFF: Final = Backoff(1.0, 60.0)
URGENT_BACKOFF: Final = Backoff(0.5, 5.0)
"""Checkpoints may be a minute late, so a store that heals must be noticed within seconds."""


class Job(msgspec.Struct, frozen=True):
    """An item on its way. Times are monotonic: a clock that is set must not hold anything up."""

    item: Item
    state: State = State.PENDING
    failures: int = 0  # in a row
    not_before_s: float = 0.0
    problem: str = ""  # why it is not there yet, "" before any failure


def advance(job: Job, answer: Answer, now_s: float, jitter: float, backoff: Backoff = BULK_BACKOFF) -> Job:
    """The job after an answer. jitter: random, 0 to 1. Raises NotInTable."""
    state = next_state(job.state, answer.outcome, mutable=job.item.mutable)
    if answer.outcome in FAILED or (answer.outcome is Outcome.DIFFERENT and state is State.PENDING):
        failures = job.failures + 1
        wait_s = backoff.delay_s(failures, jitter)
        return Job(job.item, state, failures, now_s + wait_s, answer.detail)
    return Job(job.item, state, job.failures, job.not_before_s, answer.detail or job.problem)


def begin(job: Job) -> Job:
    """The job once its upload is tried."""
    return Job(job.item, State.UPLOADING, job.failures, job.not_before_s, job.problem)


def batch(jobs: Iterable[Job], now_s: float, limit: int) -> list[Job]:
    """The jobs that are due, in their order: urgent kinds first, then the oldest. now_s: math.inf: all of them.

    Age decides, not how often one failed: what waits for its next attempt stands aside meanwhile.
    """
    return heapq.nsmallest(limit, (job for job in jobs if is_due(job, now_s)), key=_order)


def is_due(job: Job, now_s: float) -> bool:
    return job.state in (State.PENDING, State.UPLOADED) and job.not_before_s <= now_s


def _order(job: Job) -> tuple[bool, int, str]:
    return job.item.kind not in URGENT, job.item.born_ns, job.item.key


class Lane(msgspec.Struct, frozen=True):
    """One lane's luck. When one thing after the other fails it is the store, and hammering on it with the rest of
    a backlog helps nobody."""

    failures: int = 0  # in a row
    not_before_s: float = 0.0  # monotonic

    def after(self, outcome: Outcome, now_s: float, jitter: float, backoff: Backoff = BULK_BACKOFF) -> "Lane":
        if outcome not in _STORE_TROUBLE:
            return Lane()
        failures = self.failures + 1
        if failures < _PATIENCE:
            return Lane(failures, self.not_before_s)
        return Lane(failures, now_s + backoff.delay_s(failures - _PATIENCE + 1, jitter))


_STORE_TROUBLE: Final = frozenset({Outcome.TRANSIENT, Outcome.DENIED, Outcome.SKEWED})
_PATIENCE: Final = 3


# --- what may go ----------------------------------------------------------------------------------------


class Evidence(msgspec.Struct, frozen=True):
    """What is known about a local segment and its copy."""

    state: State  # VERIFIED: PUT done, and a HEAD gave the SHA-256 of the local bytes
    companions_settled: (
        bool  # its envelope, its torn bytes and its dictionary are there, too; or shredded in the store
    )
    covered: bool  # its manifest is under the newest checkpoint that was verified in the store
    retention_over: bool  # the policy lets the local copy go


def may_free(evidence: Evidence) -> bool:
    """Whether the local copy of a segment may be deleted: there is an equal one out of the gateway's reach, and a
    signed checkpoint out of its reach that says what it must be."""
    return (
        evidence.state is State.VERIFIED
        and evidence.companions_settled
        and evidence.covered
        and evidence.retention_over
    )
