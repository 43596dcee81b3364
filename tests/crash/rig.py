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
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import click

from storage.errors import StorageError
from tests.crash.canaries import check_credentials
from tests.crash.clients import Access, Client, access_token
from tests.crash.frames import Witness, check_nonces
from tests.crash.invariants import check, header, lost_answers
from tests.crash.ledger import Ledger
from tests.crash.processes import GatewayProcess, Oracle, eventually, is_running, run_threads
from tests.crash.proving import check_proven
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
    witnessed: int = 0
    torn: int = 0
    faults: list[str] = field(default_factory=list)

    def add(self, other: "Report") -> None:
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)

    def __str__(self) -> str:
        return (
            f"{self.rounds} rounds: {self.calls} calls, {self.seen} seen by the API server, {self.finished} answered "
            f"whole ({self.finished_class_1} of class 1), {self.records} records ({self.witnessed} read between two lives), "
            f"{self.torn} torn segments; "
            f"outcome unknown: {self.unknown}, class 2 outcomes lost within the window: {self.lost_class_2}, "
            f"violations: {len(self.faults)}"
        )


class Lane:
    """One data directory through many lives of its gateway. options: of GatewayProcess."""

    clients: tuple[str, ...] = CLIENTS

    def __init__(self, name: str, directory: Path, oracle: Oracle, seed: int, **options: Any) -> None:
        directory.mkdir(parents=True)
        self.name, self.directory, self.ledger = name, directory, Ledger()
        self.rng = random.Random(seed)
        self.gateway = GatewayProcess(directory / "data", oracle, directory / "gateway.err", **options)
        self.faults: list[str] = []
        self.rounds = 0
        self._witness = Witness(self.gateway.log)

    def run(self, rounds: int) -> None:
        """So many lives, each ended by SIGKILL; then one that ends in order. Raises on a failed start."""
        try:
            for _ in range(rounds):
                self.rounds += 1
                self.life()
                self.faults += self.look()
            self.gateway.start()
            keepers = self.gateway.keeper_pids()
        finally:
            self.gateway.kill()
        eventually(lambda: not any(map(is_running, keepers)), 10.0, "the keeper ends with its gateway")

    def look(self) -> list[str]:
        """What is wrong with the log right after a death."""
        return self._witness.look()

    def life(self) -> None:
        """One start, load, one end."""
        rng = self.rng
        if rng.random() < 0.1:  # killed while it starts: in recovery, too
            self.gateway.spawn()
            time.sleep(0.1 + rng.random())
            self.gateway.kill()
            return
        self.gateway.start()
        self.under_load(self._kill_after_a_while)

    def _kill_after_a_while(self) -> None:
        rng = self.rng
        time.sleep(0.1 + (rng.random() * 2.9 if rng.random() < 0.1 else rng.random() * 0.9))
        self.ledger.kills_ns.append(time.time_ns())
        self.gateway.kill()

    def under_load(self, end: Callable[[], None]) -> None:
        """Clients of every kind, until the gateway was ended."""
        access = Access(self.gateway.kubeconfig, self.gateway.port)
        stop = threading.Event()
        clients = [
            Client(
                kind,
                f"{self.name}.{self.rounds}.{number}.{kind}",
                access,
                self.ledger,
                stop,
                self.rng.randrange(1 << 30),
            )
            for number, kind in enumerate(self.clients)
        ]
        for client in clients:
            client.start()
        try:
            end()
        finally:
            stop.set()
        run_threads(list(clients), CLIENTS_END_S)

    def compare(self, oracle: Oracle) -> Report:
        """Read everything back."""
        report = self.compare_with(oracle, self.gateway.log)
        report.faults += check_proven(self.gateway.data_dir)
        report.faults += check_credentials(self.gateway.data_dir, [access_token(self.gateway.kubeconfig)])
        return report

    def compare_with(self, oracle: Oracle, directory: Path) -> Report:
        """Clients, API server, and the log in this directory."""
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
            witnessed=self._witness.records,
            faults=self.faults,
        )
        try:
            log = read_log(directory)
            report.faults += self._witness.look(whole=True) if directory == self.gateway.log else []
            report.faults += check_nonces(directory)
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
    with Oracle(directory / "oracle") as oracle:
        lanes = [
            Lane(
                f"lane{number}",
                directory / f"lane{number}",
                oracle,
                rng.randrange(1 << 30),
                durability=durability,
            )
            for number in range(LANES)
        ]
        shares = [rounds // LANES + (number < rounds % LANES) for number in range(LANES)]
        return run_lanes(lanes, shares, oracle, f"seed {seed}, see {directory}")


def run_lanes(lanes: Sequence[Lane], shares: Sequence[int], oracle: Oracle, where: str) -> Report:
    """Run lanes side by side, so many rounds each, and compare. Raises AssertionError when a rig itself fails."""
    problems: list[BaseException] = []

    def work(lane: Lane, share: int) -> None:
        try:
            lane.run(share)
        except BaseException as problem:
            problems.append(problem)

    threads = [
        threading.Thread(target=work, args=(lane, share), name=lane.name)
        for lane, share in zip(lanes, shares, strict=True)
    ]
    for thread in threads:
        thread.start()
    run_threads(threads, 120.0 + 30.0 * sum(shares))
    if problems:
        raise AssertionError(f"{where}: {problems[0]}") from problems[0]
    total = Report()
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
