from hypothesis import given, settings
from hypothesis import strategies as st

from storage.format import MAX_RAW_BYTES, MAX_RECORD_BYTES, MAX_RECORDS
from storage.pace import NEVER, NOW, LogSettings, Queued, cut_blocks, rotation_due_s, sync_due_s, write_due_s

PACE = LogSettings(company_s=0.05, company_bytes=100, sync_s=0.25, sync_bytes=1000, max_segment_age_s=60)


def test_an_empty_queue_is_never_due() -> None:
    assert write_due_s(Queued([]), PACE) == NEVER


def test_an_urgent_record_is_due_at_once() -> None:
    assert write_due_s(Queued([b"x"], 1, 7.0, urgent=True), PACE) == NOW


def test_others_wait_for_company_from_when_the_oldest_came() -> None:
    assert write_due_s(Queued([b"x"], 1, 7.0), PACE) == 7.05


def test_enough_company_is_due_at_once() -> None:
    assert write_due_s(Queued([b"x"], 100, 7.0), PACE) == NOW


def test_a_sync_is_due_by_age_or_by_size_of_what_is_unsynced() -> None:
    assert sync_due_s(0, 7.0, PACE) == NEVER
    assert sync_due_s(999, 7.0, PACE) == 7.25
    assert sync_due_s(1000, 7.0, PACE) == NOW


def test_a_segment_is_due_by_age_unless_it_is_empty() -> None:
    assert rotation_due_s(NEVER, PACE) == NEVER
    assert rotation_due_s(7.0, PACE) == 67.0


def test_a_short_queue_is_one_block() -> None:
    assert cut_blocks([]) == []
    assert cut_blocks([b"a", b"b"]) == [[b"a", b"b"]]


def test_the_longest_record_fits_a_block_alone() -> None:
    longest = bytes(MAX_RECORD_BYTES)
    assert [len(block) for block in cut_blocks([longest, b"", longest])] == [1, 1, 1]


def test_a_block_has_as_many_records_as_its_count_can_say() -> None:
    assert [len(block) for block in cut_blocks([b"x"] * (MAX_RECORDS + 1))] == [MAX_RECORDS, 1]


@settings(max_examples=50)
@given(st.lists(st.integers(1, MAX_RECORD_BYTES), max_size=12))
def test_blocks_keep_order_and_fit_a_frame(sizes: list[int]) -> None:
    records = [bytes(size) for size in sizes]
    blocks = cut_blocks(records)
    assert [record for block in blocks for record in block] == records
    assert all(sum(len(record) + 4 for record in block) <= MAX_RAW_BYTES for block in blocks)
