"""One key of whoever watches, on a real pseudo-terminal."""

import os
import pty
import sys
import termios
from collections.abc import Callable, Iterator

import pytest

from gateway.demo.keypress import has_person, press_one_of


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The person's end of a terminal that is our stdin."""
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "r") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield ours
    os.close(ours)


def typing(terminal: int, keys: bytes) -> Callable[[], None]:
    return lambda: (os.write(terminal, keys), None)[1]


async def test_the_first_key_that_is_an_answer_counts(terminal: int) -> None:
    assert await press_one_of("yn", 30, typing(terminal, b"x?Ny")) == "n"


async def test_what_was_typed_before_the_question_is_no_answer(terminal: int) -> None:
    os.write(terminal, b"y\n")
    assert await press_one_of("yn", 30, typing(terminal, b"n")) == "n"


async def test_nobody_at_the_terminal_is_no_answer(terminal: int) -> None:
    assert await press_one_of("yn", 0, lambda: None) == ""


async def test_afterwards_the_terminal_is_as_it_was(terminal: int) -> None:
    before = termios.tcgetattr(sys.stdin.fileno())
    await press_one_of("yn", 30, typing(terminal, b"y"))
    assert termios.tcgetattr(sys.stdin.fileno()) == before


def test_a_person_has_a_terminal_for_both_reading_and_answering(
    terminal: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not has_person()  # the output of a test is captured
    monkeypatch.setattr(sys, "stdout", sys.stdin)
    assert has_person()


def test_a_pipe_is_no_person(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.close(writing)
    with os.fdopen(reading) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        assert not has_person()
