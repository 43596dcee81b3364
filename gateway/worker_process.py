"""A worker or the control process: parts of a gateway that a supervisor started. See docs/decisions/0014.

    worker    the data path on one of the data port's sockets; nothing else
    control   management API, approvals, notices: what people decide with, on a log of its own

Orders come on standard input. When that ends, the supervisor is gone: finish what is under way, and end.
"""

import gc
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

import trio

from gateway import journal
from gateway.app import Gateway, Part, open_parts, run_parts
from gateway.config import BadConfig
from gateway.console.serve import serve_console
from gateway.data_path import LAST_WORDS_S
from gateway.errors import GatewayError, innermost
from gateway.message_lines import read_lines
from gateway.notify.running import notify_people
from gateway.preparation import prepare
from gateway.process_messages import (
    CONTROL,
    Drain,
    Drained,
    Finish,
    StartFailed,
    ToWorker,
    WorkerOrders,
    parse_to_worker,
)
from gateway.process_settings import leave_signals_to_parent, prepare_process
from gateway.session_registry import SessionRegistry
from gateway.shared_ports import adopt
from gateway.shared_sessions import SHARED_IDLE_NS, SharedSessions
from gateway.start_lock import StartLock
from gateway.upstream.kubeconfig import BadKubeconfig
from gateway.worker_reports import Reports, report
from storage.errors import LogFailed, StorageError

ORPHANED: Final = Drain("kubetape ended unexpectedly: connect again", accepting=False)
Messages: TypeAlias = AsyncGenerator[ToWorker, None]


class Worker:
    """What was ordered, and what has been said since."""

    def __init__(self, orders: WorkerOrders, reports: Reports, lock: StartLock) -> None:
        self._orders, self._reports, self._lock = orders, reports, lock
        self._drain: Drain = ORPHANED
        self._draining = trio.Event()
        self._drain_scope = trio.CancelScope()
        self._may_end = trio.Event()

    async def work(self, messages: Messages) -> LogFailed | None:
        """Until the end. Returns what went wrong with the log. Raises BadConfig and friends at the start."""
        await self._lock.take()
        preparation = prepare(self._orders.settings)
        sessions = SharedSessions(SessionRegistry(preparation.data_dir, SHARED_IDLE_NS))
        part = Part(self._orders.log, self._reports.tell_key_from_thread, self._orders.accept_loss, sessions)
        parts = await open_parts(preparation, part)
        return await run_parts(parts, partial(self._serve, messages, sessions))

    async def _serve(
        self, messages: Messages, sessions: SharedSessions, gateway: Gateway, nursery: trio.Nursery
    ) -> None:
        self._lock.release()  # every file that is made at a first start is there
        has_clients = self._orders.role != CONTROL
        listeners = adopt(self._orders.sockets)
        nursery.start_soon(sessions.run)
        told = trio.Event()  # those who decide have their answers
        if has_clients:
            await gateway.data.start(nursery, listeners)
        else:
            await _start_control(gateway, nursery, listeners, self._draining, told)
        nursery.start_soon(partial(report, gateway, self._reports, has_clients=has_clients))
        nursery.start_soon(self._obey, messages, nursery.cancel_scope)
        gc.collect()
        gc.freeze()  # what start-up made lives as long as the process
        await self._draining.wait()
        with self._drain_scope:
            if has_clients:
                await gateway.data.drain(accepting=self._drain.accepting)
            else:
                with trio.move_on_after(LAST_WORDS_S):  # a watch does not end by itself
                    await told.wait()
        self._reports.say(Drained())
        if self._drain.accepting:
            await self._may_end.wait()
        await gateway.data.end(self._drain.why)

    async def _obey(self, messages: Messages, everything: trio.CancelScope) -> None:
        async for message in messages:
            if isinstance(message, Drain):
                self._drain = message
                self._draining.set()
                continue
            self._may_end.set()
            self._draining.set()
            self._drain_scope.cancel()
            if isinstance(message, Finish) and message.at_once:
                everything.cancel()
        self._may_end.set()
        self._draining.set()


async def _start_control(
    gateway: Gateway,
    nursery: trio.Nursery,
    listeners: list[trio.SocketListener],
    leaving: trio.Event,
    told: trio.Event,
) -> None:
    """What is said to people, and by them. told: set when, after `leaving`, nobody waits for an answer."""
    settings = gateway.settings
    await nursery.start(notify_people, settings, gateway.services.state)
    if not listeners:
        told.set()
        return
    serve = partial(
        serve_console,
        settings,
        gateway.console_services(),
        gateway.preparation.context,
        listeners=listeners,
        leaving=leaving,
    )

    async def serve_and_tell(*, task_status: trio.TaskStatus[int]) -> None:
        await serve(task_status=task_status)
        told.set()

    await nursery.start(serve_and_tell)


async def main() -> int:
    """Do what the first line says, until the end. Returns the exit code."""
    async with aclosing(_messages()) as messages:
        orders = await anext(messages, None)
        if not isinstance(orders, WorkerOrders):
            return 1
        journal.name_process(orders.name)
        reports = Reports()
        code = 0
        async with trio.open_nursery() as reporting:
            reporting.start_soon(reports.run)
            try:
                with StartLock(Path(orders.settings.record.dir)) as lock:
                    failure = await Worker(orders, reports, lock).work(messages)
                    code = int(failure is not None)
            except* (GatewayError, StorageError, OSError) as group:
                reports.say(_start_failed(group))
                code = 1
            reports.close()
        return code


def _start_failed(group: BaseExceptionGroup[Exception]) -> StartFailed:
    error = innermost(group)
    return StartFailed(str(error), isinstance(error, BadConfig | BadKubeconfig))


async def _messages() -> Messages:
    async with aclosing(read_lines(sys.stdin.fileno())) as lines:
        async for line in lines:
            yield parse_to_worker(line)


if __name__ == "__main__":
    prepare_process()
    leave_signals_to_parent()
    try:
        code = trio.run(main, strict_exception_groups=True)
    except Exception as error:
        journal.problem("process", "this process was ended by an unexpected error", error)
        code = 1
    sys.exit(code)
