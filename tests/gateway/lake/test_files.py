"""Which files are the lake: rows that are not in Parquet yet, and the manifest that says so."""

from pathlib import Path

import msgspec
import pytest

from gateway.lake.errors import LakeFailed
from gateway.lake.files import Manifest, Part, load_manifest, local_rows, save_manifest, with_manifest
from tests.kit.lake_files import make_rows, two_hours

PART = Part("api_calls", "prod", "2026-01-31", 5, "0" * 32 + ".parquet", 10, 1000)


def test_rows_are_found_in_every_log_and_table(tmp_path: Path) -> None:
    make_rows(tmp_path, two_hours(), (30,), log="0")
    rows_dir = make_rows(tmp_path, two_hours(), log="1")
    (rows_dir / "0" / "api_calls" / "x.ndjson.zst").touch()
    (rows_dir / "0" / "api_calls" / "1769853600000-000001-00000009-0badcafe.ndjson.zst.tmp").touch()
    found = local_rows(rows_dir)
    assert [(file.path.parts[-3], file.table) for file in found].count(("0", "api_calls")) == 2
    assert {file.table for file in found} == {"api_calls", "stream_events", "control_events"}
    assert all(file.path.name == file.stem + ".ndjson.zst" for file in found)


def test_without_rows_there_are_no_files(tmp_path: Path) -> None:
    assert local_rows(tmp_path / "rows") == ()
    files = with_manifest((), tmp_path / "rows", tmp_path / "lake")
    assert (files.rows, files.roots) == ((), (tmp_path / "rows",))
    assert set(files.parts.values()) == {()}


def test_a_part_lies_in_its_partition_as_in_object_keys() -> None:
    assert PART.path(Path("lake")) == Path(
        "lake/api_calls/cluster=prod/dt=2026-01-31/hr=05/" + "0" * 32 + ".parquet"
    )


def test_rows_that_are_done_are_not_read_twice(tmp_path: Path) -> None:
    rows = local_rows(make_rows(tmp_path, two_hours(), (30,)))
    done = next(file for file in rows if file.table == "api_calls")
    lake_dir = tmp_path / "lake"
    lake_dir.mkdir()
    save_manifest(lake_dir, Manifest(parts=(PART,), done={"api_calls": (done.stem,)}))
    files = with_manifest(rows, tmp_path / "rows", lake_dir)
    assert done not in files.rows
    assert len(files.rows) == len(rows) - 1  # the same stem of another table stays
    assert files.parts["api_calls"] == (PART.path(lake_dir),)
    assert files.roots == (tmp_path / "rows", lake_dir)
    assert load_manifest(lake_dir).parts == (PART,)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"{", "cannot be read"),
        (msgspec.json.encode(msgspec.structs.replace(Manifest(), version=99)), "another version"),
        (msgspec.json.encode(Manifest(columns={"api_calls": ("event_id",)})), "another version"),
    ],
)
def test_a_manifest_that_cannot_be_used_says_what_to_do(tmp_path: Path, content: bytes, why: str) -> None:
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(LakeFailed, match=f"{why}.*--anew"):
        load_manifest(tmp_path)
