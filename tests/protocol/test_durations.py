"""Durations as Go writes them."""

import pytest

from protocol.durations import parse_duration_s


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("32s", 32.0),
        ("1h30m", 5400.0),
        ("1.5m", 90.0),
        ("250ms", 0.25),
        ("2us", 2e-6),
        ("5ns", 5e-9),
    ],
)
def test_a_duration_is_read(text: str, seconds: float) -> None:
    assert parse_duration_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "s", "1x", "-1s", "1h 2m", "\u0661s", "9s" * 33])
def test_what_is_none_is_refused(text: str) -> None:
    assert parse_duration_s(text) is None
