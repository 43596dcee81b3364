"""Keys to paths, where a key alone does not say it."""

from pathlib import PurePosixPath

import pytest

from gateway.export.store import Listed
from gateway.store.catalogue import Catalogue
from storage.format import SegmentName
from storage.object_keys import Place, envelope_key, segment_key, tlog_key

LOG = PurePosixPath("/log/gw-0")
EARLY, LATE = 1_790_000_000_000, 1_790_000_100_000


def segment(number: int, start_ms: int, cluster: str = "c") -> str:
    name = SegmentName(number, 1, start_ms, "0123abcd")
    return segment_key(Place("p", cluster, "gw", 0), name, ".kseg")


def identity(made_ms: int) -> str:
    digits = f"{made_ms:012x}7000800000000123abcd"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def catalogue(*keys: str) -> Catalogue:
    return Catalogue("p", [Listed(key, 1, "e") for key in keys])


def test_an_envelope_belongs_to_the_segment_that_began_next_after_it_was_made() -> None:
    found = catalogue(segment(1, EARLY), segment(2, LATE), envelope_key("p", identity(LATE - 5)))
    assert [name for name in found.names(LOG) if name.endswith(".keys")] == [
        f"{LATE}-000001-00000002-0123abcd.keys"
    ]


def test_an_envelope_of_a_clock_that_was_set_back_still_finds_its_segment() -> None:
    found = catalogue(segment(1, EARLY), envelope_key("p", identity(LATE)))
    assert f"{EARLY}-000001-00000001-0123abcd.keys" in found.names(LOG)


def test_an_envelope_without_its_segment_is_nowhere() -> None:
    assert catalogue(envelope_key("p", identity(EARLY))).names(PurePosixPath("/log")) == []


def test_a_gateway_under_two_names_of_a_cluster_is_one_log() -> None:
    found = catalogue(segment(1, EARLY, "old"), segment(2, LATE, "new"), segment(2, LATE, "newer"))
    assert len(found.names(LOG)) == 2


def test_a_tree_is_shown_when_its_origin_is_known_and_strangers_never() -> None:
    found = catalogue(
        segment(1, EARLY), tlog_key("p", "o", "tile/0/000.p/3"), tlog_key("p", "other", "checkpoint")
    )
    assert found.has_trees
    found.attach_tree("gw-0", "unknown")
    assert "tlog" not in found.names(LOG)
    found.attach_tree("gw-0", "o")
    assert found.entry(LOG / "tlog/tile/0/000.p/3").volatile
    with pytest.raises(NotADirectoryError):
        found.names(LOG / "tlog/tile/0/000.p/3")
    with pytest.raises(FileNotFoundError):
        found.entry(LOG / "tlog/checkpoint")


def test_keys_of_others_are_passed_over() -> None:
    assert catalogue("p/v1/segments/readme.txt", "elsewhere").names(PurePosixPath("/")) == ["log"]
