"""Durations as Go writes them."""

import pytest

from gateway.policy.durations import parse_duration_s


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("5m", 300), ("1h30m", 5400), ("2h0m1s", 7201)])
def test_parts_add_up(text: str, seconds: int) -> None:
    assert parse_duration_s(text) == seconds
