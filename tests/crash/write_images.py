"""K3 without root, and with an unkind disk: every image a power cut could leave of what a real gateway wrote.

    python -m tests.crash.write_images --images 500 --keep DIR

The gateway and its keeper run as they are, in strict mode, under load, and every file operation is noted (see
tests/kit/write_log.py). Afterwards images are made at random moments: what was synced is there, of what was not any
part is: nothing, all, writes torn at bytes or sectors, old names or new ones. Each image is read, recovered and read
again in memory, and compared with what clients had been told before that moment.
"""

import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click

from storage.encryption.keys import KeyRing, Wrapper
from storage.encryption.local_key import LocalKey, default_path
from storage.errors import StorageError
from storage.log import LogIdentity
from tests.crash.moments import acknowledged, check_cut, recover_and_compare
from tests.crash.power_cut import CutReport
from tests.crash.processes import Oracle, eventually
from tests.crash.proving import check_proven, check_start, own_keys
from tests.crash.recorded import keys_of, read_log
from tests.crash.scene import Scene
from tests.kit.faulty_files import CrashFiles, torn
from tests.kit.write_log import read_notes
from tests.kit.write_replay import Replay

LOAD: Final = ("read", "secret", "write", "write", "write", "watch", "exec", "exec")
LOAD_S: Final = 3.0
IMAGES_OF_ONE_LIFE: Final = 100
"""Further ones would mostly repeat it: then a new gateway writes another log."""

Choose = Callable[[int, bytes], bytes | None]


def write_under_load(
    name: str, directory: Path, oracle: Oracle, seed: int, load_s: float = LOAD_S, durability: str = "strict"
) -> Scene:
    """A gateway's life, noted in `directory`/notes; it is killed in the end."""
    notes = directory / "notes"
    notes.mkdir(parents=True)
    scene = Scene(
        name,
        directory / "data",
        oracle,
        directory / "gateway.err",
        durability=durability,
        segment_bytes=96 << 10,
    )
    scene.gateway.program = "tests.crash.instrumented"
    scene.gateway.changes = {"CRASH_NOTES": str(notes)}
    try:
        scene.gateway.start()
        scene.load(*LOAD, seed=seed)
        time.sleep(load_s)
        eventually(lambda: len(scene.ledger.finished()) > 50, 20.0, "calls are served")
    finally:
        scene.end()
    scene.stop_load()
    return scene


def check_images(scene: Scene, notes: Path, images: int, rng: random.Random, report: CutReport) -> None:
    """So many images of a life, at moments of chance, in the order of time."""
    recorded = read_notes(notes)
    moments = sorted(rng.sample(range(len(recorded)), min(images, len(recorded))))
    seen, directory = scene.seen(), scene.gateway.log
    name = (scene.gateway.data_dir / "gateway-id").read_text().strip()
    identity = LogIdentity(name, f"kubetape/{name}/0", 0)
    local = default_path(scene.gateway.data_dir)
    wrapper = LocalKey(local) if local.exists() else None
    replay, wanted = Replay(recorded), set(moments)
    for number, noted in enumerate(replay.steps()):
        if number in wanted:
            kept_names = rng.random()
            image = replay.image(_chooser(rng), lambda _, kept=kept_names: rng.random() < kept)  # type: ignore[misc]
            where = f"image at note {number} of {notes}"
            faults = _check(image, directory, identity, wrapper, scene, seen, noted.note.at_ns, report)
            report.faults += [f"{where}: {fault}" for fault in faults]


def _chooser(rng: random.Random) -> Choose:
    """What becomes of unsynced writes in one image: nothing kept, all kept, or each as chance has it."""
    kind = rng.randrange(4)
    if kind == 0:
        return lambda number, data: None
    if kind == 1:
        return lambda number, data: data
    return lambda number, data: torn(rng, data)


def _check(
    image: dict[Path, bytes],
    directory: Path,
    identity: LogIdentity,
    wrapper: Wrapper | None,
    scene: Scene,
    seen: list[dict[str, Any]],
    cut_ns: int,
    report: CutReport,
) -> list[str]:
    report.images += 1
    report.acknowledged += acknowledged(scene.ledger, cut_ns)
    keys: KeyRing = keys_of(scene.gateway.data_dir)
    signers = own_keys(scene.gateway.data_dir)
    files = CrashFiles(image)
    try:
        log = read_log(directory, files=files, keys=keys)
        faults = check_start(directory, files=files, keys=signers)
        faults += recover_and_compare(directory, identity, files=files, wrapper=wrapper, keys=keys)
        after = read_log(directory, files=files, keys=keys)
        faults += check_proven(directory, files=files, keys=signers)
    except (StorageError, OSError) as error:
        return [f"{type(error).__name__}: {error}"]
    report.records += log.records
    report.torn += sum(found.finding == "torn" for found in after.recovered)
    faults += [fault for fault in after.faults if fault not in log.faults]
    return faults + check_cut(scene.ledger, seen, log, cut_ns)


def run(directory: Path, images: int, seed: int, load_s: float = LOAD_S) -> CutReport:
    """So many images, of as many lives as that takes."""
    rng = random.Random(seed)
    report = CutReport()
    with Oracle(directory / "oracle") as oracle:
        life = 0
        while report.images < images:
            below = directory / f"life{life}"
            scene = write_under_load(f"notes{life}", below, oracle, rng.randrange(1 << 30), load_s)
            wanted = min(IMAGES_OF_ONE_LIFE, images - report.images)
            check_images(scene, below / "notes", wanted, rng, report)
            life += 1
    return report


@click.command()
@click.option("--images", default=500, show_default=True)
@click.option("--seed", type=int, help="Default: a new one, which is printed.")
@click.option("--keep", required=True, type=click.Path(path_type=Path, exists=False), help="New directory.")
def main(images: int, seed: int | None, keep: Path) -> None:
    """Make every kind of disk a power cut could leave of a gateway's writes, and compare with what was answered."""
    seed = random.randrange(1 << 30) if seed is None else seed
    click.echo(f"seed {seed}, artifacts in {keep}")
    began_s = time.monotonic()
    report = run(keep, images, seed)
    click.echo(f"gateway, strict: {report} ({time.monotonic() - began_s:.0f} s)")
    for fault in report.faults:
        click.echo(fault)
    sys.exit(1 if report.faults else 0)


if __name__ == "__main__":
    main()
