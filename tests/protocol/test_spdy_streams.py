from itertools import product

import pytest

from protocol.errors import LocalProtocolError
from protocol.spdy_streams import TRANSITIONS, Input, SpdyStreams, State

LIVE = [state for state in State if state is not State.CLOSED]


def in_state(state: State) -> SpdyStreams:
    streams = SpdyStreams()
    streams.add(1, state)
    return streams


@pytest.mark.parametrize(("state", "what"), list(TRANSITIONS))
def test_each_pair_of_the_table_moves_a_stream(state: State, what: Input) -> None:
    streams = in_state(state)
    act = streams.send if what.name.startswith("SEND") else streams.receive
    assert act(1, what)
    assert (1 in streams) is (TRANSITIONS[state, what] is not State.CLOSED)


@pytest.mark.parametrize(
    ("state", "what"), [pair for pair in product(LIVE, Input) if pair not in TRANSITIONS]
)
def test_each_pair_outside_the_table_is_our_error_or_ignored(state: State, what: Input) -> None:
    streams = in_state(state)
    if what.name.startswith("SEND"):
        with pytest.raises(LocalProtocolError, match=what.name):
            streams.send(1, what)
    else:
        assert not streams.receive(1, what)
    assert 1 in streams


@pytest.mark.parametrize("state", LIVE)
def test_reset_closes_a_stream_in_any_state(state: State) -> None:
    streams = in_state(state)
    assert streams.reset(1)
    assert not streams.reset(1)
    assert len(streams) == 0


def test_half_closed_both_ways_is_closed_in_either_order() -> None:
    for first, second in ((Input.SEND_FIN, Input.RECEIVE_FIN), (Input.RECEIVE_FIN, Input.SEND_FIN)):
        streams = in_state(State.OPEN)
        for what in (first, second):
            act = streams.send if what is Input.SEND_FIN else streams.receive
            assert act(1, what)
        assert 1 not in streams


def test_only_the_opener_waits_for_a_reply() -> None:
    assert [state for state in LIVE if in_state(state).is_opening(1)] == [State.OPENING, State.OPENING_ENDED]


def test_closed_stream_swallows_what_is_sent_and_an_unknown_one_is_our_error() -> None:
    streams = in_state(State.OPEN)
    streams.reset(1)
    assert not streams.send(1, Input.SEND_DATA)
    for unknown in (-1, 0, 2, 3):
        with pytest.raises(LocalProtocolError, match="never opened"):
            streams.send(unknown, Input.SEND_DATA)


def test_ids_grow_from_1_in_steps_of_2() -> None:
    streams = SpdyStreams()
    assert streams.next_id == 1
    streams.add(1, State.OPEN)
    assert streams.next_id == 3
    streams.add(9, State.OPEN)
    assert (streams.next_id, streams.last_id) == (11, 9)
