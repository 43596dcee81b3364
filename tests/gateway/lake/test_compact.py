"""Row files to Parquet: each row once, whatever comes late, whatever fails, however often."""

import os
from pathlib import Path

import duckdb
import pytest
import zstandard

import gateway.lake.compact as compacting
from gateway.lake.compact import Compacted, compact
from gateway.lake.engine import open_lake
from gateway.lake.errors import LakeFailed
from gateway.lake.files import RowFile, load_manifest, local_rows, with_manifest
from storage.lake.rows import TABLES, columns_of
from tests.kit.lake_files import make_rows, two_hours


def everything(data_dir: Path, lake_dir: Path) -> dict[str, list[tuple[object, ...]]]:
    """All rows, of Parquet files and row files together."""
    files = with_manifest(local_rows(data_dir / "rows"), data_dir / "rows", lake_dir)
    with open_lake(files) as lake:
        return {table: list(lake.query(f"FROM {table} ORDER BY ALL").rows) for table in TABLES}


def parquet_files(lake_dir: Path) -> list[Path]:
    return sorted(lake_dir.rglob("*.parquet"))


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    make_rows(tmp_path, two_hours(), (12, 40, 60, 75))
    return tmp_path


def test_compacted_rows_are_the_same_rows(data_dir: Path) -> None:
    lake_dir = data_dir / "lake"
    before = everything(data_dir, lake_dir)
    rows = local_rows(data_dir / "rows")
    done = compact(rows, lake_dir)
    assert done.files == len(rows)
    assert done.rows == sum(map(len, before.values()))
    assert with_manifest(rows, data_dir / "rows", lake_dir).rows == ()
    assert everything(data_dir, lake_dir) == before
    for file in rows:
        file.path.unlink()
    assert everything(data_dir, lake_dir) == before


def test_there_is_one_sorted_file_for_each_hour(data_dir: Path) -> None:
    lake_dir = data_dir / "lake"
    compact(local_rows(data_dir / "rows"), lake_dir)
    hours = [path.parent.relative_to(lake_dir).as_posix() for path in parquet_files(lake_dir)]
    assert len(hours) == len(set(hours))
    assert "api_calls/cluster=prod/dt=2026-01-31/hr=10" in hours
    assert "api_calls/cluster=prod/dt=2026-01-31/hr=11" in hours
    for path in parquet_files(lake_dir):
        relation = duckdb.read_parquet(str(path), hive_partitioning=False)
        keys = [(row[0], row[1] or "") for row in relation.project('ts, "user"').fetchall()]
        assert keys == sorted(keys)
        table = path.relative_to(lake_dir).parts[0]
        assert relation.columns == [column.name for column in columns_of(table)[:-3]]


def test_parquet_files_are_zstd(data_dir: Path) -> None:
    compact(local_rows(data_dir / "rows"), data_dir / "lake")
    (path, *_) = parquet_files(data_dir / "lake")
    codecs = duckdb.execute("SELECT DISTINCT compression FROM parquet_metadata(?)", [str(path)]).fetchall()
    assert codecs == [("ZSTD",)]


def test_doing_it_again_does_nothing(data_dir: Path) -> None:
    lake_dir = data_dir / "lake"
    compact(local_rows(data_dir / "rows"), lake_dir)
    before = [(path, path.stat().st_mtime_ns) for path in parquet_files(lake_dir)]
    assert compact(local_rows(data_dir / "rows"), lake_dir) == Compacted()
    assert [(path, path.stat().st_mtime_ns) for path in parquet_files(lake_dir)] == before


@pytest.mark.parametrize("batch_bytes", [1, 3000, 1 << 30])
def test_late_rows_join_their_hour(data_dir: Path, batch_bytes: int) -> None:
    lake_dir = data_dir / "lake"
    before = everything(data_dir, lake_dir)
    rows = local_rows(data_dir / "rows")
    seen: list[int] = []
    for count in range(1, len(rows) + 1):
        compact(rows[:count], lake_dir, batch_bytes=batch_bytes, progress=seen.append)
        assert everything(data_dir, lake_dir) == before
    assert len(parquet_files(lake_dir)) == len(load_manifest(lake_dir).parts)
    assert sum(seen) == len(rows)


def test_anew_begins_with_nothing(data_dir: Path) -> None:
    lake_dir = data_dir / "lake"
    rows = local_rows(data_dir / "rows")
    before = everything(data_dir, lake_dir)
    compact(rows, lake_dir)
    (lake_dir / "manifest.json").write_bytes(b"{")
    with pytest.raises(LakeFailed, match="--anew"):
        compact(rows, lake_dir)
    assert compact(rows, lake_dir, anew=True).files == len(rows)
    assert everything(data_dir, lake_dir) == before


class Crash(Exception):
    pass


@pytest.mark.parametrize("operation", ["fsync", "replace", "open"])
def test_a_crash_anywhere_leaves_every_row_once(
    data_dir: Path, operation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake_dir = data_dir / "lake"
    rows = local_rows(data_dir / "rows")
    before = everything(data_dir, lake_dir)
    real = getattr(os, operation)
    crashes = 0
    for crash_at in range(1, 200, 3):
        calls = 0

        def fail(*arguments: object, crash_at: int = crash_at, **settings: object) -> object:
            nonlocal calls
            calls += 1
            if calls == crash_at:
                raise Crash
            return real(*arguments, **settings)

        with monkeypatch.context() as patched:
            patched.setattr(compacting.os, operation, fail)
            try:
                compact(rows, lake_dir, batch_bytes=4000, anew=crashes % 2 == 0)
            except Crash:
                crashes += 1
            else:
                break
        assert everything(data_dir, lake_dir) == before
    assert crashes > 2
    compact(rows, lake_dir, batch_bytes=4000)
    assert everything(data_dir, lake_dir) == before
    assert len(parquet_files(lake_dir)) == len(load_manifest(lake_dir).parts)
    assert list(lake_dir.rglob("*.tmp")) == []


def test_files_of_others_are_not_removed(data_dir: Path) -> None:
    lake_dir = data_dir / "lake"
    compact(local_rows(data_dir / "rows"), lake_dir)
    strange = parquet_files(lake_dir)[0].parent / "mine.parquet"
    strange.touch()
    left_over = strange.parent / ("f" * 32 + ".parquet")
    left_over.touch()
    compact(local_rows(data_dir / "rows"), lake_dir)
    assert strange.exists()
    assert not left_over.exists()


def test_two_do_not_compact_at_one_time(data_dir: Path) -> None:
    rows = local_rows(data_dir / "rows")

    def second(_: int) -> None:
        compact(rows, data_dir / "lake")

    with pytest.raises(LakeFailed, match="by another process"):
        compact(rows, data_dir / "lake", progress=second)


@pytest.mark.parametrize(
    "line",
    [
        b'{"event_id":"x","cluster":"../../etc","dt":"2026-01-31","hr":1}',
        b'{"event_id":"x","cluster":"","dt":"2026-01-31","hr":1}',
        b'{"event_id":"x","dt":"2026-01-31","hr":1}',
        b'{"event_id":"x","cluster":"prod","hr":1}',
        b'{"event_id":"x","cluster":"prod","dt":"2026-01-31"}',
        b'{"event_id":"x","cluster":"prod","dt":"no day","hr":1}',
        b"no json",
    ],
)
def test_rows_that_name_no_partition_are_refused(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "1769853600000-000001-00000001-0badcafe.ndjson.zst"
    path.write_bytes(zstandard.compress(line + b"\n"))
    with pytest.raises(LakeFailed):
        compact([RowFile("api_calls", path.name, path)], tmp_path / "lake")
    assert parquet_files(tmp_path) == []
