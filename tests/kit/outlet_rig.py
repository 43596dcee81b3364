"""An outlet over logs in memory, with a sink and a clock of the test's own."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gateway.outlets.delivery import Delivery
from gateway.outlets.outlet import Outlet, Step
from gateway.outlets.settings import BatchSettings, OutletSettings, OutletType
from storage.files import REAL_FILES, FileOps
from storage.sources import RecordSource


class FakeSink:
    """Takes what it is given, unless told otherwise. plan: what to say to the next batches, in order."""

    def __init__(self) -> None:
        self.batches: list[list[bytes]] = []
        self.plan: list[Delivery] = []
        self.closed = False

    def deliver(self, events: Sequence[bytes]) -> Delivery:
        delivery = self.plan.pop(0) if self.plan else Delivery(len(events))
        taken = [event for at, event in enumerate(events[: delivery.taken]) if at not in delivery.rejected]
        if taken:
            self.batches.append(taken)
        return delivery

    def close(self) -> None:
        self.closed = True

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(event) for batch in self.batches for event in batch]

    @property
    def names(self) -> list[str]:
        """What names an event for ever."""
        return [f"{event['auditID']}/{event['stage']}" for event in self.events]


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class OutletRig:
    """One data directory and source; outlets on it may come and go, as after restarts."""

    def __init__(self, data_dir: Path, source: RecordSource, **batch: int) -> None:
        self.data_dir, self.source = data_dir, source
        self.sink, self.clock = FakeSink(), Clock()
        self.settings = OutletSettings(
            name="siem",
            type=OutletType.AUDIT_WEBHOOK,
            url="https://siem.example.com/",
            batch=BatchSettings(**({"max_wait_ms": 0} | batch)),
        )

    def open(self, files: FileOps = REAL_FILES) -> Outlet:
        return Outlet(
            self.settings, self.data_dir, self.source, sink=self.sink, files=files, monotonic_s=self.clock
        )

    @property
    def cursor(self) -> Path:
        return self.data_dir / "outlets" / "siem.cursor"

    @property
    def rejected(self) -> list[bytes]:
        path = self.data_dir / "outlets" / "siem.rejected.jsonl"
        return path.read_bytes().splitlines() if path.exists() else []


def run_until_idle(outlet: Outlet, most: int = 1000) -> Step:
    """Steps until there is nothing to do at once, or a problem."""
    for _ in range(most):
        step = outlet.run_once()
        if step.problem or not step.more:
            return step
    raise AssertionError("it never came to rest")
