"""Row files of a store: only ours, only what was asked for, never outside the directory."""

from pathlib import Path

import pytest

from gateway.lake.errors import LakeFailed
from gateway.lake.fetch import fetch_rows
from tests.kit.lake_files import MemoryStore, make_rows, store_of, two_hours

STEM = "1769853600000-000001-00000001-0badcafe"
HOUR_NS = 3600 * 10**9
TEN_NS = 1_769_853_600 * 10**9


def key(dt: str = "2026-01-31", hr: str = "10", table: str = "api_calls", stem: str = STEM) -> str:
    return f"v1/index/{table}/cluster=prod/dt={dt}/hr={hr}/{stem}.ndjson.zst"


def test_every_row_file_of_a_store_is_brought_here(tmp_path: Path) -> None:
    store = store_of(make_rows(tmp_path / "data", two_hours(), (20, 40)))
    found = fetch_rows(store, tmp_path / "here")
    assert len(found) == len(store.objects)
    assert {file.path.read_bytes() for file in found} == set(store.objects.values())
    assert all(tmp_path / "here" in file.path.parents for file in found)


@pytest.mark.parametrize(
    "odd",
    [
        key(stem="../../../etc/passwd"),
        key(stem="0-1"),
        key(dt="2026-1-31"),
        key(hr="10/hr=11"),
        key() + ".tmp",
        "v1/index/api_calls/" + STEM + ".ndjson.zst",
        "v1/index/api_calls/../stream_events/cluster=x/dt=2026-01-31/hr=10/" + STEM + ".ndjson.zst",
    ],
)
def test_an_object_that_is_not_ours_is_left_alone(tmp_path: Path, odd: str) -> None:
    store = MemoryStore({odd: b"x"})
    assert fetch_rows(store, tmp_path) == ()
    assert store.read_keys == []


@pytest.mark.parametrize(
    ("since_ns", "hours"),
    [
        (0, ["09", "10", "11"]),
        (TEN_NS, ["10", "11"]),
        (TEN_NS + HOUR_NS - 1, ["10", "11"]),
        (TEN_NS + HOUR_NS, ["11"]),
        (TEN_NS + 24 * HOUR_NS, []),
    ],
)
def test_objects_older_than_the_question_are_not_read(
    tmp_path: Path, since_ns: int, hours: list[str]
) -> None:
    store = MemoryStore({key(hr=hr): b"" for hr in ("11", "09", "10")})
    fetch_rows(store, tmp_path, since_ns=since_ns)
    assert store.read_keys == [key(hr=hr) for hr in hours]


def test_more_than_may_be_fetched_says_how_to_narrow_it(tmp_path: Path) -> None:
    store = MemoryStore({key(): bytes(2000), key(table="control_events"): bytes(2000)})
    with pytest.raises(LakeFailed, match="--since"):
        fetch_rows(store, tmp_path, max_bytes=3000)
