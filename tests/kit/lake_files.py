"""A data directory with rows, and a store in memory that holds the same."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from storage.lake.rows import TABLES
from storage.lake.rows_writer import RowsWriter
from storage.lake.settings import RowSettings
from storage.records import AnyRecord
from tests.kit.lake_logs import write_segments
from tests.kit.recorded import SECOND_NS, START_NS, Tape, whole_story

HOUR_S = 3600


def two_hours() -> list[AnyRecord]:
    """The whole story with a crash, and some calls of the next hour."""
    tape = whole_story()
    later = Tape(start_ns=START_NS + HOUR_S * SECOND_NS, tag="later")
    later.started()
    later.delete()
    later.denied()
    return [*tape.records, *later.records]


def make_rows(
    data_dir: Path,
    records: Sequence[AnyRecord],
    borders: Sequence[int] = (),
    *,
    log: str = "0",
    cluster: str = "prod",
) -> Path:
    """Segments and their rows; returns the directory of the rows."""
    write_segments(data_dir, records, borders, log=log)
    writer = RowsWriter(data_dir, settings=RowSettings(cluster=cluster))
    while writer.run_once():
        pass
    writer.close()
    return data_dir / "rows"


class MemoryStore:
    """An ObjectStore in memory. read_keys: what was read, in order."""

    def __init__(self, objects: dict[str, bytes] | None = None) -> None:
        self.objects = objects or {}
        self.read_keys: list[str] = []

    def list(self, prefix: str) -> Iterable[str]:
        return [key for key in self.objects if key.startswith(prefix)]

    def read(self, key: str) -> bytes:
        self.read_keys.append(key)
        return self.objects[key]


def store_of(rows_dir: Path, *, log: str = "0", dt: str = "2026-01-31", hr: int = 10) -> MemoryStore:
    """What an exporter would have made of these rows, all of one hour."""
    objects = {}
    for table in TABLES:
        for path in sorted((rows_dir / log / table).glob("*.ndjson.zst")):
            key = f"v1/index/{table}/cluster=prod/dt={dt}/hr={hr:02d}/{path.name}"
            objects[key] = path.read_bytes()
    return MemoryStore(objects)
