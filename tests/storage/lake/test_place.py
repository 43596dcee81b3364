"""Moments as columns, at the borders of hours, days and of what a clock can say."""

import pytest

from storage.lake.place import moment

NS = 10**9


@pytest.mark.parametrize(
    ("at_ns", "ts", "dt", "hr"),
    [
        (0, "1970-01-01 00:00:00.000000", "1970-01-01", 0),
        (1_769_903_999 * NS + 999_999_999, "2026-01-31 23:59:59.999999", "2026-01-31", 23),
        (1_769_904_000 * NS, "2026-02-01 00:00:00.000000", "2026-02-01", 0),
        (1_769_907_600 * NS - 1, "2026-02-01 00:59:59.999999", "2026-02-01", 0),
        (1_769_907_600 * NS, "2026-02-01 01:00:00.000000", "2026-02-01", 1),
        (1_769_907_600 * NS + 1_500, "2026-02-01 01:00:00.000001", "2026-02-01", 1),
        (-5, "1970-01-01 00:00:00.000000", "1970-01-01", 0),
        (2**80, "2262-04-11 23:47:16.854775", "2262-04-11", 23),
    ],
)
def test_a_moment_is_a_timestamp_a_day_and_an_hour_of_utc(at_ns: int, ts: str, dt: str, hr: int) -> None:
    assert moment(at_ns) == (ts, dt, hr)
