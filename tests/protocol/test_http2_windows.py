import pytest

from protocol.http2_frames import ConnectionFault, ErrorCode
from protocol.http2_windows import ReceiveWindow


def test_more_than_the_window_is_a_fault() -> None:
    window = ReceiveWindow(10)
    window.take(10)
    with pytest.raises(ConnectionFault) as caught:
        window.take(1)
    assert caught.value.code is ErrorCode.FLOW_CONTROL_ERROR


def test_credit_is_announced_at_half_a_window() -> None:
    window = ReceiveWindow(10_000)
    window.take(9_000)
    assert window.give_back(4_999) == 0
    assert window.give_back(1) == 5_000
    assert window.give_back(4_000) == 0
    window.take(6_000)


def test_a_client_that_cannot_send_gets_credit_sooner() -> None:
    window = ReceiveWindow(10_000)
    window.take(10_000)
    assert window.give_back(1024) == 0
    assert window.give_back(1) == 1025


def test_all_that_is_owed_can_be_announced_at_once() -> None:
    window = ReceiveWindow(10_000)
    window.take(10)
    assert window.give_back(10) == 0
    assert window.give_back_all() == 10
    assert window.give_back_all() == 0
    window.take(10_000)
