"""`time:` and `sources:`: when a call comes, and from where. Pure: the time is in the facts.

Zones are read from the system's time zone files once, when the policy is loaded.
"""

import ipaddress
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Final, TypeAlias
from zoneinfo import ZoneInfo

from gateway.policy.model import Facts
from gateway.policy.rule import Answer, Test
from gateway.policy.syntax import TimeWindow

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_CLOCK: Final = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)", re.ASCII)
_OFFSET: Final = re.compile(r"([+-])(0\d|1[0-4]):([0-5]\d)", re.ASCII)
_DAY_MINUTES: Final = 24 * 60
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address


def parse_clock(text: str) -> int:
    """HH:MM -> minutes since midnight; 24:00 is the end of a day. Raises ValueError."""
    found = _CLOCK.fullmatch(text)
    if text == "24:00":
        return _DAY_MINUTES
    if found is None:
        raise ValueError(f"{text!r} is no time of day: write HH:MM, such as 09:00")
    return int(found[1]) * 60 + int(found[2])


def parse_zone(text: str) -> tzinfo:
    """Raises ValueError."""
    if text == "UTC":
        return UTC
    found = _OFFSET.fullmatch(text)
    if found:
        offset = timedelta(hours=int(found[2]), minutes=int(found[3]))
        return timezone(offset if found[1] == "+" else -offset)
    try:
        return ZoneInfo(text)
    except Exception as error:  # a name with a slash too many is a file error of some kind
        raise ValueError(f"{text!r} is no time zone here: write UTC, +02:00 or Europe/Berlin") from error


def during(window: TimeWindow) -> Test:
    """A test for a window that was checked."""
    zone = parse_zone(window.zone)
    begin = parse_clock(window.from_ or "00:00")
    end = parse_clock(window.to or "24:00")
    days = frozenset(DAYS.index(day) for day in window.days or DAYS)

    def test(facts: Facts) -> Answer:
        local = (_EPOCH + timedelta(microseconds=facts.at_ns // 1000)).astimezone(zone)
        minute, day = local.hour * 60 + local.minute, local.weekday()
        if begin <= end:
            return day in days and begin <= minute < end
        return (minute >= begin and day in days) or (minute < end and (day - 1) % 7 in days)

    return test


def parse_network(text: str) -> Network:
    """A CIDR or a single address. Raises ValueError."""
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        hint = "clear the bits behind the prefix" if "host bits" in str(error) else "write 10.0.0.0/8"
        raise ValueError(f"{text!r} is no network: {hint}") from error


def from_networks(patterns: Sequence[str]) -> Test:
    """A test for networks that were checked. An address that cannot be read: cannot be told."""
    wanted = tuple(parse_network(text) for text in patterns if not text.startswith("!"))
    excluded = tuple(parse_network(text[1:]) for text in patterns if text.startswith("!"))

    def test(facts: Facts) -> Answer:
        try:
            address = _address(facts.source_address)
        except ValueError:
            return None
        if wanted and not any(address in network for network in wanted):
            return False
        return not any(address in network for network in excluded)

    return test


def _address(text: str) -> Address:
    """An IPv4 client on an IPv6 socket is an IPv4 client."""
    address = ipaddress.ip_address(text.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
