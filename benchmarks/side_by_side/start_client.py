"""Starts of an exec in a closed loop: one connection after the other, each to the end of `true`."""

import time

from benchmarks.http_client import Endpoint
from benchmarks.side_by_side.crowd import LoadSamples, Loop, Opening
from benchmarks.side_by_side.stream_client import open_exec


def opening_of_starts(endpoint: Endpoint, pod: str, transport: str) -> Opening:
    """pod: its path. A process starts one after the other, however large its share."""

    def start() -> float:
        begun = time.perf_counter()
        open_exec(endpoint, pod, transport, ["true"]).run_to_end()
        return time.perf_counter() - begun

    def loop(duration_s: float) -> LoadSamples:
        cpu, begun = time.process_time(), time.perf_counter()
        seconds = [start()]
        while time.perf_counter() - begun < duration_s:
            seconds.append(start())
        elapsed_s = time.perf_counter() - begun
        return LoadSamples(seconds, elapsed_s, (time.process_time() - cpu) / elapsed_s)

    def opening(connections: int) -> Loop:
        start()
        return loop

    return opening
