"""Which files make up the lake of a data directory, and the manifest that keeps them from counting twice.

    DIR/rows/<log>/<table>/<stem>.ndjson.zst                 made by storage.lake.rows_writer
    DIR/lake/<table>/cluster=<c>/dt=<day>/hr=<hour>/<id>.parquet   made by `compact`
    DIR/lake/manifest.json                                   what is in them

A row file whose stem the manifest lists is in the Parquet files and is not read. The trap: the manifest is
the truth, not the directory. A Parquet file it does not name is left over from a crash.
"""

import os
import re
from pathlib import Path
from typing import Final

import msgspec

from gateway.lake.errors import LakeFailed
from storage.errors import UNDECODABLE
from storage.format import parse_segment_name
from storage.lake.rows import TABLES, columns_of
from storage.lake.rows_file import SUFFIX_ROWS

LAKE_DIRECTORY: Final = "lake"
MANIFEST_NAME: Final = "manifest.json"
MANIFEST_VERSION: Final = 1
MAX_MANIFEST_BYTES: Final = 1 << 30
PART_NAME: Final = re.compile(r"[0-9a-f]{32}\.parquet")


class RowFile(msgspec.Struct, frozen=True):
    """Rows of one table and one segment. stem: of the segment, unique in the world."""

    table: str
    stem: str
    path: Path


class Part(msgspec.Struct, frozen=True):
    """One Parquet file: all compacted rows of one hour."""

    table: str
    cluster: str
    dt: str  # YYYY-MM-DD
    hr: int
    name: str
    rows: int
    bytes: int

    @property
    def partition(self) -> tuple[str, str, str, int]:
        return self.table, self.cluster, self.dt, self.hr

    def path(self, lake_dir: Path) -> Path:
        hour = f"hr={self.hr:02d}"  # as in object keys
        return lake_dir / self.table / f"cluster={self.cluster}" / f"dt={self.dt}" / hour / self.name


class Manifest(msgspec.Struct, frozen=True):
    """columns: names per table, as of the version that wrote the parts. done: per table, stems."""

    parts: tuple[Part, ...] = ()
    done: dict[str, tuple[str, ...]] = {}
    columns: dict[str, tuple[str, ...]] = msgspec.field(default_factory=lambda: current_columns())
    version: int = MANIFEST_VERSION


class LakeFiles(msgspec.Struct, frozen=True):
    """What a question is asked of. roots: directories that hold all of them."""

    rows: tuple[RowFile, ...]
    parts: dict[str, tuple[Path, ...]]
    roots: tuple[Path, ...]


def current_columns() -> dict[str, tuple[str, ...]]:
    return {table: tuple(column.name for column in columns_of(table)) for table in TABLES}


def load_manifest(lake_dir: Path) -> Manifest:
    """The manifest of a compacted lake, an empty one if there is none. Raises LakeFailed, OSError."""
    path = lake_dir / MANIFEST_NAME
    try:
        with path.open("rb") as file:
            data = file.read(MAX_MANIFEST_BYTES)
    except FileNotFoundError:
        return Manifest()
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except UNDECODABLE as error:
        raise LakeFailed(f"{path} cannot be read ({error}): compact again with --anew") from error
    if manifest.version != MANIFEST_VERSION or manifest.columns != current_columns():
        raise LakeFailed(f"{path} was written by another version of kubetape: compact again with --anew")
    return manifest


def save_manifest(lake_dir: Path, manifest: Manifest) -> None:
    """Replace the manifest; durable on return. Raises OSError."""
    path = lake_dir / MANIFEST_NAME
    unfinished = path.with_name(path.name + ".tmp")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.encode(manifest))
        file.flush()
        os.fsync(file.fileno())
    os.replace(unfinished, path)
    sync_directory(lake_dir)


def sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def local_rows(rows_dir: Path) -> tuple[RowFile, ...]:
    """All row files below a directory `rows/`, in order of their logs and names."""
    found = []
    for log in _directories(rows_dir):
        for table in TABLES:
            for path in sorted((log / table).glob("*" + SUFFIX_ROWS)):
                stem = path.name.removesuffix(SUFFIX_ROWS)
                if parse_segment_name(stem) is not None:
                    found.append(RowFile(table, stem, path))
    return tuple(found)


def with_manifest(rows: tuple[RowFile, ...], rows_dir: Path, lake_dir: Path) -> LakeFiles:
    """Row files, and the Parquet files that hold some of them already: each row once.

    Raises LakeFailed, OSError.
    """
    manifest = load_manifest(lake_dir)
    parts: dict[str, tuple[Path, ...]] = {
        table: tuple(part.path(lake_dir) for part in manifest.parts if part.table == table)
        for table in TABLES
    }
    roots = (rows_dir, lake_dir) if manifest.parts else (rows_dir,)
    return LakeFiles(not_done(rows, manifest), parts, roots)


def not_done(rows: tuple[RowFile, ...], manifest: Manifest) -> tuple[RowFile, ...]:
    done = {table: frozenset(stems) for table, stems in manifest.done.items()}
    return tuple(row for row in rows if row.stem not in done.get(row.table, frozenset()))


def _directories(path: Path) -> list[Path]:
    try:
        return sorted(entry for entry in path.iterdir() if entry.is_dir())
    except FileNotFoundError:
        return []
