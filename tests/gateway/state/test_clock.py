"""Time that is never set back."""

from gateway.state.clock import SteadyClock


class Clocks:
    """A wall clock that people set, and a steady one that they cannot."""

    def __init__(self) -> None:
        self.wall_ns, self.steady_ns = 1_000_000, 50

    def pass_ns(self, ns: int) -> None:
        self.wall_ns += ns
        self.steady_ns += ns


def test_time_passes_with_the_wall_clock() -> None:
    clocks = Clocks()
    clock = SteadyClock(lambda: clocks.wall_ns, lambda: clocks.steady_ns)
    assert clock.now_ns() == 1_000_000
    clocks.pass_ns(10)
    assert clock.now_ns() == 1_000_010


def test_s30_a_clock_set_back_does_not_slow_it() -> None:
    clocks = Clocks()
    clock = SteadyClock(lambda: clocks.wall_ns, lambda: clocks.steady_ns)
    clocks.wall_ns -= 900_000
    clocks.pass_ns(10)
    assert clock.now_ns() == 1_000_010


def test_a_clock_set_forward_is_followed() -> None:
    clocks = Clocks()
    clock = SteadyClock(lambda: clocks.wall_ns, lambda: clocks.steady_ns)
    clocks.wall_ns += 500
    assert clock.now_ns() == 1_000_500


def test_it_is_near_the_machines_clock() -> None:
    clock = SteadyClock()
    assert clock.now_ns() <= clock.now_ns()
