"""K2 for the keeper: the lives of a gateway whose keeper dies at points of tree, rows, export and retention.

    python -m tests.crash.keeper_lane --rounds 20 --keep DIR

Every lane has a bucket of its own that is never killed (`tests.kit.strict_s3`), and a policy that soon deletes what
is in it. In the end directory and bucket together must be the log that was written.
"""

import random
import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import click

from storage.errors import StorageError
from tests.crash.failpoints import Point
from tests.crash.kept import check_bucket, put_together, segments_in
from tests.crash.kill_at_points import SEGMENT_BYTES, PointLane
from tests.crash.points import KEEPER_POINTS, by_name
from tests.crash.processes import Oracle, eventually
from tests.crash.proving import check_proven, own_keys
from tests.crash.rig import LANES, Report, run_lanes
from tests.kit.strict_s3 import BUCKET, StrictS3, credentials

KEPT_BYTES: Final = 8 * SEGMENT_BYTES
DRAIN_S: Final = 20.0
PATIENCE_S: Final = 60.0
QUICK: Final = "gateway.keeping.work:RETENTION_S=0.5 gateway.keeping.work:ROWS_S=0.5"
"""Once a minute and every five seconds, in the product."""


class KeeperLane(PointLane):
    """Export to a bucket, rows, and retention; lives end at points in the keeper."""

    clients = ("secret", "write", "write", "exec")  # few: the keeper, at low priority, is what is waited for

    def __init__(
        self, name: str, directory: Path, oracle: Oracle, seed: int, points: list[Point], s3: StrictS3
    ) -> None:
        export = {
            "bucket": BUCKET,
            "region": "eu-central-1",
            "endpointUrl": s3.endpoint,
            "objectLock": {"mode": "GOVERNANCE", "days": 1},
            "checkpointSeconds": 1,
            "rows": "metadata",
        }
        super().__init__(
            name,
            directory,
            oracle,
            seed,
            points,
            record={"retention": {"maxBytes": KEPT_BYTES}},
            more={"export": {"s3": export}},
        )
        self._s3 = s3
        self.changes = {"CRASH_SET": QUICK}
        credentials(self.changes.__setitem__)

    def look(self) -> list[str]:
        """Retention deletes on purpose: what is kept is compared at the end, directory and bucket together."""
        return []

    def run(self, rounds: int) -> None:
        """Then one life that ends in order: the keeper brings everything to its end."""
        try:
            for _ in range(rounds):
                self.rounds += 1
                self.life()
            self.gateway.program, self.gateway.changes = "tests.crash.instrumented", self.changes
            self.rounds += 1
            self.gateway.start()
            self.under_load(self._wait_for_retention)
            self._end_in_order()
            self.gateway.start()
            eventually(lambda: not self._not_exported(), PATIENCE_S, "everything sealed is exported")
            self._end_in_order()
        finally:
            self.gateway.kill()

    def _wait_for_retention(self) -> None:
        before = len(list(self.gateway.log.glob("*.tombstone")))
        eventually(
            lambda: len(list(self.gateway.log.glob("*.tombstone"))) > before, PATIENCE_S, "retention deletes"
        )

    def _end_in_order(self) -> None:
        self.gateway.signal(signal.SIGTERM)
        self.gateway.wait(DRAIN_S)
        self.ledger.kills_ns.append(time.time_ns())

    def _not_exported(self) -> list[str]:
        there = segments_in(self._s3)
        return sorted(path.name for path in self.gateway.log.glob("*.kseg") if path.name not in there)

    def compare(self, oracle: Oracle) -> Report:
        data_dir, log = self.gateway.data_dir, self.gateway.log
        faults = check_bucket(log, self._s3, own_keys(data_dir))
        faults += [f"{name} was not exported" for name in self._not_exported()]
        faults += check_proven(data_dir)
        try:
            whole = put_together(data_dir, self._s3, self.directory / "whole")
        except StorageError as error:
            return Report(faults=[*faults, str(error)])
        report = self.compare_with(oracle, whole / "log" / log.name)
        report.faults += faults
        return report


def run(directory: Path, rounds: int, seed: int, points: tuple[Point, ...] = KEEPER_POINTS) -> Report:
    """Every point in the keeper so many times, in an order of chance."""
    rng = random.Random(seed)
    lives = [point for point in points for _ in range(rounds)]
    rng.shuffle(lives)
    shares = [share for number in range(LANES) if (share := lives[number::LANES])]
    with Oracle(directory / "oracle") as oracle, ExitStack() as buckets:
        lanes = [
            KeeperLane(
                f"keeper{number}",
                directory / f"keeper{number}",
                oracle,
                rng.randrange(1 << 30),
                share,
                buckets.enter_context(StrictS3().running()),
            )
            for number, share in enumerate(shares)
        ]
        return run_lanes(lanes, [len(share) for share in shares], oracle, f"seed {seed}, see {directory}")


@click.command()
@click.option("--rounds", default=20, show_default=True, help="How often each point.")
@click.option("--seed", type=int, help="Default: a new one, which is printed.")
@click.option("--keep", required=True, type=click.Path(path_type=Path, exists=False), help="New directory.")
@click.option("--only", multiple=True, metavar="POINT", help="Only this point (repeatable).")
def main(rounds: int, seed: int | None, keep: Path, only: tuple[str, ...]) -> None:
    """Kill keeper and gateway at named points of tree, rows, export and retention, and compare all there is."""
    points = tuple(map(by_name, only)) or KEEPER_POINTS
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
