"""The waits between tries."""

from gateway.backoff import FIRST_S, MAX_BACKOFF_S, Backoff


def test_every_wait_is_twice_the_one_before_up_to_the_longest() -> None:
    backoff = Backoff()
    assert [backoff.next_s() for _ in range(7)] == [
        FIRST_S,
        2.0,
        4.0,
        8.0,
        16.0,
        MAX_BACKOFF_S,
        MAX_BACKOFF_S,
    ]


def test_after_a_success_the_next_wait_is_the_first() -> None:
    backoff = Backoff()
    backoff.next_s()
    backoff.next_s()
    backoff.reset()
    assert backoff.next_s() == FIRST_S
