"""Throughput of stream masking: MB/s of log lines and of terminal output, all detectors on. Prints JSON.

Run: python -m benchmarks.masking_streams. One core, no I/O; reads of 32 KiB cut lines at odd places.
"""

import json
import random
import time
from collections.abc import Callable

from gateway.policy.masking.detectors import NAMES, DetectorSet
from gateway.policy.masking.stream import StreamMask

READ_BYTES = 32 * 1024
LINES = 40_000
SECRETS = (
    b"AKIAIOSFODNN7EXAMPLE",
    b"alice@example.com",
    b"4111 1111 1111 1111",
    b"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl",
)


def log_lines(secret_every: int) -> bytes:
    """JSON log lines as a server writes them; every n-th has a secret (0: none)."""
    chance = random.Random(4)
    lines = []
    for number in range(LINES):
        note = SECRETS[number % len(SECRETS)] if secret_every and number % secret_every == 0 else b"-"
        lines.append(
            b'2026-11-26T20:%02d:%02d.%06dZ stdout F {"level":"info","ts":%d.%06d,"caller":"http/server.go:%d",'
            b'"msg":"request served","path":"/api/v1/items/%d","status":200,"trace":"%032x","note":"%s"}\n'
            % (
                number // 600 % 60,
                number // 10 % 60,
                chance.randrange(10**6),
                1_764_187_200 + number,
                chance.randrange(10**6),
                chance.randrange(900),
                chance.randrange(10**7),
                chance.getrandbits(128),
                note,
            )
        )
    return b"".join(lines)


def coloured(lines: bytes) -> bytes:
    return lines.replace(b"info", b"\x1b[32minfo\x1b[0m").replace(b"\n", b"\r\n")


def rate(text: bytes, tty: bool = False) -> float:
    """MB/s through one stream."""
    detectors = DetectorSet(NAMES)
    reads = [text[at : at + READ_BYTES] for at in range(0, len(text), READ_BYTES)]

    def once() -> float:
        stream = StreamMask(detectors, {name: "pack/secrets" for name in NAMES}, tty)
        started = time.perf_counter()
        for read in reads:
            stream.feed(read)
        stream.flush()
        return len(text) / (time.perf_counter() - started) / 1e6

    return best_of(once)


def best_of(measure: Callable[[], float], rounds: int = 3) -> float:
    return round(max(measure() for _ in range(rounds)), 1)


if __name__ == "__main__":
    clean = log_lines(0)
    figures = {
        "clean_mb_s": rate(clean),
        "secret_in_1_of_1000_lines_mb_s": rate(log_lines(1000)),
        "secret_in_1_of_20_lines_mb_s": rate(log_lines(20)),
        "coloured_terminal_mb_s": rate(coloured(clean), tty=True),
        "one_line_mb_s": rate(clean.replace(b"\n", b" ")),
    }
    print(json.dumps({"read_bytes": READ_BYTES, "text_bytes": len(clean), **figures}))
