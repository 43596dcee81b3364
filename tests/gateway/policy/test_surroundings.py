"""Time windows and networks."""

from datetime import datetime

import pytest

from gateway.policy.rule import Answer
from gateway.policy.surroundings import during, from_networks, parse_clock, parse_network, parse_zone
from gateway.policy.syntax import TimeWindow
from tests.kit.policies import facts


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * 10**9


def is_in(window: TimeWindow, when: str) -> Answer:
    return during(window)(facts("GET /api", at_ns=at(when)))


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("2026-01-05T08:59:59Z", False),
        ("2026-01-05T09:00:00Z", True),
        ("2026-01-05T16:59:00Z", True),
        ("2026-01-05T17:00:00Z", False),
        ("2026-01-06T10:00:00Z", False),
    ],
)
def test_a_window_begins_on_its_minute_and_ends_before_it(when: str, expected: bool) -> None:
    assert is_in(TimeWindow(days=["mon"], from_="09:00", to="17:00"), when) is expected


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("2026-01-09T21:59:00Z", False),
        ("2026-01-09T22:00:00Z", True),
        ("2026-01-10T05:59:00Z", True),
        ("2026-01-10T06:00:00Z", False),
        ("2026-01-10T22:00:00Z", False),
        ("2026-01-09T05:00:00Z", False),
    ],
)
def test_a_window_over_midnight_belongs_to_the_day_it_begins(when: str, expected: bool) -> None:
    assert is_in(TimeWindow(days=["fri"], from_="22:00", to="06:00"), when) is expected


def test_a_zone_follows_daylight_saving() -> None:
    window = TimeWindow(from_="09:00", to="10:00", zone="Europe/Berlin")
    assert is_in(window, "2026-01-05T08:30:00Z")
    assert is_in(window, "2026-07-06T07:30:00Z")


def test_an_offset_is_fixed() -> None:
    assert is_in(TimeWindow(from_="09:00", zone="+02:00"), "2026-07-06T07:00:00Z")
    assert not is_in(TimeWindow(to="01:00", zone="-01:30"), "2026-07-06T00:00:00Z")


def test_days_alone_are_whole_days() -> None:
    assert is_in(TimeWindow(days=["mon"]), "2026-01-05T23:59:59Z")
    assert parse_clock("24:00") == 1440


@pytest.mark.parametrize("text", ["9", "25:00", "09:60", "24:01", "9:0"])
def test_what_is_no_time_of_day_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="write HH:MM"):
        parse_clock(text)


@pytest.mark.parametrize("text", ["Mars/Olympus", "+25:00", "../etc/passwd", ""])
def test_what_is_no_zone_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="no time zone here"):
        parse_zone(text)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("10.1.2.3", True),
        ("10.9.0.1", False),
        ("192.168.0.1", False),
        ("::ffff:10.1.2.3", True),
        ("fd00::1%eth0", True),
        ("unix", None),
        ("", None),
    ],
)
def test_networks_hold_addresses(source: str, expected: Answer) -> None:
    test = from_networks(["10.0.0.0/8", "fd00::/8", "!10.9.0.0/16"])
    assert test(facts("GET /api", source=source)) is expected


def test_only_excluded_networks_leave_all_others() -> None:
    assert from_networks(["!10.0.0.0/8"])(facts("GET /api", source="8.8.8.8"))


@pytest.mark.parametrize(
    ("text", "hint"), [("10.0.0.1/8", "clear the bits"), ("10.0.0", "write 10.0.0.0/8"), ("", "write")]
)
def test_what_is_no_network_is_named(text: str, hint: str) -> None:
    with pytest.raises(ValueError, match=hint):
        parse_network(text)
