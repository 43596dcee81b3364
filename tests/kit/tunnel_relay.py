"""A relay made of four machines: a client, the two legs of a gateway, and a cluster.

Bytes travel between the ends in parts, events between the legs: what the gateway does, without it.
"""

from collections.abc import Callable, Iterator
from itertools import cycle

from protocol.events import Event, Failed, Machine, PeerClosed, Ping, Pong
from protocol.side import Side
from protocol.spdy_frames import ControlFrame, FrameReader, FrameType

LOCAL = (Ping, Pong, PeerClosed, Failed)  # each leg's own business


class Relay:
    """client <-bytes-> front <-events-> back <-bytes-> cluster."""

    def __init__(self, make: Callable[[Side], Machine], sizes: list[int]) -> None:
        self.client, self.front = make(Side.CLIENT), make(Side.SERVER)
        self.back, self.cluster = make(Side.CLIENT), make(Side.SERVER)
        self.at_client: list[Event] = []
        self.at_cluster: list[Event] = []
        self.from_client = b""  # all the bytes the client wrote
        self.to_cluster = b""  # all the bytes the cluster got
        self._sizes: Iterator[int] = cycle(sizes)

    def pump(self) -> None:
        """Carry everything until nobody has any more to say."""
        while self._carry_up() | self._carry_down():
            pass

    def _carry_up(self) -> bool:
        sent, answers = self.client.data_to_send(), self.front.data_to_send()
        self.from_client += sent
        self._relay(self.front, sent, self.back)
        self.at_client += self._receive(self.client, answers)
        return bool(sent or answers)

    def _carry_down(self) -> bool:
        sent, answers = self.cluster.data_to_send(), self.back.data_to_send()
        self.to_cluster += answers
        self._relay(self.back, sent, self.front)
        self.at_cluster += self._receive(self.cluster, answers)
        return bool(sent or answers)

    def _relay(self, leg: Machine, data: bytes, other: Machine) -> None:
        for event in self._receive(leg, data):
            assert not isinstance(event, Failed), event.error.why
            if not isinstance(event, LOCAL):
                other.send(event)

    def _receive(self, machine: Machine, data: bytes) -> list[Event]:
        events = []
        while data:
            size = next(self._sizes)
            events += machine.receive(data[:size])
            data = data[size:]
        return events


def stream_ids(data: bytes) -> list[int]:
    """The ids of the streams that these bytes open, in order."""
    frames = FrameReader().read(data)
    return [
        int.from_bytes(frame.payload[:4])
        for frame in frames
        if isinstance(frame, ControlFrame) and frame.type is FrameType.SYN_STREAM
    ]
