"""Throughput of the WebSocket machine: MB/s of messages of 32 KiB, masked and not, read and written. Prints JSON.

Run: python -m benchmarks.parsers_websocket. One core, no I/O; reads of 64 KiB cut frames at odd places. A client's
frames are masked, so an upload is unmasked once and masked once on its way. "joined" is what `channel_runs` costs.
"""

import json
import time
from collections.abc import Callable

from protocol.channel_runs import join_neighbours
from protocol.events import Channel, ChannelData
from protocol.remotecommand import WebSocketRemoteCommand
from protocol.side import Side

MESSAGE_BYTES = 32 * 1024
READ_BYTES = 64 * 1024
MESSAGES = 1024
PROTOCOL = "v5.channel.k8s.io"


def measure_encode(side: Side) -> float:
    """MB/s from event to bytes, taken two messages at a time."""
    machine = WebSocketRemoteCommand(side, PROTOCOL)
    event = ChannelData(Channel.STDIN if side is Side.CLIENT else Channel.STDOUT, bytes(MESSAGE_BYTES))
    started = time.perf_counter()
    for _ in range(MESSAGES // 2):
        machine.send(event)
        machine.send(event)
        machine.data_to_send()
    return MESSAGES * MESSAGE_BYTES / (time.perf_counter() - started) / 1e6


def measure_decode(side: Side, *, join: bool = False) -> float:
    """MB/s from bytes to events, in reads that do not respect frames. side: of who reads."""
    sender = WebSocketRemoteCommand(Side.CLIENT if side is Side.SERVER else Side.SERVER, PROTOCOL)
    receiver = WebSocketRemoteCommand(side, PROTOCOL)
    channel = Channel.STDIN if side is Side.SERVER else Channel.STDOUT
    for _ in range(64):
        sender.send(ChannelData(channel, bytes(MESSAGE_BYTES)))
    stream = sender.data_to_send()
    # A read that ends inside a frame is continued by the next: the 64 messages form a ring.
    reads = [stream[at : at + READ_BYTES] for at in range(0, len(stream), READ_BYTES)]
    started = time.perf_counter()
    for _ in range(MESSAGES // 64):
        for read in reads:
            events = receiver.receive(read)
            if join:
                join_neighbours(events)
    return MESSAGES * MESSAGE_BYTES / (time.perf_counter() - started) / 1e6


def best_of(measure: Callable[[], float], rounds: int = 5) -> float:
    return round(max(measure() for _ in range(rounds)), 1)


if __name__ == "__main__":
    figures = {
        "encode_mb_s": best_of(lambda: measure_encode(Side.SERVER)),
        "encode_masked_mb_s": best_of(lambda: measure_encode(Side.CLIENT)),
        "decode_mb_s": best_of(lambda: measure_decode(Side.CLIENT)),
        "decode_masked_mb_s": best_of(lambda: measure_decode(Side.SERVER)),
        "decode_masked_joined_mb_s": best_of(lambda: measure_decode(Side.SERVER, join=True)),
    }
    print(json.dumps({"message_bytes": MESSAGE_BYTES, "read_bytes": READ_BYTES, **figures}))
