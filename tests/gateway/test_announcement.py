"""What `serve` says at its start."""

from gateway.announcement import Announcement
from gateway.config import Settings


def said(*log_keys: str) -> list[str]:
    found = Announcement(Settings(), "https://api:443", 6443, 9090, 0, log_keys, "it decides").lines()
    return [line for line in found if "signed by" in line or "another by" in line]


def test_the_key_of_the_log_is_for_whoever_verifies_it() -> None:
    (line,) = said("a+key")
    assert line.startswith("the log is signed by a+key: give this to whoever verifies it; ")


def test_of_several_logs_every_key_is_needed() -> None:
    first, second, third = said("a+key", "b+key", "c+key")
    assert (first, second) == ("a log is signed by a+key,", "a log is signed by b+key,")
    assert third.startswith("another by c+key: give all of these to whoever verifies it; ")
