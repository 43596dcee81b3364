"""h2 says the same as our machine, of frames from a client, and as a client, of the frames we send."""

import h2.config
import h2.connection
import h2.events
from hpack import Encoder
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.events import BodyChunk, EndOfBody, Event, ResponseHead, WindowOpened
from protocol.http2 import Http2Server
from tests.kit import h2_oracle as oracle
from tests.kit import h2_wire as wire

# Streams are few, so that frames meet on them; ids that were never opened have a test of their own.
STREAMS = st.sampled_from([1, 1, 3, 3, 5, 7])
FLAGS = st.sampled_from([0, 1, 8, 9])
SIZES = st.sampled_from([0, 1, 63, 64, 5000, 65_000])
PADDED = 8


def data_frame(stream_id: int, flags: int, size: int, padding: int) -> bytes:
    payload = (bytes((padding,)) if flags & PADDED else b"") + b"d" * (size + padding * bool(flags & PADDED))
    return wire.raw(0, flags, stream_id, payload[:65_536])


DATA = st.builds(data_frame, STREAMS, FLAGS, SIZES, st.integers(0, 255))
RESETS = st.builds(wire.reset, STREAMS, st.sampled_from([0, 8, 0xDEAD]))
INCREMENTS = st.sampled_from([1, 1000, 70_000, 2**31 - 1])
CREDIT = st.builds(wire.window_update, STREAMS | st.just(0), INCREMENTS)
WINDOWS = st.builds(lambda value: wire.settings({4: value}), st.sampled_from([0, 100_000, 2**31 - 1, 2**31]))
FRAME_SIZES = st.builds(lambda value: wire.settings({5: value}), st.sampled_from([16384, 2**24 - 1, 16383]))
OTHER = st.sampled_from(
    [
        wire.ping(),
        wire.ping(ack=True),
        wire.settings(ack=True),
        wire.settings({2: 0, 3: 7, 0xABC: 1}),
        wire.priority(1),
        wire.raw(0xBC, 0xFF, 3, b"x"),
        wire.raw(6, 0, 1, b"12345678"),
        wire.raw(5, 4, 1, b"\x00\x00\x00\x02"),
    ]
)


class Requests:
    """HEADERS frames with one compression state, as a client has it."""

    def __init__(self) -> None:
        self._encoder = Encoder()

    def frame(self, stream_id: int, number: int, end: bool, cut: int, huffman: bool) -> list[bytes]:
        fields = [*wire.POST[:3], (b":path", b"/%d" % number), (b"x-%d" % (number % 5), b"v" * number)]
        block = self._encoder.encode(fields, huffman=huffman)
        if not cut:
            return [wire.headers_frame(stream_id, block, end=end)]
        first, rest = block[: cut % len(block)], block[cut % len(block) :]
        return [
            wire.headers_frame(stream_id, first, end=end, whole=False),
            wire.continuation(stream_id, rest),
        ]


HEADERS = st.tuples(
    STREAMS, st.integers(0, 300), st.booleans(), st.sampled_from([0, 0, 7, 40]), st.booleans()
)
STEPS = st.lists(
    HEADERS | HEADERS | DATA | DATA | RESETS | CREDIT | WINDOWS | FRAME_SIZES | OTHER,
    max_size=30,
)


@given(STEPS)
@settings(max_examples=300, deadline=None)
def test_each_frame_means_what_it_means_to_h2_up_to_the_first_fault(steps: list[object]) -> None:
    theirs, ours, requests = oracle.open_h2_server(), wire.open_server(), Requests()
    for step in steps:
        frames = requests.frame(*step) if isinstance(step, tuple) else [step]
        for frame in frames:
            assert isinstance(frame, bytes)
            if frame[3] == 3 and frame[5:9] > theirs.highest_inbound_stream_id.to_bytes(4, "big"):
                continue  # h2 lets pass a reset of a stream that was never opened
            expected = without_raised_windows(oracle.facts_of_h2(theirs, frame))
            events = ours.receive(frame)
            found = without_raised_windows(oracle.facts_of_ours(events, ours.data_to_send()))
            assert found == expected
            if any(fact[0] == "fault" for fact in found):
                return


def without_raised_windows(facts: list[oracle.Fact]) -> list[oracle.Fact]:
    """We tell also when SETTINGS open the windows, h2 tells of WINDOW_UPDATE only."""
    return [fact for fact in facts if fact != ("window", 0)]


# --- h2 as the client -----------------------------------------------------------------------


class Conversation:
    """An h2 client and our server; every byte we send goes through h2, in pieces of `cut` bytes."""

    def __init__(self, window: int, max_frame: int, cut: int) -> None:
        self.server, self._cut = Http2Server(), cut
        self.client = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=True, header_encoding=None)
        )
        self.client.local_settings.initial_window_size = window
        self.client.local_settings.max_frame_size = max_frame
        self.client.local_settings.acknowledge()
        self.client.max_inbound_frame_size = max_frame
        self.client.initiate_connection()
        self.bodies: dict[int, bytes] = {}
        self.ended: list[int] = []

    def exchange(self) -> list[Event]:
        """Bytes both ways until neither says anything more; our events."""
        events: list[Event] = []
        while True:
            sent, received = self.client.data_to_send(), self.server.data_to_send()
            if not sent and not received:
                return events
            for start in range(0, len(sent), self._cut):
                events += self.server.receive(sent[start : start + self._cut])
            for start in range(0, len(received), self._cut):
                for event in self.client.receive_data(received[start : start + self._cut]):
                    self._heard(event)

    def _heard(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.DataReceived):
            stream_id, count = event.stream_id or 0, event.flow_controlled_length or 0
            self.bodies[stream_id] = self.bodies.get(stream_id, b"") + (event.data or b"")
            self.client.acknowledge_received_data(count, stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            self.ended.append(event.stream_id or 0)
        else:
            assert not isinstance(event, h2.events.StreamReset | h2.events.ConnectionTerminated)


@given(
    st.sampled_from([0, 5_000, 65_535, 200_000]),
    st.sampled_from([16384, 20_000, 2**24 - 1]),
    st.integers(100, 70_000),
    st.lists(st.tuples(st.integers(0, 70_000), st.integers(0, 20_000)), min_size=1, max_size=5),
)
@settings(max_examples=40, deadline=None)
def test_answers_of_any_size_reach_an_h2_client_whole(
    window: int, max_frame: int, cut: int, answers: list[tuple[int, int]]
) -> None:
    talk = Conversation(window, max_frame, cut)
    talk.exchange()
    left: dict[int, bytes] = {}
    for size, name_bytes in answers:
        stream_id = talk.client.get_next_available_stream_id()
        talk.client.send_headers(stream_id, wire.GET, end_stream=True)
        talk.exchange()
        long = (b"x-long", b"n" * name_bytes)  # beyond a frame: CONTINUATION
        talk.server.send(ResponseHead(200, (long,), stream_id, content_length=size))
        left[stream_id] = bytes(index % 251 for index in range(size))
    bodies = dict(left)
    while left:
        moved = 0
        for stream_id, body in list(left.items()):
            part = body[: talk.server.sendable(stream_id)]
            left[stream_id], moved = body[len(part) :], moved + len(part)
            if part:
                talk.server.send(BodyChunk(part, stream_id))
            if not left[stream_id]:
                talk.server.send(EndOfBody(stream_id))
                del left[stream_id]
        talk.server.refill()  # a small window costs many updates
        events = talk.exchange()
        if not moved and left:  # a window of 0: only SETTINGS open it
            assert window == 0
            window = 1000
            talk.client.update_settings({4: window})
            events = talk.exchange()
        assert all(isinstance(event, WindowOpened) for event in events)
    assert sorted(talk.ended) == sorted(bodies)
    assert {stream_id: talk.bodies.get(stream_id, b"") for stream_id in bodies} == bodies


@given(st.lists(st.binary(max_size=20_000), min_size=1, max_size=12), st.integers(100, 70_000), st.booleans())
@settings(max_examples=40, deadline=None)
def test_bodies_of_an_h2_client_reach_us_whole(pieces: list[bytes], cut: int, padded: bool) -> None:
    talk = Conversation(65_535, 16_384, cut)
    talk.exchange()
    talk.client.send_headers(1, wire.POST)
    received = b""
    for piece in pieces:
        for start in range(0, len(piece), 16_000):
            talk.client.send_data(1, piece[start : start + 16_000], pad_length=9 if padded else None)
        for event in talk.exchange():
            if isinstance(event, BodyChunk):
                received += event.data
                talk.server.consumed(1, event.flow_bytes)
    talk.client.end_stream(1)
    assert talk.exchange() == [EndOfBody(1)]
    assert received == b"".join(pieces)
