"""What the supervisor and its workers and control process say to each other: JSON lines on standard input and output.

In comes `WorkerOrders`, later perhaps `Drain` and `Finish`. The end of the input means that the supervisor died: drain
and end. Out come `Started` or `StartFailed`, then a `WorkerStatus` about once a second; `Drained`; and, of a gateway
that cannot read its own log, a `SegmentKey` a segment. Keys travel only in these pipes and are never written anywhere.
"""

from collections import Counter
from typing import Final

import msgspec

from gateway.config import Settings
from gateway.decision_counts import DecisionCounts, WaitTimes
from gateway.keeper_messages import SegmentKey

WORKER: Final = "worker"
CONTROL: Final = "control"


class WorkerOrders(msgspec.Struct, frozen=True, tag="orders"):
    """What to be. role: WORKER or CONTROL; name: for the journal; log: number of the log to write; sockets:
    inherited descriptors that listen, of the data port or of the console. accept_loss: see `open_record`."""

    role: str
    name: str
    log: int
    sockets: list[int]
    settings: Settings
    accept_loss: str = ""


class Drain(msgspec.Struct, frozen=True, tag="drain"):
    """Finish what is under way. why: what streams are told that do not end by themselves. accepting: go on taking
    connections, and wait for `Finish`; else somebody else takes them: end when nothing is under way."""

    why: str
    accepting: bool


class Finish(msgspec.Struct, frozen=True, tag="finish"):
    """Take nobody any more, and end. at_once: without last words."""

    at_once: bool = False


class Started(msgspec.Struct, frozen=True, tag="started"):
    """It serves. log_key: the public key of its log. policy: what decides, in words."""

    log_key: str
    policy: str


class StartFailed(msgspec.Struct, frozen=True, tag="failed"):
    """It ends, because of what `problem` says. is_config: the configuration is to blame."""

    problem: str
    is_config: bool


class Counts(msgspec.Struct, frozen=True):
    """`DecisionCounts` as they travel."""

    decisions: list[tuple[str, str, int]] = []  # action, rule, calls
    shadow: dict[str, int] = {}
    masked: dict[str, int] = {}
    waits: dict[str, tuple[list[int], float]] = {}


class WorkerStatus(msgspec.Struct, frozen=True, tag="status"):
    """How it is. checks: problem by name of the check, "" for none; figures: by the name of their metric."""

    checks: dict[str, str] = {}
    figures: dict[str, float] = {}
    counts: Counts = Counts()


class Drained(msgspec.Struct, frozen=True, tag="drained"):
    """Nothing is under way, or the time for it is up."""


ToWorker = WorkerOrders | Drain | Finish
FromWorker = Started | StartFailed | WorkerStatus | Drained | SegmentKey

_TO_WORKER: Final = msgspec.json.Decoder(ToWorker)
_FROM_WORKER: Final = msgspec.json.Decoder(FromWorker)


def parse_to_worker(line: bytes) -> ToWorker:
    """Raises msgspec.DecodeError: on a bug, or in a process of a later version than its supervisor, which changed the
    messages; that one does not start, and whom it was to replace stays."""
    message: ToWorker = _TO_WORKER.decode(line)
    return message


def parse_from_worker(line: bytes) -> FromWorker:
    """Raises msgspec.DecodeError, UnicodeDecodeError: a library printed something."""
    message: FromWorker = _FROM_WORKER.decode(line)
    return message


def pack_counts(counts: DecisionCounts) -> Counts:
    """The counters of one process as they travel."""
    return Counts(
        [(action, rule, number) for (action, rule), number in counts.decisions.items()],
        dict(counts.shadow),
        dict(counts.masked),
        {result: (times.counts, times.sum_s) for result, times in counts.waits.items()},
    )


def add_counts(total: DecisionCounts, counts: Counts) -> None:
    """Add what one process counted."""
    total.decisions += Counter({(action, rule): number for action, rule, number in counts.decisions})
    total.shadow += Counter(counts.shadow)
    total.masked += Counter(counts.masked)
    for result, (buckets, sum_s) in counts.waits.items():
        times = total.waits.setdefault(result, WaitTimes())
        times.counts = [a + b for a, b in zip(times.counts, buckets, strict=True)]
        times.sum_s += sum_s
