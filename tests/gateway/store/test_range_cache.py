"""Few requests, bounded memory, and never a byte of another place."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.store.range_cache import (
    GLANCE_BYTES,
    MAX_TAIL_BYTES,
    STRETCH_BYTES,
    WHOLE_BYTES,
    Extent,
    RangeCache,
    plan_fetch,
)

MIB = 1 << 20


@given(st.integers(1, 200 * MIB), st.data())
def test_a_plan_holds_the_first_byte_and_stays_within_the_object(size: int, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, size - 1))
    stop = data.draw(st.integers(at + 1, size))
    start, end = plan_fetch(at, stop, size, reads_on=data.draw(st.booleans()))
    assert 0 <= start <= at < end <= size
    assert end - start <= STRETCH_BYTES


def test_small_objects_come_whole_and_footers_at_once() -> None:
    assert plan_fetch(5, 6, WHOLE_BYTES, reads_on=False) == (0, WHOLE_BYTES)
    assert plan_fetch(64 * MIB - 64, 64 * MIB, 64 * MIB, reads_on=False) == (
        64 * MIB - MAX_TAIL_BYTES,
        64 * MIB,
    )


def test_a_glance_is_short_and_who_reads_on_gets_a_stretch() -> None:
    assert plan_fetch(MIB, MIB + 10, 64 * MIB, reads_on=False) == (MIB, MIB + GLANCE_BYTES)
    assert plan_fetch(MIB, MIB + 10, 64 * MIB, reads_on=True) == (MIB, MIB + STRETCH_BYTES)
    assert plan_fetch(MIB, 2 * MIB, 64 * MIB, reads_on=False) == (MIB, MIB + STRETCH_BYTES)


def test_the_least_recently_used_goes_first() -> None:
    cache = RangeCache(30)
    for start in (0, 10, 20):
        cache.add("a", Extent(start, bytes(10)))
    assert cache.find("a", 5) is not None  # used now
    cache.add("b", Extent(0, bytes(10)))
    assert cache.find("a", 15) is None
    assert cache.find("a", 5) is not None
    assert cache.held_bytes == 30


def test_one_extent_is_kept_however_large() -> None:
    cache = RangeCache(5)
    cache.add("a", Extent(0, bytes(100)))
    assert cache.find("a", 99) is not None
    assert cache.find("a", 100) is None


def test_the_same_place_twice_counts_once_and_can_be_forgotten() -> None:
    cache = RangeCache(100)
    cache.add("a", Extent(0, b"old"))
    cache.add("a", Extent(0, b"newer"))
    assert cache.held_bytes == 5
    cache.forget("a")
    assert (cache.find("a", 0), cache.held_bytes) == (None, 0)
