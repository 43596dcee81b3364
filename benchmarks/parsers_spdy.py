"""Throughput of the SPDY machine: MB/s of 32 KiB data frames, read and written. Prints JSON.

Run: python -m benchmarks.parsers_spdy. One core, no I/O; reads of 64 KiB cut frames at odd places.
"""

import json
import time
from collections.abc import Callable

from protocol.events import SpdyData, SpdyStreamOpened, SpdyStreamReplied
from protocol.side import Side
from protocol.spdy import SpdyConnection

FRAME_BYTES = 32 * 1024
READ_BYTES = 64 * 1024
FRAMES = 4000


def open_pair() -> tuple[SpdyConnection, SpdyConnection]:
    """A client and a server with stream 1 open between them."""
    client, server = SpdyConnection(Side.CLIENT), SpdyConnection(Side.SERVER)
    client.send(SpdyStreamOpened(1, ((b"streamtype", b"stdin"),)))
    server.receive(client.data_to_send())
    server.send(SpdyStreamReplied(1))
    client.receive(server.data_to_send())
    return client, server


def measure_encode() -> float:
    """MB/s from event to bytes, taken two frames at a time."""
    client, _ = open_pair()
    event = SpdyData(1, bytes(FRAME_BYTES))
    started = time.perf_counter()
    for _ in range(FRAMES // 2):
        client.send(event)
        client.send(event)
        client.data_to_send()
    return FRAMES * FRAME_BYTES / (time.perf_counter() - started) / 1e6


def measure_decode() -> float:
    """MB/s from bytes to events, in reads that do not respect frames."""
    client, server = open_pair()
    for _ in range(64):
        client.send(SpdyData(1, bytes(FRAME_BYTES)))
    stream = client.data_to_send()
    # A read that ends inside a frame is continued by the next: the 64 frames form a ring.
    reads = [stream[at : at + READ_BYTES] for at in range(0, len(stream), READ_BYTES)]
    started = time.perf_counter()
    for _ in range(FRAMES // 64):
        for read in reads:
            server.receive(read)
    return FRAMES // 64 * 64 * FRAME_BYTES / (time.perf_counter() - started) / 1e6


def best_of(measure: Callable[[], float], rounds: int = 5) -> float:
    return round(max(measure() for _ in range(rounds)), 1)


if __name__ == "__main__":
    figures = {"spdy_encode_mb_s": best_of(measure_encode), "spdy_decode_mb_s": best_of(measure_decode)}
    print(json.dumps({"frame_bytes": FRAME_BYTES, "read_bytes": READ_BYTES, **figures}))
