from hypothesis import given
from hypothesis import strategies as st

from protocol.channel_runs import join_neighbours
from protocol.events import Channel, ChannelData, ChannelEnded, Event, Ping, TunnelClosed


def test_neighbours_of_one_channel_become_one() -> None:
    events: list[Event] = [ChannelData(Channel.STDOUT, piece) for piece in (b"ab", b"c", b"def")]
    assert join_neighbours(events) == [ChannelData(Channel.STDOUT, b"abcdef")]


def test_another_channel_or_connection_between_them_keeps_the_order() -> None:
    events: list[Event] = [
        ChannelData(Channel.STDOUT, b"1"),
        ChannelData(Channel.STDERR, b"2"),
        ChannelData(Channel.STDOUT, b"3"),
        ChannelData(Channel.DATA, b"4", 0),
        ChannelData(Channel.DATA, b"5", 1),
        Ping(),
        ChannelData(Channel.DATA, b"6", 1),
        ChannelEnded(Channel.DATA, 1),
    ]
    assert join_neighbours(events) == events


def test_sizes_and_results_stay_whole_messages() -> None:
    events: list[Event] = [
        ChannelData(Channel.RESIZE, b'{"Width":80}'),
        ChannelData(Channel.RESIZE, b'{"Width":81}'),
        ChannelData(Channel.ERROR, b"a"),
        ChannelData(Channel.ERROR, b"b"),
        ChannelData(Channel.FORWARD_ERROR, b"c", 3),
        ChannelData(Channel.FORWARD_ERROR, b"d", 3),
    ]
    assert join_neighbours(events) == events


def test_a_piece_without_data_stays_and_separates() -> None:
    events: list[Event] = [
        ChannelData(Channel.STDOUT, b"a"),
        ChannelData(Channel.STDOUT, b""),
        ChannelData(Channel.STDOUT, b"b"),
    ]
    assert join_neighbours(events) == events


_EVENTS = st.lists(
    st.one_of(
        st.builds(
            ChannelData,
            st.sampled_from(Channel),
            st.sampled_from((b"", b"x", b"yz")),
            st.integers(0, 1),
        ),
        st.builds(ChannelEnded, st.sampled_from(Channel)),
        st.just(Ping()),
        st.just(TunnelClosed()),
    )
)


@given(_EVENTS)
def test_no_byte_and_no_order_is_lost(events: list[Event]) -> None:
    def bytes_in_order(some: list[Event]) -> list[object]:
        return [
            (event.channel, event.connection, event.data[at : at + 1])
            if isinstance(event, ChannelData)
            else event
            for event in some
            for at in range(max(len(event.data), 1) if isinstance(event, ChannelData) else 1)
        ]

    joined = join_neighbours(events)
    assert bytes_in_order(joined) == bytes_in_order(events)
    assert join_neighbours(joined) == joined
