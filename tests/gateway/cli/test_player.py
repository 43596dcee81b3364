"""Replay against a clock that only waiting advances: no test sleeps."""

from collections import deque
from collections.abc import Iterator

import pytest

from gateway.cli.sessions.player import CLEAR, Player
from gateway.cli.sessions.terminal import parse_keys
from storage.cast import TerminalEvent

SECOND = 1_000_000


class FakeScreen:
    """Keys are pressed at given seconds of the clock; what is written is kept with its time."""

    def __init__(self, *keys: tuple[float, str]) -> None:
        self.clock_s = 100.0
        self.keys = deque((100.0 + at, key) for at, key in keys)
        self.written: list[tuple[float, bytes]] = []
        self.slow_s = 0.0  # how long a write takes

    def now_s(self) -> float:
        return self.clock_s

    def wait_key(self, timeout_s: float | None) -> str | None:
        until = float("inf") if timeout_s is None else self.clock_s + timeout_s
        if self.keys and self.keys[0][0] <= until:
            at, key = self.keys.popleft()
            self.clock_s = max(self.clock_s, at)
            return key
        assert timeout_s is not None, "the player waits for a key that never comes"
        self.clock_s = until
        return None

    def write(self, data: bytes) -> None:
        self.clock_s += self.slow_s
        self.written.append((round(self.clock_s - 100.0, 6), data))


def events(*at_s: float, end: bool = True) -> list[TerminalEvent]:
    made = [TerminalEvent(int(at * SECOND), "o", f"<{at:g}>") for at in at_s]
    return [*made, TerminalEvent(int(at_s[-1] * SECOND), "x", "42")] if end else made


def played(screen: FakeScreen, some: list[TerminalEvent], **settings: object) -> Player:
    def reopen() -> Iterator[TerminalEvent]:
        return iter(some)

    player = Player(reopen, screen, **settings)  # type: ignore[arg-type]
    player.run()
    return player


def test_every_event_comes_at_its_time() -> None:
    screen = FakeScreen()
    player = played(screen, events(0.5, 1, 3))
    assert screen.written == [(0.5, b"<0.5>"), (1.0, b"<1>"), (3.0, b"<3>")]
    assert player.exit_code == 42


def test_speed_divides_time() -> None:
    screen = FakeScreen()
    played(screen, events(1, 3), speed=4)
    assert [at for at, _ in screen.written] == [0.25, 0.75]


def test_long_pauses_are_cut() -> None:
    screen = FakeScreen()
    played(screen, events(1, 315_360_000, 315_360_001), idle_limit_us=2 * SECOND)
    assert [at for at, _ in screen.written] == [1, 3, 4]


def test_a_slow_terminal_does_not_make_it_drift() -> None:
    screen = FakeScreen()
    screen.slow_s = 0.4
    played(screen, events(1, 2, 3, 4))
    assert [at for at, _ in screen.written] == [1.4, 2.4, 3.4, 4.4]


def test_seek_shows_what_came_before_at_once() -> None:
    screen = FakeScreen()
    played(screen, events(1, 5, 12), start_us=10 * SECOND)
    assert screen.written == [(0.0, b"<1>"), (0.0, b"<5>"), (2.0, b"<12>")]


def test_seek_beyond_the_end_shows_everything_and_ends() -> None:
    screen = FakeScreen()
    assert played(screen, events(1, 5), start_us=99 * SECOND).exit_code == 42
    assert [at for at, _ in screen.written] == [0, 0]


def test_space_pauses_and_goes_on() -> None:
    screen = FakeScreen((1.5, "space"), (10.0, "space"))
    played(screen, events(1, 2, 3))
    assert [at for at, _ in screen.written] == [1, 10.5, 11.5]


def test_a_step_shows_one_event_while_paused_only() -> None:
    screen = FakeScreen((0.1, "."), (0.5, "space"), (0.6, "."), (0.7, "."), (5.0, "space"))
    played(screen, events(1, 2, 3))
    assert screen.written == [(0.6, b"<1>"), (0.7, b"<2>"), (6.0, b"<3>")]


def test_right_skips_five_seconds() -> None:
    screen = FakeScreen((0.5, "right"))
    played(screen, events(1, 4, 6))
    assert screen.written == [(0.5, b"<1>"), (0.5, b"<4>"), (1.0, b"<6>")]


def test_left_clears_and_runs_ahead_to_five_seconds_before() -> None:
    screen = FakeScreen((7.0, "left"))
    played(screen, events(1, 3, 6, 8))
    assert [data for _, data in screen.written] == [
        b"<1>",
        b"<3>",
        b"<6>",
        CLEAR,
        b"<1>",
        b"<3>",
        b"<6>",
        b"<8>",
    ]
    assert screen.written[3:5] == [(7.0, CLEAR), (7.0, b"<1>")]
    assert screen.written[5][0] == 8.0
    assert screen.written[-1][0] == 13.0


def test_left_at_the_beginning_begins_anew() -> None:
    screen = FakeScreen((1.5, "left"))
    played(screen, events(1, 2))
    assert screen.written[1:] == [(1.5, CLEAR), (2.5, b"<1>"), (3.5, b"<2>")]


def test_q_quits_and_knows_no_exit_code() -> None:
    screen = FakeScreen((1.5, "q"))
    player = Player(lambda: iter(events(1, 2)), screen)
    assert not player.run()
    assert player.exit_code is None
    assert len(screen.written) == 1


def test_an_unknown_key_disturbs_nothing() -> None:
    screen = FakeScreen((0.2, "other"), (0.9, "other"))
    played(screen, events(1, 2))
    assert [at for at, _ in screen.written] == [1, 2]


def test_typing_and_sizes_are_not_shown() -> None:
    screen = FakeScreen()
    played(
        screen, [TerminalEvent(1, "i", "secret"), TerminalEvent(2, "r", "80x24"), TerminalEvent(3, "o", "x")]
    )
    assert [data for _, data in screen.written] == [b"x"]


def test_an_empty_recording_ends_at_once() -> None:
    screen = FakeScreen()
    assert played(screen, []).exit_code is None


@pytest.mark.parametrize(
    ("pressed", "keys"),
    [
        (b" ", ["space"]),
        (b"\x1b[D\x1b[C", ["left", "right"]),
        (b"\x1bOD.q", ["left", ".", "q"]),
        (b"xyz", []),
        (b"\x1b[A ", ["space"]),
        (b"\x1b", []),
    ],
)
def test_keys_are_read_from_what_a_terminal_sends(pressed: bytes, keys: list[str]) -> None:
    assert parse_keys(pressed) == keys


def test_a_key_goes_to_the_next_marker_and_marks_are_not_written() -> None:
    some = [*events(1, 2, end=False), TerminalEvent(30 * SECOND, "m", "held"), *events(31, 99)]
    screen = FakeScreen((0.5, "]"), (0.6, "space"), (0.7, "]"))
    assert played(screen, some).exit_code == 42
    assert screen.written == [(0.5, b"<1>"), (0.5, b"<2>"), (0.7, b"<31>"), (0.7, b"<99>")]
    assert parse_keys(b"]") == ["]"]
