"""Keys are pure functions of what they name, and can be read back."""

import hashlib
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.format import SegmentName
from storage.object_keys import (
    Place,
    SegmentObject,
    TlogObject,
    dictionary_key,
    envelope_key,
    key_value,
    parse_envelope_key,
    parse_segment_key,
    parse_tlog_key,
    rows_key,
    segment_key,
    tlog_key,
)

PLACE = Place("records", "prod", "gw-7f", 3)
NAME = SegmentName(12, 2, 1_795_462_199_999, "0123abcd")  # 2026-11-23 19:29:59.999 UTC
STEM = "1795462199999-000002-00000012-0123abcd"
ID = "01a0bd60-5ac0-7123-8abc-def00123abcd"
ORIGIN = "kubetape/gw-7f/3"
DIGEST = hashlib.sha256(ORIGIN.encode()).hexdigest()


def test_every_key_has_the_place_the_layout_gives_it() -> None:
    partition = "cluster=prod/dt=2026-11-23/hr=19"
    assert segment_key(PLACE, NAME, ".kseg") == f"records/v1/segments/{partition}/gw=gw-7f-3/{STEM}.kseg"
    assert rows_key(PLACE, NAME, "api_calls") == f"records/v1/index/api_calls/{partition}/{STEM}.ndjson.zst"
    assert envelope_key("records", ID) == f"records/v1/keys/{ID}.json"
    assert dictionary_key("", b"\xab" * 32) == f"v1/dict/{'ab' * 32}.zdict"
    assert tlog_key("records", ORIGIN, "tile/0/x001/x234/067.p/5") == (
        f"records/v1/tlog/{DIGEST}/tile/0/x001/x234/067.p/5"
    )


def test_the_hour_is_that_of_the_start_in_utc_to_the_last_millisecond() -> None:
    day_ends = SegmentName(1, 1, 1_795_478_399_999, "00000000")
    day_begins = SegmentName(1, 1, 1_795_478_400_000, "00000000")
    assert "dt=2026-11-23/hr=23/" in segment_key(PLACE, day_ends, ".kseg")
    assert "dt=2026-11-24/hr=00/" in segment_key(PLACE, day_begins, ".kseg")


@pytest.mark.parametrize("prefix", ["", "records", "a/b=c"])
def test_keys_are_read_back(prefix: str) -> None:
    place = Place(prefix, "prod", "gw", 0)
    assert parse_segment_key(prefix, segment_key(place, NAME, ".recovered")) == SegmentObject(
        "prod", "gw-0", NAME, ".recovered"
    )
    assert parse_envelope_key(prefix, envelope_key(prefix, ID)) == ID
    for name in ("checkpoint", "checkpoints/17", "tile/entries/000.p/9", "tile/1/x001/000"):
        assert parse_tlog_key(prefix, tlog_key(prefix, ORIGIN, name)) == TlogObject(DIGEST, name)


@pytest.mark.parametrize(
    "key",
    [
        "records/v1/segments/cluster=a/dt=2026-11-23/hr=19/gw=g-0/1-2-3-4.kseg",
        f"records/v1/segments/cluster=a/dt=2026-11-23/hr=19/gw=g/x/{STEM}.kseg",
        f"other/v1/segments/cluster=a/dt=2026-11-23/hr=19/gw=g-0/{STEM}.kseg",
        f"records/v1/tlog/{DIGEST}/../checkpoint",
        f"records/v1/tlog/{DIGEST}/tile/0/../000",
        f"records/v1/tlog/{DIGEST}/tile/0/1",
        f"records/v1/tlog/{DIGEST}/synced",
        "records/v1/tlog/short/checkpoint",
        "records/v1/keys/x.json",
        "",
    ],
)
def test_keys_of_others_are_not_read(key: str) -> None:
    assert parse_segment_key("records", key) is None
    assert parse_envelope_key("records", key) is None
    assert parse_tlog_key("records", key) is None


@given(st.text(max_size=100))
def test_any_name_makes_a_safe_part_of_a_key(text: str) -> None:
    value = key_value(text)
    assert 0 < len(value) <= 64
    assert set(value) <= set(string.ascii_letters + string.digits + "._-")
    assert value.strip(".")


def test_names_that_had_to_be_changed_do_not_meet() -> None:
    names = ["a/b", "a_b", "a:b", "", ".", "..", "x" * 64, "x" * 65, "x" * 66, "\ud800"]
    assert len({key_value(name) for name in names}) == len(names)
    assert key_value("prod-eu.1") == "prod-eu.1"
