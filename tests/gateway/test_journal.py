"""The operator's log: one ASCII JSON line per event, whatever a peer put into it."""

import json

import pytest

from gateway import journal

HOSTILE = 'a"\n\r\x1b[2J\x00\x7f\x85\u202e\u2028💩é'


def test_every_event_is_one_line_of_plain_ascii(capsys: pytest.CaptureFixture[str]) -> None:
    journal.note("event" + HOSTILE, HOSTILE, fact=HOSTILE)
    journal.problem("x", HOSTILE, ValueError(HOSTILE), where=HOSTILE)
    first, second, rest = capsys.readouterr().err.split("\n")
    assert rest == ""
    for line in (first, second):
        assert all(" " <= character <= "~" for character in line)
    decoded = json.loads(first)
    assert (decoded["level"], decoded["message"], decoded["fact"]) == ("info", HOSTILE, HOSTILE)
    assert decoded["ts"].endswith("Z")


def test_of_an_unexpected_error_the_place_is_logged_and_not_its_text(
    capsys: pytest.CaptureFixture[str],
) -> None:
    try:
        raise ValueError("secret-canary")
    except ValueError as error:
        journal.problem("exchange", "it failed", error, exchange="ab")
    line = capsys.readouterr().err
    assert "secret-canary" not in line
    decoded = json.loads(line)
    assert (decoded["level"], decoded["error"], decoded["exchange"]) == ("error", "ValueError", "ab")
    assert decoded["at"].startswith("test_journal.py:")


def test_of_a_group_the_error_inside_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise KeyError("inside")

    try:
        try:
            fail()
        except KeyError as error:
            raise ExceptionGroup("outer", [ExceptionGroup("inner", [error])]) from None
    except ExceptionGroup as group:
        journal.problem("connection", "ended", group)
    line = json.loads(capsys.readouterr().err)
    assert line["error"] == "KeyError"
    assert "test_journal.py" in line["at"]
    assert "fail" in line["at"]
