"""K15: everything that is made of the record, deleted, emptied, cut or garbled, and then a start that does not know.

    python -m tests.crash.derived_files --keep DIR            # every kind of file in every way; about two minutes

The base is one data directory with a crash and an orderly end in its past; each case damages a copy. Derived files
are made again; what tells how far the log was signed is not derived, and a start without it may be refused, in one
line. Nothing is ever believed over the segments, and none of them is changed.
"""

import hashlib
import random
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from storage.reader import READABLE
from tests.crash.frames import Witness
from tests.crash.indexed import indexed_calls
from tests.crash.ledger import SECRET
from tests.crash.processes import Oracle, eventually, run_threads
from tests.crash.proving import check_proven
from tests.crash.scene import Scene

GARBLED_BYTES: Final = 16
SEGMENT_BYTES: Final = 64 << 10


@dataclass(frozen=True)
class Kind:
    """files: globs below the data directory. made_again: the start must succeed; else it may be refused. found_by:
    part of the finding with which `verify` may name the damage for ever: the file is signed, and not made again.
    comes_and_goes: a gateway that ends may have just used it up."""

    name: str
    files: tuple[str, ...]
    made_again: bool = True
    found_by: str = ""
    comes_and_goes: bool = False


KINDS: Final = (
    Kind("index days", ("index/2*.sqlite",)),
    Kind("index state", ("index/state.sqlite",)),
    Kind("tree tiles", ("log/0/tlog/tile/**/*",)),
    Kind("how far the tree is synced", ("log/0/tlog/synced",)),
    Kind("checkpoint", ("log/0/tlog/checkpoint",), made_again=False),
    Kind(
        "copies of checkpoints", ("log/0/tlog/checkpoints/*",), made_again=False, found_by="tlog/checkpoints/"
    ),
    Kind("public key", ("keys/log.vkey",), made_again=False),
    Kind("spares", ("log/0/*.spare",), comes_and_goes=True),
    Kind("certificate", ("tls/*",), made_again=False),
    Kind("first user's kubeconfig", ("kubeconfig",), made_again=False),
)


def delete(path: Path, _: random.Random) -> None:
    path.unlink()


def empty(path: Path, _: random.Random) -> None:
    path.write_bytes(b"")


def cut(path: Path, rng: random.Random) -> None:
    path.write_bytes(path.read_bytes()[: rng.randrange(max(1, path.stat().st_size))])


def garble(path: Path, rng: random.Random) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(GARBLED_BYTES if content else 0):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


WAYS: Final[tuple[Callable[[Path, random.Random], None], ...]] = (delete, empty, cut, garble)


def make_base(directory: Path, oracle: Oracle) -> Path:
    """A data directory that was crashed once, and then ended in order."""
    scene = Scene("base", directory / "base", oracle, directory / "base.err", segment_bytes=SEGMENT_BYTES)
    try:
        for life in range(2):
            scene.gateway.start()
            scene.load("read", "secret", "write", "write", "exec")
            # The first checkpoint is there before anything is damaged: else nothing was signed yet.
            eventually((scene.gateway.log / "tlog" / "checkpoint").exists, 20.0, "a checkpoint")
            wanted = len(scene.ledger.finished()) + 30

            def has_served(wanted: int = wanted) -> bool:
                return len(scene.ledger.finished()) > wanted

            eventually(has_served, 20.0, "calls are served")
            eventually(lambda: any(scene.gateway.log.glob("*.spare")), 20.0, "a spare is made")
            if life:
                scene.gateway.signal(signal.SIGTERM)
                scene.gateway.wait(20.0)
            scene.ledger.kills_ns.append(time.time_ns())
            scene.gateway.kill()
            scene.stop_load()
    finally:
        scene.end()
    assert scene.faults() == []
    return directory / "base"


def check_case(
    base: Path,
    directory: Path,
    oracle: Oracle,
    kind: Kind,
    way: Callable[[Path, random.Random], None],
    seed: int,
) -> list[str]:
    """What is wrong after one kind of file was damaged in one way."""
    name = f"{kind.name} {way.__name__}".replace(" ", "-").replace("'", "")
    data_dir, rng = directory / name, random.Random(seed)
    shutil.copytree(base, data_dir)
    damaged = [path for pattern in kind.files for path in sorted(data_dir.glob(pattern)) if path.is_file()]
    if not damaged and kind.comes_and_goes:
        return []
    if not damaged:
        return [f"{name}: there is no such file"]
    witness = Witness(data_dir / "log" / "0")
    faults = witness.look()
    before = _segments(data_dir)
    for path in damaged:
        way(path, rng)
    scene = Scene(name, data_dir, oracle, directory / f"{name}.err", segment_bytes=SEGMENT_BYTES)
    try:
        if scene.gateway.start_or_die():
            faults += [
                fault
                for fault in _check_serving(scene, witness)
                if not kind.found_by or kind.found_by not in fault
            ]
        else:
            faults += _check_refusal(scene, kind)
    except Exception as problem:  # of the product as well: this thread has nobody to tell
        faults.append(f"{type(problem).__name__}: {problem}")
    finally:
        scene.end()
    changed = [stem for stem, digest in before.items() if _segments(data_dir).get(stem) != digest]
    faults += [f"segment {stem} was changed" for stem in changed]
    return [f"{name}: {fault}" for fault in faults]


def _check_serving(scene: Scene, witness: Witness) -> list[str]:
    call = scene.call("GET", SECRET, 1)
    scene.gateway.signal(signal.SIGTERM)
    code = scene.gateway.wait(20.0)
    faults = [] if call.status == 200 else [f"it answers {call.status} {call.problem}"]
    faults += [] if code == 0 else [f"it ends with code {code}: {scene.gateway.said()[-300:]}"]
    faults += witness.look(whole=True) + check_proven(scene.gateway.data_dir, may_be_young=False)
    listed = sorted(row.exchange for row in indexed_calls(scene.gateway.data_dir))
    there = sorted(scene.log().exchanges)
    return (
        faults if listed == there else [*faults, f"{len(listed)} calls are indexed, the log has {len(there)}"]
    )


def _check_refusal(scene: Scene, kind: Kind) -> list[str]:
    """One line that says what and where; and no traceback."""
    said = [line for line in scene.gateway.said().splitlines() if not line.startswith("{")]
    faults = [] if not kind.made_again else ["the start was refused"]
    if len(said) != 1 or not said[0].startswith("error: ") or "Traceback" in scene.gateway.said():
        faults.append(f"it refuses with {said}")
    return [f"{fault}: {said}" for fault in faults]


def _segments(data_dir: Path) -> dict[str, bytes]:
    return {
        path.stem: hashlib.sha256(path.read_bytes()).digest()
        for path in (data_dir / "log" / "0").iterdir()
        if path.suffix in READABLE and path.suffix != ".open"
    }


def run(directory: Path, oracle: Oracle, seed: int, *, every_way: bool) -> list[str]:
    """Every kind of file; in every way, or each in one that chance chooses. Two cases at a time."""
    rng = random.Random(seed)
    base = make_base(directory, oracle)
    cases = [(kind, way) for kind in KINDS for way in (WAYS if every_way else (rng.choice(WAYS),))]
    faults: list[str] = []

    def work(share: list[tuple[Kind, Callable[[Path, random.Random], None]]]) -> None:
        for kind, way in share:
            faults.extend(check_case(base, directory, oracle, kind, way, seed))

    threads = [threading.Thread(target=work, args=(cases[number::2],)) for number in range(2)]
    for thread in threads:
        thread.start()
    run_threads(threads, 60.0 + 30.0 * len(cases))
    return faults


@click.command()
@click.option("--seed", type=int, help="Default: a new one, which is printed.")
@click.option("--keep", required=True, type=click.Path(path_type=Path, exists=False), help="New directory.")
def main(seed: int | None, keep: Path) -> None:
    """Damage every kind of derived file in every way, and start a gateway on what is left."""
    seed = random.randrange(1 << 30) if seed is None else seed
    click.echo(f"seed {seed}, artifacts in {keep}")
    began_s = time.monotonic()
    with Oracle(keep / "oracle") as oracle:
        faults = run(keep, oracle, seed, every_way=True)
    click.echo(
        f"{len(KINDS) * len(WAYS)} cases, violations: {len(faults)} ({time.monotonic() - began_s:.0f} s)"
    )
    for fault in faults:
        click.echo(fault)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
