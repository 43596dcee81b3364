"""What belongs in the bucket, in directories that are odd, damaged, or changing under us."""

import os
from pathlib import Path

import pytest

from gateway.export import scan as module
from gateway.export.ledger import Entry
from gateway.export.scan import Found, Scanner
from gateway.export.settings import Rows, S3Settings
from storage.errors import UnknownDictionary
from storage.export import Kind
from storage.format import encode_header_page
from tests.gateway.export.exporting import SEGMENTS, envelope, segments
from tests.kit.segments import header, sealed_file


def look(data_dir: Path, rows: Rows = Rows.NONE) -> Found:
    settings = S3Settings(bucket="records", prefix="records", rows=rows)
    return Scanner(data_dir, settings, "prod").scan(lambda key: None)


def keys(found: Found) -> list[str]:
    return sorted(item.key for item in found.items)


def test_no_directory_is_nothing(tmp_path: Path) -> None:
    assert keys(look(tmp_path / "none")) == []


def test_files_that_are_no_segments_are_left_alone(tmp_path: Path) -> None:
    [path] = segments(tmp_path, 1)
    for name in ("LOCK", "notes.txt", f"{path.stem}.kseg.tmp", f"{path.stem}.spare", "x.kseg"):
        (path.parent / name).touch()
    (tmp_path / "log" / "a file").touch()
    assert keys(look(tmp_path)) == [SEGMENTS + path.name]


def test_a_segment_without_its_header_page_goes_where_its_log_goes(tmp_path: Path) -> None:
    first, second = segments(tmp_path, 2)
    first.write_bytes(b"damaged" * 1000)
    found = look(tmp_path)
    assert keys(found) == sorted(SEGMENTS + path.name for path in (first, second))
    assert found.problems == []
    assert [len(segment.keys) for segment in found.segments["0"]] == [1, 1]


def test_a_damaged_header_page_does_not_keep_keys_from_going_or_being_destroyed(tmp_path: Path) -> None:
    first, _ = segments(tmp_path, 2)
    key = f"records/v1/keys/{envelope(first)}.json"
    first.write_bytes(b"damaged" * 1000)
    assert key in keys(look(tmp_path))
    first.with_suffix(".keys").rename(first.with_suffix(".shredded"))
    found = look(tmp_path)
    assert key in found.shredded
    assert key in found.segments["0"][0].shredded_keys


def test_keys_without_a_name_anywhere_are_a_problem_and_not_silence(tmp_path: Path) -> None:
    first, _ = segments(tmp_path, 2)
    first.write_bytes(b"damaged" * 1000)
    first.with_suffix(".keys").write_bytes(b"{}")
    assert look(tmp_path).problems == [f"{first.stem}.keys does not name its segment: it stays here alone"]


def test_a_dictionary_is_sent_once_for_all_segments(tmp_path: Path) -> None:
    segments(tmp_path, 2, dict_id=32_769)
    assert len([item for item in look(tmp_path, Rows.FULL).items if item.kind is Kind.DICTIONARY]) == 1


def test_a_log_nobody_can_place_is_a_problem(tmp_path: Path) -> None:
    [path] = segments(tmp_path, 1)
    path.write_bytes(b"")
    (tmp_path / "log" / "1").mkdir()
    found = look(tmp_path)
    assert keys(found) == []
    assert found.problems == ["log 0: no segment of it has a header page that can be read"]


def test_the_tombstone_of_the_only_segment_is_still_placed_by_who_saw_it(tmp_path: Path) -> None:
    [path] = segments(tmp_path, 1)
    scanner = Scanner(tmp_path, S3Settings(bucket="records", prefix="records"), "prod")
    scanner.scan(lambda key: None)
    path.unlink()
    path.with_suffix(".tombstone").touch()
    assert keys(scanner.scan(lambda key: None)) == [SEGMENTS + path.stem + ".tombstone"]


def test_a_worker_is_named_by_its_segments_and_not_by_its_directory(tmp_path: Path) -> None:
    [path] = segments(tmp_path, 1)
    path.parent.rename(tmp_path / "log" / "copy of 0")
    assert keys(look(tmp_path)) == [SEGMENTS + path.name]


def test_a_marker_that_names_nothing_is_a_problem(tmp_path: Path) -> None:
    first, _ = segments(tmp_path, 2)
    segment_id = envelope(first)
    first.unlink()
    first.with_suffix(".keys").unlink()
    marker = first.with_suffix(".shredded")
    marker.write_text("nothing, 01a0bd60-5ac0-7123-8abc-def0ffffffff\xff", encoding="latin-1")
    found = look(tmp_path)
    assert found.problems == [f"{marker.name} does not name its segment: its keys in the bucket stay"]
    assert [key for key in found.shredded if "/keys/" in key] == []
    marker.write_text(f"someone destroyed {segment_id}")
    assert f"records/v1/keys/{segment_id}.json" in look(tmp_path).shredded


def test_keys_that_are_still_here_are_not_destroyed_there(tmp_path: Path) -> None:
    [path] = segments(tmp_path, 1)
    envelope(path)
    path.with_suffix(".shredded").touch()  # a shredding that was interrupted, or not yet finished
    assert look(tmp_path).shredded == []


def test_a_dictionary_this_version_lacks_is_not_invented(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    segments(tmp_path, 1, dict_id=32_769)
    assert [item.kind for item in look(tmp_path).items if item.kind is Kind.DICTIONARY]

    def unknown(dict_id: int) -> None:
        raise UnknownDictionary("no")

    monkeypatch.setattr(module, "shipped_parameters", unknown)
    assert [item.kind for item in look(tmp_path).items] == [Kind.SEGMENT]


def test_a_dictionary_with_other_bytes_is_not_sent_in_its_place(tmp_path: Path) -> None:
    [path] = segments(tmp_path, 1, dict_id=32_769)
    head = header(1)
    odd = type(head.zstd)(head.zstd.level, head.zstd.dict_id, b"\1" * 32)
    page = encode_header_page(type(head)(**{**_fields(head), "zstd": odd}))
    path.write_bytes(page + path.read_bytes()[len(page) :])
    assert [item.kind for item in look(tmp_path).items] == [Kind.SEGMENT]


def _fields(head: object) -> dict[str, object]:
    return {name: getattr(head, name) for name in head.__struct_fields__}  # type: ignore[attr-defined]


def test_rows_are_found_by_table_and_segment(tmp_path: Path) -> None:
    [path] = segments(tmp_path, 1)
    rows = tmp_path / "rows" / "0"
    for table in ("api_calls", "stream_events"):
        (rows / table).mkdir(parents=True)
        (rows / table / f"{path.stem}.ndjson.zst").touch()
        (rows / table / f"{path.stem}.ndjson.zst.tmp").touch()
    (rows / "state").touch()
    found = keys(look(tmp_path, Rows.FULL))
    assert [key.split("/")[3] for key in found if "/index/" in key] == ["api_calls", "stream_events"]
    assert len(keys(look(tmp_path))) == 1


def test_known_files_are_not_even_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    segments(tmp_path, 2)
    found = Scanner(tmp_path, S3Settings(bucket="records"), "prod").scan(lambda key: Entry(key, "", 0))
    assert found.items == []
    assert len(found.keys) == 2


@pytest.mark.parametrize("kind", ["segment", "marker"])
def test_files_that_vanish_between_two_looks_are_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    first, second = segments(tmp_path, 2)
    first.with_suffix(".shredded").touch()
    listed = os.listdir(first.parent)
    monkeypatch.setattr(module.os, "listdir", lambda directory: listed)
    first.with_suffix(".shredded" if kind == "marker" else ".kseg").unlink()
    if kind == "marker":
        first.write_bytes(b"no header page")
    found = look(tmp_path)
    assert SEGMENTS + second.name in keys(found)


def test_each_segment_of_a_log_is_placed_by_its_own_header(tmp_path: Path) -> None:
    directory = tmp_path / "log" / "0"
    directory.mkdir(parents=True)
    sealed_file(directory, 1, head=header(1, dict_id=0))
    renamed = type(header())(**{**_fields(header(2, dict_id=0)), "gateway_id": "gw/renamed"})
    path = sealed_file(directory, 1, head=renamed)
    path.with_suffix(".tombstone").touch()
    assert len([key for key in keys(look(tmp_path)) if "gw=gw_renamed-" in key]) == 2
