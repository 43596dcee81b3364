"""Row files -> Parquet, one file per table, cluster and hour, sorted by time and user.

An hour's file is written anew whenever rows for it arrive late (a call that ran for days), under a name
made from what went into it. Only then the manifest says that those rows are done, and only then the old
file is removed: after a crash anywhere the next run makes the same files and removes what is left over.
Row files are not touched. The trap: between two of those steps the directory holds rows twice; who copies
it elsewhere does that after this is done.
"""

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from gateway.lake.engine import Limits, Workshop, open_workshop
from gateway.lake.errors import LakeFailed
from gateway.lake.files import (
    MANIFEST_NAME,
    PART_NAME,
    Manifest,
    Part,
    RowFile,
    load_manifest,
    not_done,
    save_manifest,
    sync_directory,
)
from storage.lake.rows import TABLES

BATCH_BYTES: Final = 128 << 20
"""Compressed rows taken in at a time: some GiB on the scratch disk, and how often an hour may be rewritten."""


class Compacted(msgspec.Struct, frozen=True):
    """What was done. rows and bytes: of the Parquet files written, old rows in them included."""

    files: int = 0
    parts: int = 0
    rows: int = 0
    bytes: int = 0


def compact(
    rows: Sequence[RowFile],
    lake_dir: Path,
    *,
    limits: Limits | None = None,
    anew: bool = False,
    batch_bytes: int = BATCH_BYTES,
    progress: Callable[[int], None] = lambda _: None,
) -> Compacted:
    """Bring row files into the Parquet files below `lake_dir`, each once. Doing it again does nothing.

    anew: throw away what is there first. progress: called with the number of row files done. Raises
    LakeFailed (another compaction is running, too little memory, a garbled file), NoDuckDB, OSError.
    """
    lake_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    done = Compacted()
    with _lock(lake_dir), open_workshop(limits or Limits()) as workshop:
        if anew:
            (lake_dir / MANIFEST_NAME).unlink(missing_ok=True)
        manifest = load_manifest(lake_dir)
        _remove_leftovers(lake_dir, manifest)
        for table in TABLES:
            wanted = not_done(tuple(row for row in rows if row.table == table), manifest)
            for batch in _batches(wanted, batch_bytes):
                manifest, step = _compact_batch(workshop, lake_dir, manifest, table, batch)
                done = Compacted(
                    done.files + step.files,
                    done.parts + step.parts,
                    done.rows + step.rows,
                    done.bytes + step.bytes,
                )
                progress(done.files)
    return done


def _compact_batch(
    workshop: Workshop, lake_dir: Path, manifest: Manifest, table: str, batch: Sequence[RowFile]
) -> tuple[Manifest, Compacted]:
    parts = {part.partition: part for part in manifest.parts}
    written: list[Part] = []
    replaced: list[Path] = []
    for cluster, dt, hr in workshop.take_in(table, [file.path.absolute() for file in batch]):
        old = parts.get((table, cluster, dt, hr))
        part = _write(workshop, lake_dir, (table, cluster, dt, hr), old, batch)
        written.append(part)
        parts[part.partition] = part
        if old is not None and old.name != part.name:
            replaced.append(old.path(lake_dir))
    stems = (*manifest.done.get(table, ()), *(file.stem for file in batch))
    manifest = msgspec.structs.replace(
        manifest, parts=tuple(parts.values()), done={**manifest.done, table: stems}
    )
    save_manifest(lake_dir, manifest)
    for path in replaced:
        path.unlink(missing_ok=True)
    total_rows, total_bytes = sum(part.rows for part in written), sum(part.bytes for part in written)
    return manifest, Compacted(len(batch), len(written), total_rows, total_bytes)


def _write(
    workshop: Workshop,
    lake_dir: Path,
    partition: tuple[str, str, str, int],
    old: Part | None,
    batch: Sequence[RowFile],
) -> Part:
    """Write one hour's file, durable under its name on return."""
    table, cluster, dt, hr = partition
    made_of = [old.name if old is not None else "", *sorted(file.stem for file in batch)]
    name = hashlib.sha256("\n".join(made_of).encode()).hexdigest()[:32] + ".parquet"
    path = Part(table, cluster, dt, hr, name, 0, 0).path(lake_dir)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    unfinished = path.with_name(name + ".tmp")
    old_path = old.path(lake_dir) if old is not None else None
    rows = workshop.write(table, (cluster, dt, hr), old_path, unfinished)
    with unfinished.open("rb") as file:
        os.fsync(file.fileno())
    os.replace(unfinished, path)
    for directory in (path.parent, *path.parent.parents[:4]):  # hr, dt, cluster, table, and the lake itself
        sync_directory(directory)
    return Part(table, cluster, dt, hr, name, rows, path.stat().st_size)


def _batches(rows: Sequence[RowFile], batch_bytes: int) -> Iterator[list[RowFile]]:
    batch: list[RowFile] = []
    size = 0
    for row in sorted(rows, key=lambda row: row.stem):  # by time, so that an hour is written few times
        batch.append(row)
        size += row.path.stat().st_size
        if size >= batch_bytes:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _remove_leftovers(lake_dir: Path, manifest: Manifest) -> None:
    """What a crash left: Parquet files of ours that the manifest does not name."""
    known = {part.path(lake_dir) for part in manifest.parts}
    for table in TABLES:
        for path in (lake_dir / table).glob("cluster=*/dt=*/hr=*/*.parquet*"):
            name = path.name.removesuffix(".tmp")
            if PART_NAME.fullmatch(name) and path not in known:
                path.unlink(missing_ok=True)


@contextmanager
def _lock(lake_dir: Path) -> Iterator[None]:
    fd = os.open(lake_dir / "LOCK", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise LakeFailed(f"{lake_dir} is being compacted by another process") from None
        yield
    finally:
        os.close(fd)
