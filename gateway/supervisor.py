"""Starts the gateway, and ends it in order: signals, drain, last seal.

First SIGTERM or SIGINT: stop accepting, finish short calls, end streams with a reason, seal the log.
Second: now.
"""

import signal
from collections.abc import AsyncIterator

import trio

from gateway import journal
from gateway.app import Gateway, open_gateway
from gateway.config import Settings


async def run(
    settings: Settings,
    *,
    accept_loss: str = "",
    task_status: trio.TaskStatus[Gateway] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until a signal. accept_loss: see `record_opening.open_record`. Reports the running gateway through task_status."""
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:

            async def serve(*, task_status: trio.TaskStatus[Gateway]) -> None:
                await open_gateway(settings, accept_loss=accept_loss, task_status=task_status)
                nursery.cancel_scope.cancel()  # drained: nobody waits for signals any more

            gateway: Gateway = await nursery.start(serve)
            task_status.started(gateway)
            nursery.start_soon(_obey_signals, signals, gateway, nursery.cancel_scope)


async def _obey_signals(signals: AsyncIterator[int], gateway: Gateway, scope: trio.CancelScope) -> None:
    draining = False
    async for number in signals:
        if draining:
            journal.note("stopping", "second signal: stopping now")
            scope.cancel()
            return
        draining = True
        journal.note("draining", f"{signal.Signals(number).name}: finishing what is under way")
        gateway.start_drain()
