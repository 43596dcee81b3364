"""Microseconds per request and answer through the HTTP/2 machine, and MB/s of bodies. Prints JSON.

The requests are those of kubectl as Go encodes them (fields indexed after their first use); every one
asks for another path, every answer carries another Audit-ID, as in life. One core, no I/O.

    python -m benchmarks.parsers_http2 --json http2.json
"""

import argparse
import json
import time

from hpack import Encoder
from hyperframe.frame import DataFrame, HeadersFrame, PingFrame, SettingsFrame, WindowUpdateFrame

from benchmarks.report import write_json
from protocol.events import BodyChunk, EndOfBody, ResponseHead
from protocol.http2 import Http2Server
from protocol.http2_frames import PREFACE

REQUESTS = 3000
BODY_FRAME_BYTES = 16 * 1024
BODY_FRAMES = 2000
ANSWER = b'{"kind":"PodList","items":[]}' * 14

REQUEST_FIELDS = (
    (b":authority", b"gateway.example:6443"),
    (b":method", b"GET"),
    (b":scheme", b"https"),
    (b"accept", b"application/json;as=Table;v=v1;g=meta.k8s.io,application/json"),
    (b"authorization", b"Bearer " + b"e" * 900),
    (b"kubectl-command", b"kubectl get"),
    (b"kubectl-session", b"01234567-89ab-cdef-0123-456789abcdef"),
    (b"user-agent", b"kubectl/v1.34.1 (linux/amd64) kubernetes/93248f9"),
    (b"accept-encoding", b"gzip"),
)
RESPONSE_FIELDS = (
    (b"cache-control", b"no-cache, private"),
    (b"content-type", b"application/json"),
    (b"date", b"Mon, 05 Jan 2026 10:00:00 GMT"),
    (b"x-kubernetes-pf-flowschema-uid", b"01234567-89ab-cdef-0123-456789abcdef"),
    (b"x-kubernetes-pf-prioritylevel-uid", b"01234567-89ab-cdef-0123-456789abcdef"),
)


def open_server() -> Http2Server:
    """A connection whose client set the windows that client-go sets."""
    server = Http2Server()
    windows = SettingsFrame(0, {2: 0, 4: 4 << 20, 5: 1 << 20, 6: 10 << 20}).serialize()
    server.receive(PREFACE + windows + WindowUpdateFrame(0, 1 << 30).serialize())
    server.data_to_send()
    return server


def request_frames() -> list[bytes]:
    encoder, frames = Encoder(), []
    for index in range(REQUESTS):
        path = b"/api/v1/namespaces/team-%d/pods?limit=500" % index
        block = encoder.encode((REQUEST_FIELDS[0], (b":path", path), *REQUEST_FIELDS[1:]))
        frames.append(HeadersFrame(2 * index + 1, block, flags=["END_HEADERS", "END_STREAM"]).serialize())
    return frames


def measure_calls() -> dict[str, float]:
    """us per call: the request read, the answer of 400 bytes written."""
    server, requests = open_server(), request_frames()
    reading = writing = 0.0
    for index, frame in enumerate(requests):
        started = time.perf_counter()
        server.receive(frame)
        read = time.perf_counter()
        audit_id = (b"audit-id", b"%08d-89ab-cdef-0123-456789abcdef" % index)
        stream_id = 2 * index + 1
        server.send(ResponseHead(200, (audit_id, *RESPONSE_FIELDS), stream_id, content_length=len(ANSWER)))
        server.send(BodyChunk(ANSWER, stream_id))
        server.send(EndOfBody(stream_id))
        server.data_to_send()
        writing += time.perf_counter() - read
        reading += read - started
    return {"request_us": reading / REQUESTS * 1e6, "answer_us": writing / REQUESTS * 1e6}


def measure_bodies() -> dict[str, float]:
    """MB/s of DATA in frames of 16 KiB, up (credit returned) and down, and us per PING."""
    server = open_server()
    for stream_id in (1, 3):
        fields = ((b":method", b"POST"), (b":path", b"/api"), *REQUEST_FIELDS[:1], *REQUEST_FIELDS[2:3])
        block = Encoder().encode(fields)
        server.receive(HeadersFrame(stream_id, block, flags=["END_HEADERS"]).serialize())
    frame = DataFrame(1, bytes(BODY_FRAME_BYTES)).serialize()
    started = time.perf_counter()
    for _ in range(BODY_FRAMES):
        for event in server.receive(frame):
            if isinstance(event, BodyChunk):
                server.consumed(1, event.flow_bytes)
        server.data_to_send()
    up = BODY_FRAMES * BODY_FRAME_BYTES / (time.perf_counter() - started) / 1e6
    server.send(ResponseHead(200, stream_id=3))
    chunk = BodyChunk(bytes(BODY_FRAME_BYTES), 3)
    credit = WindowUpdateFrame(3, BODY_FRAME_BYTES).serialize()
    spent = 0.0
    for _ in range(BODY_FRAMES):
        started = time.perf_counter()
        server.send(chunk)
        server.data_to_send()
        spent += time.perf_counter() - started
        server.receive(credit)
    return {
        "body_up_mb_s": up,
        "body_down_mb_s": BODY_FRAMES * BODY_FRAME_BYTES / spent / 1e6,
        **measure_pings(),
    }


def measure_pings() -> dict[str, float]:
    server, ping = open_server(), PingFrame(0, b"12345678").serialize()
    started = time.perf_counter()
    for _ in range(50):
        server.receive(ping)
        server.data_to_send()
    return {"ping_us": (time.perf_counter() - started) / 50 * 1e6}


def best_of(rounds: int) -> dict[str, float]:
    """The best figure of each kind: what disturbs a measurement only ever makes it worse."""
    runs = [{**measure_calls(), **measure_bodies()} for _ in range(rounds)]
    return {
        name: round((max if name.endswith("mb_s") else min)(run[name] for run in runs), 1) for name in runs[0]
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", metavar="FILE")
    arguments = parser.parse_args()
    figures = best_of(5)
    print(json.dumps(figures))
    write_json(arguments.json, {"http2": figures})
