"""kill -9 of one process of several under load: nothing that was acknowledged is lost, and the others go on.

The three memories are compared as after the death of a whole gateway (INV1 to INV4): what clients saw, what the API
server saw, and all logs together. KUBETAPE_CRASH_ROUNDS and KUBETAPE_CRASH_SEED change the run.
"""

import os
import random
import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from storage.files import REAL_FILES
from storage.sources import LOG_DIRECTORY, log_names
from tests.crash.invariants import check
from tests.crash.processes import Oracle, eventually, is_running
from tests.crash.proving import check_proven
from tests.crash.recorded import LogContents, read_log
from tests.crash.scene import Scene
from tests.kit.fleets import KEEPER, Fleet

pytestmark = [pytest.mark.crash, pytest.mark.slow]

ROUNDS = int(os.environ.get("KUBETAPE_CRASH_ROUNDS", "8"))
SEED = int(os.environ.get("KUBETAPE_CRASH_SEED", "0")) or random.randrange(1, 1 << 30)
LOAD = ("read", "write", "write", "write", "watch", "exec", "exec")
RECOVERED_S = 60.0


class FleetScene(Scene):
    """Clients of several processes, and all their logs as one."""

    def __init__(self, directory: Path, oracle: Oracle) -> None:
        super().__init__("fleet", directory / "data", oracle, directory / "unused")
        self.fleet = Fleet(
            directory / "data", oracle, directory / "errors", more={"workers": 2, "drainSeconds": 1}
        )
        self.gateway = self.fleet

    def log(self) -> LogContents:
        whole = LogContents()
        directory = self.fleet.data_dir / LOG_DIRECTORY
        for name in log_names(REAL_FILES, directory):
            one = read_log(directory / name)
            assert not whole.exchanges.keys() & one.exchanges.keys(), "one exchange, one log"
            whole.exchanges |= one.exchanges
            whole.faults += one.faults
            whole.records += one.records
        return whole


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[FleetScene]:
    with Oracle(tmp_path / "oracle") as oracle:
        made = FleetScene(tmp_path, oracle)
        made.fleet.start()
        try:
            yield made
        finally:
            pids = made.fleet.children() + made.fleet.children(KEEPER)
            made.end()
            eventually(lambda: not any(map(is_running, pids)), RECOVERED_S, "all end with their supervisor")


def victims_of(fleet: Fleet, kind: str) -> list[int]:
    if kind == "keeper":
        return fleet.children(KEEPER)
    return [fleet.writer_of(2)] if kind == "control" else [fleet.writer_of(0), fleet.writer_of(1)]


def _is_dead(pid: int) -> bool:
    return not is_running(pid)


def all_dead(pids: list[int]) -> bool:
    return not any(map(is_running, pids))


def strike(scene: FleetScene, action: str, rng: random.Random) -> None:
    """One thing that happens to a gateway of several processes."""
    fleet = scene.fleet
    if action == "supervisor":
        pids = fleet.children() + fleet.children(KEEPER)
        scene.ledger.kills_ns.append(time.time_ns())
        fleet.kill()
        scene.stop_load()
        fleet.start()  # the old ones may still be on their way out
        eventually(partial(all_dead, pids), RECOVERED_S, "the old ones end")
        return
    if action.startswith("replaced"):
        fleet.signal(signal.SIGHUP)
        time.sleep(rng.uniform(0.0, 2.0))
    if action.endswith("worker"):
        scene.ledger.kills_ns.append(time.time_ns())
        os.kill(rng.choice(fleet.children()), signal.SIGKILL)
    elif action.endswith("keeper"):
        os.kill(rng.choice(fleet.children(KEEPER)), signal.SIGKILL)
    time.sleep(rng.uniform(0.1, 0.5))
    scene.stop_load()


def test_whatever_dies_while_they_are_replaced_loses_nothing_that_was_acknowledged(scene: FleetScene) -> None:
    rng = random.Random(SEED)
    actions = ("worker", "replaced worker", "replaced worker", "replaced", "replaced keeper", "supervisor")
    for _ in range(ROUNDS):
        scene.load(*LOAD, seed=rng.randrange(1 << 30))
        time.sleep(rng.uniform(0.2, 1.0))
        eventually(lambda: scene.fleet.children(KEEPER), RECOVERED_S, "there is a keeper")
        strike(scene, rng.choice(actions), rng)
        scene.fleet.until_ready(RECOVERED_S)
    scene.fleet.signal(signal.SIGTERM)
    assert scene.fleet.wait(60) == 0, scene.fleet.said()
    faults = check(scene.ledger, scene.seen(), scene.log())
    faults += check_proven(scene.fleet.data_dir, may_be_young=False)
    assert faults == [], f"seed {SEED}"


@pytest.mark.parametrize("kind", ["worker", "control", "keeper"])
def test_a_killed_process_loses_nothing_that_was_acknowledged(scene: FleetScene, kind: str) -> None:
    rng = random.Random(SEED)
    for _ in range(ROUNDS if kind == "worker" else 2):
        scene.load(*LOAD, seed=rng.randrange(1 << 30))
        time.sleep(rng.uniform(0.2, 1.0))
        victim = rng.choice(victims_of(scene.fleet, kind))
        if kind == "worker":  # the others write no call
            scene.ledger.kills_ns.append(time.time_ns())
        os.kill(victim, signal.SIGKILL)
        time.sleep(rng.uniform(0.1, 0.5))
        scene.stop_load()
        eventually(partial(_is_dead, victim), RECOVERED_S, "it is dead")
        scene.fleet.until_ready(RECOVERED_S)
        eventually(lambda: scene.fleet.children(KEEPER), RECOVERED_S, "there is a keeper")
    scene.fleet.signal(signal.SIGTERM)
    assert scene.fleet.wait(60) == 0, scene.fleet.said()
    faults = check(scene.ledger, scene.seen(), scene.log())
    faults += check_proven(scene.fleet.data_dir, may_be_young=False)
    assert faults == [], f"seed {SEED}"
    unknown = len(scene.log().unknown())
    assert (unknown > 0) is (kind == "worker"), f"seed {SEED}: {unknown} calls without an end"
