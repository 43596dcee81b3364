"""Runs a gateway until it is told to stop, whatever it consists of: signals, drain, the end in order.

First SIGTERM or SIGINT: readyz says so, clients are served on for as long as their load balancer needs; then short
calls finish, streams are ended with a reason, the log is sealed. Second: now. SIGHUP: replace one process after the
other, where there are several.
"""

import signal
from collections.abc import AsyncIterator
from functools import partial

import trio

from gateway import journal
from gateway.app import Gateway, open_gateway
from gateway.config import Settings
from gateway.cpus import count_workers
from gateway.fleet import Fleet, open_fleet

Serving = Gateway | Fleet


class StoppedEarly(Exception):
    """A signal ended the gateway before it served."""


async def run(
    settings: Settings,
    *,
    accept_loss: str = "",
    task_status: trio.TaskStatus[Serving] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until a signal. accept_loss: see `record_opening.open_record`. Reports the running gateway through task_status.

    Raises what `open_gateway` and `open_fleet` raise, and StoppedEarly when the signal came before that report.
    """
    workers = count_workers(settings.workers)
    open_it = partial(open_gateway, settings) if workers == 1 else partial(open_fleet, settings, workers)
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
        async with trio.open_nursery() as nursery:

            async def serve(*, task_status: trio.TaskStatus[Serving]) -> None:
                await open_it(accept_loss=accept_loss, task_status=task_status)
                nursery.cancel_scope.cancel()  # drained: nobody waits for signals any more

            gateway: Serving | None = None
            async with trio.open_nursery() as starting:
                starting.start_soon(_give_up_at_signal, signals, starting.cancel_scope)
                gateway = await nursery.start(serve)
                starting.cancel_scope.cancel()
            if gateway is None:
                raise StoppedEarly
            task_status.started(gateway)
            nursery.start_soon(_obey_signals, signals, gateway, nursery)


async def _give_up_at_signal(signals: AsyncIterator[int], starting: trio.CancelScope) -> None:
    async for number in signals:
        if number != signal.SIGHUP:
            journal.note("stopping", f"{signal.Signals(number).name}: stopping before anything was served")
            starting.cancel()


async def _obey_signals(signals: AsyncIterator[int], gateway: Serving, nursery: trio.Nursery) -> None:
    stopping = False
    async for number in signals:
        if number == signal.SIGHUP:
            if not stopping:
                gateway.restart()
            continue
        if stopping:
            journal.note("stopping", "second signal: stopping now")
            nursery.cancel_scope.cancel()
            return
        stopping = True
        journal.note("draining", f"{signal.Signals(number).name}: finishing what is under way")
        nursery.start_soon(gateway.shutdown.begin)
