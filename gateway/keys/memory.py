"""Data keys of this run, handed from the writer to an indexer that cannot open envelopes.

A gateway that only writes (recipients, a key service without Decrypt) must index what it records while it still
knows the key. The log tells each key once; this keeps it as long as the segment can still grow and an hour
longer, so that a key read out of memory opens an hour of history and not all of it.

The trap: "no key" may mean "not yet" or "never". Segment ids ascend within a run, so a segment older than the
first key told, or than the last one forgotten, is `OutOfReach` and to be skipped; a younger one is waited for, but
not for ever: with a clock that went back, a segment of an earlier run looks younger than it is.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from storage.encryption.keys import Envelope
from storage.errors import OutOfReach

MAX_AGE_S: Final = 3600.0
"""Since a successor came: how far an indexer may be behind before it has to skip."""
MAX_KEYS: Final = 256
"""Of one log: an hour of segments of a minute, and bursts of full ones."""


PATIENCE_S: Final = 10.0
"""For a key to be told, since it was first asked for: it is told as the segment begins."""
MAX_ASKED: Final = 1024


@dataclass
class _Known:
    segment_id: str
    key: bytes = field(repr=False)
    superseded_s: float | None = None  # monotonic; None: the newest of its log


@dataclass
class _Log:
    known: list[_Known] = field(default_factory=list)  # ascending
    reach: str = ""  # segments with smaller ids than this are out of reach
    asked_s: dict[str, float] = field(default_factory=dict)  # when unknown segments were first asked for


class MemoryKeys:
    """An unwrapper over the keys told to it. For any number of threads."""

    def __init__(
        self,
        *,
        max_age_s: float = MAX_AGE_S,
        max_keys: int = MAX_KEYS,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_age_s, self._max_keys, self._monotonic_s = max_age_s, max_keys, monotonic_s
        self._mutex = threading.Lock()
        self._logs: dict[str, _Log] = {}

    def add(self, log_origin: str, segment_id: str, key: bytes) -> None:
        """The data key of a segment just begun: the newest of its log."""
        with self._mutex:
            now_s = self._monotonic_s()
            log = self._logs.setdefault(log_origin, _Log(reach=segment_id))
            if log.known:
                log.known[-1].superseded_s = now_s
            log.known.append(_Known(segment_id, key))
            self._forget(log, now_s)

    def unwrap(self, envelope: Envelope) -> bytes | None:
        """The data key if it is known, None if it may still be told. Raises OutOfReach."""
        with self._mutex:
            log = self._logs.get(envelope.log_origin)
            if log is None:
                return None
            self._forget(log, self._monotonic_s())
            for known in log.known:
                if known.segment_id == envelope.segment_id:
                    return known.key
            if envelope.segment_id < log.reach or self._is_given_up(log, envelope.segment_id):
                raise OutOfReach(
                    f"segment {envelope.segment_id} cannot be read in this gateway: whoever holds the key of "
                    f"{', '.join(wrap.kek_id for wrap in envelope.wraps)} can"
                )
            return None

    def _is_given_up(self, log: _Log, segment_id: str) -> bool:
        if len(log.asked_s) >= MAX_ASKED:
            log.asked_s.clear()
        now_s = self._monotonic_s()
        return now_s - log.asked_s.setdefault(segment_id, now_s) >= PATIENCE_S

    def _forget(self, log: _Log, now_s: float) -> None:
        while len(log.known) > 1:
            oldest = log.known[0]
            is_old = oldest.superseded_s is not None and now_s - oldest.superseded_s >= self._max_age_s
            if not is_old and len(log.known) <= self._max_keys:
                return
            log.known.pop(0)
            log.reach = log.known[0].segment_id
