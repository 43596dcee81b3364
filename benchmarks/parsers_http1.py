"""Microseconds per request and answer through the HTTP/1.1 machines, and MB/s of bodies. Prints JSON.

The request is a `kubectl get pods` with a token of 900 bytes, the answer has the fields of
kube-apiserver. h11 reads the same request, for comparison. One core, no I/O.

    python -m benchmarks.parsers_http1 --json http1.json
"""

import argparse
import json
import time

import h11

from benchmarks.report import write_json
from protocol.events import BodyChunk, EndOfBody, RequestHead, ResponseHead
from protocol.http1 import Http1Server
from protocol.http1_client import Http1Client

CALLS = 100
CALL_ROUNDS = 100
BODY_ROUNDS = 5
READ_BYTES = 64 * 1024
CHUNK_BYTES = 32 * 1024
BODY_BYTES = 64 * 1024 * 1024
ANSWER = b'{"kind":"PodList","items":[]}' * 14

TARGET = b"/api/v1/namespaces/default/pods?limit=500"
REQUEST_FIELDS = (
    (b"user-agent", b"kubectl/v1.36.4 (linux/amd64) kubernetes/abcdef0"),
    (
        b"accept",
        b"application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io",
    ),
    (b"authorization", b"Bearer " + b"e" * 900),
    (b"kubectl-command", b"kubectl get"),
    (b"kubectl-session", b"01234567-89ab-cdef-0123-456789abcdef"),
    (b"accept-encoding", b"gzip"),
)
RESPONSE_FIELDS = (
    (b"audit-id", b"01234567-89ab-cdef-0123-456789abcdef"),
    (b"cache-control", b"no-cache, private"),
    (b"content-type", b"application/json"),
    (b"date", b"Mon, 05 Jan 2026 10:00:00 GMT"),
    (b"x-kubernetes-pf-flowschema-uid", b"01234567-89ab-cdef-0123-456789abcdef"),
    (b"x-kubernetes-pf-prioritylevel-uid", b"01234567-89ab-cdef-0123-456789abcdef"),
)
REQUEST = RequestHead(b"GET", TARGET, b"127.0.0.1:6443", REQUEST_FIELDS)


def measure_calls() -> dict[str, float]:
    """us per step of one kept-alive call: our server reads and answers, our client asks and reads."""
    server, client = Http1Server(), Http1Client()
    head = ResponseHead(200, RESPONSE_FIELDS, content_length=len(ANSWER))
    spent = [0.0] * 4
    for _ in range(CALLS):
        times = [time.perf_counter()]
        client.send(REQUEST)
        client.send(EndOfBody())
        request = client.data_to_send()
        times.append(time.perf_counter())
        server.receive(request)
        times.append(time.perf_counter())
        server.send(head)
        server.send(BodyChunk(ANSWER))
        server.send(EndOfBody())
        answer = server.data_to_send()
        server.next_request()
        times.append(time.perf_counter())
        client.receive(answer)
        times.append(time.perf_counter())
        spent = [total + end - start for total, start, end in zip(spent, times, times[1:], strict=False)]
    names = ("client_request_us", "request_us", "answer_us", "client_answer_us")
    return {name: total / CALLS * 1e6 for name, total in zip(names, spent, strict=True)}


def measure_h11() -> dict[str, float]:
    client = Http1Client()
    client.send(REQUEST)
    request = client.data_to_send()
    started = time.perf_counter()
    for _ in range(CALLS):
        connection = h11.Connection(h11.SERVER)
        connection.receive_data(request)
        while connection.next_event() is not h11.PAUSED:
            if connection.their_state is h11.DONE:
                break
    return {"h11_request_us": (time.perf_counter() - started) / CALLS * 1e6}


def measure_cut() -> dict[str, float]:
    """us for the same request when it comes in two reads: what a head that came whole is spared."""
    client = Http1Client()
    client.send(REQUEST)
    request = client.data_to_send()
    halves = request[:600], request[600:]
    spent = 0.0
    for _ in range(CALLS):
        server = Http1Server()
        started = time.perf_counter()
        for half in halves:
            server.receive(half)
        spent += time.perf_counter() - started
    return {"request_in_two_reads_us": spent / CALLS * 1e6}


def receiving(head: bytes) -> Http1Client:
    client = Http1Client()
    client.send(REQUEST)
    client.send(EndOfBody())
    client.receive(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n")
    return client


def measure_bodies() -> dict[str, float]:
    """MB/s of a body: known length; chunks of 32 KiB, 1 KiB and 64 bytes (a watch); written chunks."""
    figures: dict[str, float] = {}
    client, read = receiving(b"Content-Length: %d" % BODY_BYTES), bytes(READ_BYTES)
    started = time.perf_counter()
    for _ in range(BODY_BYTES // READ_BYTES):
        client.receive(read)
    figures["body_length_mb_s"] = BODY_BYTES / (time.perf_counter() - started) / 1e6
    for size, total in ((CHUNK_BYTES, BODY_BYTES), (1024, BODY_BYTES // 4), (64, BODY_BYTES // 64)):
        client = receiving(b"Transfer-Encoding: chunked")
        stream = (b"%x\r\n" % size + bytes(size) + b"\r\n") * (total // size)
        reads = [stream[at : at + READ_BYTES] for at in range(0, len(stream), READ_BYTES)]
        started = time.perf_counter()
        for read in reads:
            client.receive(read)
        figures[f"body_chunks_{size}_mb_s"] = total / (time.perf_counter() - started) / 1e6
    figures["body_written_mb_s"] = measure_written()
    return figures


def measure_written() -> float:
    server, chunk = Http1Server(), BodyChunk(bytes(CHUNK_BYTES))
    server.receive(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    server.send(ResponseHead(200))
    started = time.perf_counter()
    for _ in range(BODY_BYTES // CHUNK_BYTES):
        server.send(chunk)
        server.data_to_send()
    return BODY_BYTES / (time.perf_counter() - started) / 1e6


def measure_drip() -> dict[str, float]:
    """us per byte of a head of 60 KiB that comes byte by byte: must not grow with its length."""
    server = Http1Server()
    head = b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 60_000
    started = time.perf_counter()
    for at in range(len(head)):
        server.receive(head[at : at + 1])
    return {"drip_us": (time.perf_counter() - started) / len(head) * 1e6}


def best_of(runs: list[dict[str, float]]) -> dict[str, float]:
    """The best figure of each kind: what disturbs a measurement only ever makes it worse."""
    return {
        name: round((max if name.endswith("mb_s") else min)(run[name] for run in runs), 1) for name in runs[0]
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", metavar="FILE")
    arguments = parser.parse_args()
    figures = best_of([{**measure_calls(), **measure_cut(), **measure_h11()} for _ in range(CALL_ROUNDS)])
    figures |= best_of([{**measure_bodies(), **measure_drip()} for _ in range(BODY_ROUNDS)])
    print(json.dumps(figures))
    write_json(arguments.json, {"http1": figures})
