"""Plays one operation against a whole gateway in this process, and counts the work of its event loop.

The gateway is the tests' rig: the real data path from TLS to the log, in observe mode, without a keeper. Its clocks
stand still while work is counted, so that no timer adds to it, and so does the collector.
"""

import gc
import itertools
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import CodeType
from typing import Final

import pytest
import trio
from trio.testing import MockClock

from benchmarks.work.baseline import Figures
from benchmarks.work.callers import Client
from benchmarks.work.counting import BytecodeCount, CallCount
from benchmarks.work.lockstep import Lockstep
from benchmarks.work.operations import Operation, Stage, Work
from benchmarks.work.peers import ApiServer
from benchmarks.work.recording import GatedFiles, WatchedLog
from gateway import recorder
from gateway.file_times import FileTimes
from tests.kit import gateway_rig

DEADLINE_S: Final = 600.0
BYTECODE_UNITS: Final = 20
"""Units whose byte codes are traced, which takes ten times longer: enough that a connection the pool opens before or after
the first of them does not show."""


@dataclass
class Counted:
    """figures: per unit. calls, builtins: how often each function was called in all `units`."""

    units: int
    figures: Figures = field(default_factory=dict)
    calls: Counter[CodeType] = field(default_factory=Counter)
    builtins: Counter[str] = field(default_factory=Counter)


def count_work(work: Work, share: float) -> Counted:
    """share: of the units of a full run."""
    clock = MockClock(rate=1.0)
    with tempfile.TemporaryDirectory(prefix="kubetape-work-") as directory:
        counted = Counted(max(1, int(work.count * share)))
        trio.run(partial(_run, work.operation(), counted, Path(directory), clock), clock=clock)
    return counted


async def _run(operation: Operation, counted: Counted, directory: Path, clock: MockClock) -> None:
    files, log, api = GatedFiles(), WatchedLog(), ApiServer(directory)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recorder, "SegmentLog", log)
        # It would wake the event loop from a thread, five times a second: no part of any operation.
        patch.setattr(FileTimes, "may_have_changed", lambda _: False)
        rigged = gateway_rig.open_rig(
            directory / "rig", files=files, kubeconfig=api.kubeconfig, deadline_s=DEADLINE_S
        )
        async with rigged as rig:
            lockstep = Lockstep(api, log, files)

            def connect(protocol: str) -> Client:
                context = rig.context([protocol])
                client = Client(rig.gateway.port, context, rig.token, protocol=protocol)
                lockstep.clients = [one for one in lockstep.clients if not one.peer.is_over] + [client]
                return client

            with _standing_still(clock, lockstep):
                await _play(operation, Stage(api, connect), lockstep, counted)
            for client in lockstep.clients:
                client.peer.close()
            api.close()


async def _play(operation: Operation, stage: Stage, lockstep: Lockstep, counted: Counted) -> None:
    await lockstep.play(operation.begin(stage))
    calls, log, units = CallCount(), lockstep.log, counted.units
    before = (log.records, log.urgent_records, log.record_bytes)
    steps = await lockstep.play(operation.repeat(stage, units), calls)
    counted.calls, counted.builtins = calls.calls, calls.builtins
    totals = {
        "steps": steps,
        "calls": calls.calls.total(),
        "builtins": calls.builtins.total(),
        "system_calls": calls.system_calls,
        "records": log.records - before[0],
        "urgent_records": log.urgent_records - before[1],
        "record_bytes": log.record_bytes - before[2],
    }
    counted.figures = {name: round(total / units, 3) for name, total in totals.items()}
    traced_units = min(units, BYTECODE_UNITS)
    bytecodes = BytecodeCount()
    await lockstep.play(operation.repeat(stage, traced_units), bytecodes)
    counted.figures["bytecodes"] = round(bytecodes.total / traced_units, 1)


@contextmanager
def _standing_still(clock: MockClock, lockstep: Lockstep) -> Iterator[None]:
    """No timer of the gateway comes due, no garbage is collected, and the peers play."""
    clock.rate = 0.0
    gc.collect()
    gc.disable()
    trio.lowlevel.add_instrument(lockstep)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(time, "monotonic", itertools.repeat(time.monotonic()).__next__)
            yield
    finally:
        trio.lowlevel.remove_instrument(lockstep)
        lockstep.files.gate.set()
        gc.enable()
        clock.rate = 1.0
