"""K2: the gateway dies at each named point of `failpoints.POINTS`, then starts again, on the same data directory.

    python -m tests.crash.kill_at_points                               # the table
    python -m tests.crash.kill_at_points --rounds 20 --keep DIR        # every point 20 times

Two lanes share the points. After every death the log is read (INV6), at the end everything is compared as after
random kills, and the index must list every call. A point that was not reached counts as a violation.
"""

import random
import signal
import sys
import time
from pathlib import Path
from typing import Any, Final

import click

from tests.crash.failpoints import Point
from tests.crash.indexed import indexed_calls
from tests.crash.points import POINTS, by_name
from tests.crash.processes import Oracle
from tests.crash.recorded import read_log
from tests.crash.rig import LANES, Lane, Report, run_lanes

REACHED_S: Final = 20.0
"""Within this time under load every point is reached; most are within one second."""
SEGMENT_BYTES: Final = 64 << 10
"""Small, so that segments begin and end all the time."""
DRAIN_AFTER_S: Final = 0.5


class PointLane(Lane):
    """A lane whose lives end at points. points: one a life, in this order."""

    def __init__(
        self, name: str, directory: Path, oracle: Oracle, seed: int, points: list[Point], **options: Any
    ) -> None:
        super().__init__(name, directory, oracle, seed, segment_bytes=SEGMENT_BYTES, **options)
        self._points = points
        self.changes: dict[str, str] = {}  # to the environment, in every life
        self._mark = directory / "mark"

    def life(self) -> None:
        point = self._points[self.rounds - 1]
        if point.behind:
            self._die_at(by_name(point.behind))
        self._die_at(point)
        self.gateway.changes = self.changes

    def _die_at(self, point: Point) -> None:
        nth = self.rng.randint(1, point.most)
        self._mark.unlink(missing_ok=True)
        self.gateway.program = "tests.crash.instrumented"
        self.gateway.changes = self.changes | {
            "CRASH_POINT": point.name,
            "CRASH_NTH": str(nth),
            "CRASH_MARK": str(self._mark),
        }
        if self.gateway.start_or_die():
            self.under_load(lambda: self._wait_for_the_end(point))
        self.gateway.kill()
        if not self._mark.exists():
            self.faults.append(
                f"point {point.name} was not reached {nth} times: {self.gateway.said()[-600:]}"
            )
            self.ledger.kills_ns.append(time.time_ns())
            return
        self.ledger.kills_ns.append(int(self._mark.read_bytes()))

    def _wait_for_the_end(self, point: Point) -> None:
        began_s, told = time.monotonic(), False
        while self.gateway.poll() is None and time.monotonic() - began_s < REACHED_S:
            if point.in_drain and not told and time.monotonic() - began_s > DRAIN_AFTER_S:
                self.gateway.signal(signal.SIGTERM)
                told = True
            time.sleep(0.01)

    def compare(self, oracle: Oracle) -> Report:
        report = super().compare(oracle)
        report.faults += self._check_index()
        return report

    def _check_index(self) -> list[str]:
        """Wherever its maker died: it lists every call of the log, once."""
        listed = sorted(row.exchange for row in indexed_calls(self.gateway.data_dir))
        there = sorted(read_log(self.gateway.log).exchanges)
        return [] if listed == there else [f"the index lists {len(listed)} calls, the log has {len(there)}"]


def run(directory: Path, rounds: int, seed: int, points: tuple[Point, ...] = POINTS) -> Report:
    """Every point so many times, in an order of chance. Raises AssertionError when the rig itself fails."""
    rng = random.Random(seed)
    lives = [point for point in points for _ in range(rounds)]
    rng.shuffle(lives)
    with Oracle(directory / "oracle") as oracle:
        shares = [share for number in range(LANES) if (share := lives[number::LANES])]
        lanes = [
            PointLane(f"lane{number}", directory / f"lane{number}", oracle, rng.randrange(1 << 30), share)
            for number, share in enumerate(shares)
        ]
        return run_lanes(lanes, [len(share) for share in shares], oracle, f"seed {seed}, see {directory}")


@click.command()
@click.option("--rounds", default=0, help="How often each point. Default: 0, only show the points.")
@click.option("--seed", type=int, help="Default: a new one, which is printed.")
@click.option(
    "--keep", type=click.Path(path_type=Path, exists=False), help="New directory for all artifacts."
)
@click.option("--only", multiple=True, metavar="POINT", help="Only this point (repeatable).")
def main(rounds: int, seed: int | None, keep: Path | None, only: tuple[str, ...]) -> None:
    """Kill a gateway at named points of its protocol and compare what it recorded with what really happened."""
    points = tuple(map(by_name, only)) or POINTS
    if not rounds:
        for point in points:
            click.echo(f"{point.name:20} {point.moment:50} {point.when} {point.where}")
        return
    if keep is None:
        raise click.UsageError("--rounds needs --keep DIR")
    seed = random.randrange(1 << 30) if seed is None else seed
    click.echo(f"seed {seed}, artifacts in {keep}")
    began_s = time.monotonic()
    report = run(keep, rounds, seed, points)
    click.echo(f"{len(points)} points, {report} ({time.monotonic() - began_s:.0f} s)")
    for fault in report.faults:
        click.echo(fault)
    sys.exit(1 if report.faults else 0)


if __name__ == "__main__":
    main()
