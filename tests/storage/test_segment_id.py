import uuid

from storage.segment_id import new_segment_id

NOW_NS = 1_790_000_000_123_456_789


def test_a_segment_id_is_a_uuid_of_version_7_with_its_milliseconds() -> None:
    parsed = uuid.UUID(new_segment_id(NOW_NS))
    assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)
    assert parsed.int >> 80 == NOW_NS // 1_000_000


def test_ids_sort_by_time_and_never_repeat() -> None:
    ids = [new_segment_id(NOW_NS + at * 1_000_000) for at in range(1000)]
    assert ids == sorted(ids)
    assert len({new_segment_id(NOW_NS) for _ in range(1000)}) == 1000
