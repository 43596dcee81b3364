"""K3: the power goes, at random, under a real writer and a real gateway, on a real ext4.

    python -m tests.crash.power_cut --images 500 --keep DIR

Per round a fresh directory on an `ImageDisk`, ten cuts while a process writes; then each copy is mounted, read,
recovered and read again, and compared with what had been acknowledged before the cut: positions the log writer had
printed, or answers that clients of a gateway in strict mode had in full. A round in ten a gateway is started on the
copy, too. A copy that shows a loss is kept.
"""

import random
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import click

from storage.encryption.local_key import LocalKey, default_path
from storage.errors import StorageError
from storage.files import REAL_FILES
from storage.log import LogIdentity
from storage.reader import iter_records
from storage.records import SegmentRecovered, decode_record
from tests.crash.image_disk import ImageDisk, NoImages
from tests.crash.ledger import SECRET
from tests.crash.log_writer import IDENTITY, content
from tests.crash.moments import acknowledged, check_cut, now_ns, recover_and_compare
from tests.crash.processes import Oracle, eventually
from tests.crash.proving import check_proven, check_start
from tests.crash.recorded import keys_of, read_log
from tests.crash.scene import Scene
from tests.kit.running import ROOT, environment

CUTS: Final = 10
LOAD: Final = ("read", "secret", "write", "write", "write", "watch", "exec", "exec")
LONGEST_GAP_S: Final = 0.25


@dataclass
class CutReport:
    """acknowledged: records or calls that were owed, over all images."""

    images: int = 0
    acknowledged: int = 0
    records: int = 0
    torn: int = 0
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.images} images, {self.acknowledged} acknowledgements owed, {self.records} records read, "
            f"{self.torn} torn segments, lost: {len(self.faults)}"
        )


# --- the log alone -------------------------------------------------------------------------------


class _Writer:
    """A log writer process; `said` is the last position it vouched for."""

    def __init__(self, data_dir: Path, seed: int) -> None:
        command = [sys.executable, "-m", "tests.crash.log_writer", str(data_dir / "log" / "0"), str(seed)]
        self._process = subprocess.Popen(
            [*command, str(data_dir)], stdout=subprocess.PIPE, cwd=ROOT, env=environment()
        )
        self.said = 0
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.endswith(b"\n"):
                self.said = int(line)

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._thread.join()  # it reads to the end of what was said
        assert self._process.stdout is not None
        self._process.stdout.close()


def cut_writer(disk: ImageDisk, number: int, rng: random.Random, report: CutReport, cuts: int = CUTS) -> None:
    """One round: cuts under a writer, then the copies."""
    data_dir = disk.mount / f"writer{number}"
    data_dir.mkdir()
    writer = _Writer(data_dir, rng.randrange(1 << 30))
    taken: list[tuple[Path, int]] = []
    try:
        eventually(lambda: writer.said, 20.0, "the writer writes")
        for cut in range(cuts):
            time.sleep(rng.random() * LONGEST_GAP_S / 2)
            said = writer.said
            taken.append((disk.cut(f"writer{number}.{cut}"), said))
    finally:
        writer.end()
    for image, said in taken:
        with disk.after_the_cut(image) as copy:
            report.faults += [
                f"{image.name}: {fault}" for fault in _check_writer(copy / data_dir.name, said, report)
            ]
    subprocess.run(["rm", "-rf", str(data_dir)], check=True)


def _check_writer(data_dir: Path, said: int, report: CutReport) -> list[str]:
    """Every position that was vouched for holds the record it must, before and after a recovery."""
    directory, keys = data_dir / "log" / "0", keys_of(data_dir)
    report.images += 1
    report.acknowledged += said
    try:
        before = _count(directory, data_dir)
        faults = recover_and_compare(
            directory, IDENTITY, files=REAL_FILES, wrapper=LocalKey(default_path(data_dir)), keys=keys
        )
        after = _count(directory, data_dir)
    except (StorageError, OSError) as error:
        return [f"{type(error).__name__}: {error}"]
    report.records += after
    report.torn += len(list(directory.glob("*.torn")))
    if before < said:
        faults.append(f"{said} records were acknowledged, {before} are there")
    return faults


def _count(directory: Path, data_dir: Path) -> int:
    number = 0
    for number, (_, data) in enumerate(iter_records(directory, keys=keys_of(data_dir)), 1):
        if data != content(number) and not isinstance(decode_record(data), SegmentRecovered):
            raise StorageError(f"record {number} is not the one that was appended")
    return number


# --- a gateway -------------------------------------------------------------------------------------


def cut_gateway(
    disk: ImageDisk,
    number: int,
    rng: random.Random,
    report: CutReport,
    oracle: Oracle,
    errors: Path,
    cuts: int = CUTS,
) -> None:
    """One round: cuts under a gateway in strict mode with clients, then the copies."""
    scene = Scene(
        f"cut{number}",
        disk.mount / f"gateway{number}",
        oracle,
        errors,
        durability="strict",
        segment_bytes=128 << 10,
    )
    taken: list[tuple[Path, int]] = []
    try:
        scene.gateway.start()
        scene.load(*LOAD, seed=rng.randrange(1 << 30))
        for cut in range(cuts):
            time.sleep(rng.random() * LONGEST_GAP_S)
            moment = now_ns()
            taken.append((disk.cut(f"gateway{number}.{cut}"), moment))
    finally:
        scene.end()
    scene.stop_load()
    seen = scene.seen()
    for cut, (image, moment) in enumerate(taken):
        with disk.after_the_cut(image) as copy:
            data_dir = copy / scene.gateway.data_dir.name
            faults = _check_gateway(data_dir, scene, seen, moment, report)
            if cut == 0 and not faults:
                faults = _start_again(data_dir, oracle, errors, f"again{number}")
            report.faults += [f"{image.name}: {fault}" for fault in faults]
    subprocess.run(["rm", "-rf", str(scene.gateway.data_dir)], check=True)


def _check_gateway(
    data_dir: Path, scene: Scene, seen: list[dict[str, object]], moment: int, report: CutReport
) -> list[str]:
    report.images += 1
    report.acknowledged += acknowledged(scene.ledger, moment)
    directory, local, keys = data_dir / "log" / "0", default_path(data_dir), keys_of(data_dir)
    try:
        name = (data_dir / "gateway-id").read_text().strip()
        log = read_log(directory, keys=keys)
        faults = check_start(directory)
        faults += recover_and_compare(
            directory,
            LogIdentity(name, f"kubetape/{name}/0", 0),
            files=REAL_FILES,
            wrapper=LocalKey(local) if local.exists() else None,
            keys=keys,
        )
        faults += [fault for fault in read_log(directory, keys=keys).faults if fault not in log.faults]
        faults += check_proven(data_dir)
    except (StorageError, OSError) as error:
        return [f"{type(error).__name__}: {error}"]
    report.records += log.records
    report.torn += len(list(directory.glob("*.torn")))
    if not name:
        faults.append("the gateway's name is gone, its log is not")
    return faults + check_cut(scene.ledger, seen, log, moment)


def _start_again(data_dir: Path, oracle: Oracle, errors: Path, name: str) -> list[str]:
    """A gateway starts on the copy, serves, and continues the log."""
    scene = Scene(name, data_dir, oracle, errors, durability="strict", segment_bytes=128 << 10)
    try:
        scene.gateway.start()
        call = scene.call("GET", SECRET, 1)
    except AssertionError as problem:
        return [f"it does not start again: {problem}"]
    finally:
        scene.end()
    return [] if call.status == 200 else [f"it does not serve again: {call.status} {call.problem}"]


# --- both ------------------------------------------------------------------------------------------


def run(directory: Path, images: int, seed: int) -> tuple[CutReport, CutReport]:
    """So many images of a writer, and as many of a gateway. Raises NoImages where there can be none."""
    rng = random.Random(seed)
    writer, gateway = CutReport(), CutReport()
    with ImageDisk(directory / "power") as disk, Oracle(directory / "oracle") as oracle:
        number = 0
        while min(writer.images, gateway.images) < images:
            cuts = min(CUTS, images - gateway.images)
            cut_writer(disk, number, rng, writer, cuts)
            cut_gateway(disk, number, rng, gateway, oracle, directory / "gateway.err", cuts)
            number += 1
    return writer, gateway


@click.command()
@click.option("--images", default=500, show_default=True, help="Of the log writer, and of the gateway.")
@click.option("--seed", type=int, help="Default: a new one, which is printed.")
@click.option("--keep", required=True, type=click.Path(path_type=Path, exists=False), help="New directory.")
def main(images: int, seed: int | None, keep: Path) -> None:
    """Cut the power under a writer and a gateway, and compare what is left with what was acknowledged."""
    seed = random.randrange(1 << 30) if seed is None else seed
    click.echo(f"seed {seed}, artifacts in {keep}")
    began_s = time.monotonic()
    try:
        writer, gateway = run(keep, images, seed)
    except NoImages as why:
        raise click.ClickException(f"power cuts on a real file system cannot be made here: {why}") from why
    click.echo(f"log writer: {writer}\ngateway, strict: {gateway}\n({time.monotonic() - began_s:.0f} s)")
    for fault in writer.faults + gateway.faults:
        click.echo(fault)
    sys.exit(1 if writer.faults or gateway.faults else 0)


if __name__ == "__main__":
    main()
