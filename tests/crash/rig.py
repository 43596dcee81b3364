"""kill -9 of the whole gateway under load, again and again, and then the comparison of three memories.

    python -m tests.crash.rig --rounds 1000 --seed 7 --keep DIR

A lane is one data directory with its gateway, clients and ledger; lanes share nothing but the oracle, and run
side by side because starting a gateway is mostly waiting. Exits with 1, and names seed and directory, when an
invariant does not hold.
"""

import random
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import click

from storage.errors import StorageError
from tests.crash.clients import Access, Client
from tests.crash.invariants import check, header, lost_answers
from tests.crash.ledger import Ledger
from tests.crash.processes import GatewayProcess, Oracle, eventually, is_running, run_threads
from tests.crash.recorded import read_log

CLIENTS: Final = ("read", "read", "secret", "write", "write", "write", "watch", "exec", "exec")
LANES: Final = 2
CLIENTS_END_S: Final = 35.0


@dataclass
class Report:
    """Figures of a run, and what did not hold."""

    rounds: int = 0
    calls: int = 0
    seen: int = 0
    finished: int = 0
    finished_class_1: int = 0
    unknown: int = 0
    lost_class_2: int = 0
    records: int = 0
    torn: int = 0
    faults: list[str] = field(default_factory=list)

    def add(self, other: "Report") -> None:
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)

    def __str__(self) -> str:
        return (
            f"{self.rounds} rounds: {self.calls} calls, {self.seen} seen by the API server, {self.finished} answered "
            f"whole ({self.finished_class_1} of class 1), {self.records} records, {self.torn} torn segments; "
            f"outcome unknown: {self.unknown}, class 2 outcomes lost within the window: {self.lost_class_2}, "
            f"violations: {len(self.faults)}"
        )


class Lane:
    """One data directory through many lives of its gateway."""

    def __init__(self, name: str, directory: Path, oracle: Oracle, seed: int, durability: str) -> None:
        directory.mkdir(parents=True)
        self.name, self.ledger = name, Ledger()
        self._rng = random.Random(seed)
        self._gateway = GatewayProcess(
            directory / "data", oracle, directory / "gateway.err", durability=durability
        )
        self.rounds = 0

    def run(self, rounds: int) -> None:
        """So many lives, each ended by SIGKILL; then one that ends in order. Raises on a failed start."""
        try:
            for _ in range(rounds):
                self.rounds += 1
                self._life()
            self._gateway.start()
            keepers = self._gateway.keeper_pids()
        finally:
            self._gateway.kill()
        eventually(lambda: not any(map(is_running, keepers)), 10.0, "the keeper ends with its gateway")

    def _life(self) -> None:
        rng = self._rng
        if rng.random() < 0.1:  # killed while it starts: in recovery, too
            self._gateway.spawn()
            time.sleep(0.1 + rng.random())
            self._gateway.kill()
            return
        self._gateway.start()
        access = Access(self._gateway.kubeconfig, self._gateway.port)
        stop = threading.Event()
        clients = [
            Client(
                kind,
                f"{self.name}.{self.rounds}.{number}.{kind}",
                access,
                self.ledger,
                stop,
                rng.randrange(1 << 30),
            )
            for number, kind in enumerate(CLIENTS)
        ]
        for client in clients:
            client.start()
        time.sleep(0.1 + (rng.random() * 2.9 if rng.random() < 0.1 else rng.random() * 0.9))
        self.ledger.kills_ns.append(time.time_ns())
        self._gateway.kill()
        stop.set()
        run_threads(list(clients), CLIENTS_END_S)

    def compare(self, oracle: Oracle) -> Report:
        """Read everything back."""
        mine = [
            request
            for request in oracle.settle()
            if header(request, "user-agent").startswith(self.name + ".")
        ]
        report = Report(
            rounds=self.rounds,
            calls=len(self.ledger.calls),
            seen=len(mine),
            finished=len(self.ledger.finished()),
            finished_class_1=sum(call.durability == 1 for call in self.ledger.finished()),
        )
        try:
            log = read_log(self._gateway.log)
        except StorageError as error:
            report.faults.append(f"INV4/INV5: {error}")
            return report
        report.records, report.unknown = log.records, len(log.unknown())
        report.torn = sum(found.finding == "torn" for found in log.recovered)
        report.lost_class_2 = lost_answers(self.ledger, log)
        report.faults += check(self.ledger, mine, log)
        return report


def run(directory: Path, rounds: int, seed: int, durability: str = "balanced") -> Report:
    """Run so many rounds in LANES lanes below a directory. Raises AssertionError when the rig itself fails."""
    rng = random.Random(seed)
    total = Report()
    problems: list[BaseException] = []
    with Oracle(directory / "oracle") as oracle:
        lanes = [
            Lane(f"lane{number}", directory / f"lane{number}", oracle, rng.randrange(1 << 30), durability)
            for number in range(LANES)
        ]

        def work(lane: Lane, share: int) -> None:
            try:
                lane.run(share)
            except BaseException as problem:
                problems.append(problem)

        shares = [rounds // LANES + (number < rounds % LANES) for number in range(LANES)]
        threads = [
            threading.Thread(target=work, args=(lane, share), name=lane.name)
            for lane, share in zip(lanes, shares, strict=True)
        ]
        for thread in threads:
            thread.start()
        run_threads(threads, 120.0 + 30.0 * rounds)
        if problems:
            raise AssertionError(f"seed {seed}, see {directory}: {problems[0]}") from problems[0]
        for lane in lanes:
            total.add(lane.compare(oracle))
    return total


@click.command()
@click.option("--rounds", default=50, show_default=True)
@click.option("--seed", type=int, help="Default: a new one, which is printed.")
@click.option("--durability", default="balanced", show_default=True)
@click.option("--keep", required=True, type=click.Path(path_type=Path, exists=False), help="New directory.")
def main(rounds: int, seed: int | None, durability: str, keep: Path) -> None:
    """Kill a gateway under load and compare what it recorded with what really happened."""
    seed = random.randrange(1 << 30) if seed is None else seed
    click.echo(f"seed {seed}, artifacts in {keep}")
    began_s = time.monotonic()
    report = run(keep, rounds, seed, durability)
    click.echo(f"{report} ({time.monotonic() - began_s:.0f} s)")
    for fault in report.faults:
        click.echo(fault)
    sys.exit(1 if report.faults else 0)


if __name__ == "__main__":
    main()
