"""Time for ends that are absolute: it follows the wall clock forward and never back."""

from gateway.steady_time import SteadyTime


class Clocks:
    def __init__(self) -> None:
        self.wall, self.monotonic = 1_000_000, 50

    def time(self) -> SteadyTime:
        return SteadyTime(lambda: self.wall, lambda: self.monotonic)

    def passes(self, amount: int) -> None:
        self.wall += amount
        self.monotonic += amount


def test_it_is_the_wall_clock_while_that_behaves() -> None:
    clocks = Clocks()
    steady = clocks.time()
    assert steady.now_ns() == 1_000_000
    clocks.passes(70)
    assert steady.now_ns() == 1_000_070


def test_a_clock_set_back_does_not_give_time_back() -> None:
    clocks = Clocks()
    steady = clocks.time()
    clocks.wall -= 500
    assert steady.now_ns() == 1_000_000
    clocks.passes(30)
    assert steady.now_ns() == 1_000_030


def test_a_step_forward_is_followed_and_stays() -> None:
    clocks = Clocks()
    steady = clocks.time()
    clocks.wall += 500
    assert steady.now_ns() == 1_000_500
    clocks.wall -= 500
    clocks.passes(1)
    assert steady.now_ns() == 1_000_501
