"""Many streams at once, and large ones: nothing is lost, memory and descriptors stay within bounds.

The short form of benchmarks/soak.py and benchmarks/memory.py, against a gateway of its own process.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

import pytest
import trio

from benchmarks.memory import Growth, watch_memory
from benchmarks.processes import GatewayProcess, Standin, start_gateway, start_standin
from benchmarks.soak import Shape, Soak
from benchmarks.streams import download, upload
from gateway.upstream.pool import MAX_IDLE

pytestmark = pytest.mark.slow

TRANSFER_MIB = 192
FLAT_MIB = 32
"""What buffers of a transfer may take: a sixth of the bytes that pass, so that keeping them is found out."""
KEEPER_MIB = 120


@pytest.fixture(scope="module")
def standin() -> Iterator[Standin]:
    with ExitStack() as stack:
        yield start_standin(stack)


@pytest.fixture(scope="module")
def gateway(standin: Standin) -> Iterator[GatewayProcess]:
    with ExitStack() as stack:
        yield start_gateway(stack, standin.kubeconfig)


def test_of_many_execs_and_watches_at_once_every_byte_is_delivered_and_recorded(
    gateway: GatewayProcess, standin: Standin
) -> None:
    report = trio.run(Soak(gateway, standin, Shape(execs=20, watches=40, seconds=8, chunk_pause_s=0.3)).run)
    assert report.problems == []
    figures = report.figures
    assert figures["changes"] >= 8
    assert figures["descriptors_after"] <= figures["descriptors_before"] + MAX_IDLE  # kept for reuse
    assert figures["rss_mib_peak"] < figures["rss_mib_before"] + FLAT_MIB


@pytest.mark.parametrize("transport", ["websocket", "spdy"])
def test_memory_stays_flat_while_a_large_file_is_copied_out_and_in(
    gateway: GatewayProcess, transport: str
) -> None:
    async def copy() -> list[Growth]:
        await download(gateway.cluster, transport, 64)  # fills the buffers that are kept
        return [
            await watch_memory(run.__name__, gateway, partial(run, gateway.cluster, transport, TRANSFER_MIB))
            for run in (download, upload)
        ]

    for growth in trio.run(copy):
        assert growth.grew < FLAT_MIB, growth
        assert growth.keeper_peak < KEEPER_MIB, growth
