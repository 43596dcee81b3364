"""The keeper process: everything about the record that may be slow. It only reads the log.

    tree     leaves, checkpoints, cosignatures      index      rows for `sessions` (SQLite)
    rows     tables for search beyond one machine   export     segments, tree and rows to S3
    sinks    audit events for others                retention  what is old enough goes

The duties are in `gateway.keeping`. One keeper per data directory: a lock, since the keeper of a killed gateway
may still be in its last step when the next one starts.
"""

import os
import sys
import threading
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Final

import trio

from gateway import journal
from gateway.keeper_messages import (
    Finish,
    Message,
    Orders,
    SegmentKey,
    encode_line,
    parse_message,
)
from gateway.keeping.work import KeeperWork
from gateway.message_lines import read_lines
from gateway.process_settings import leave_signals_to_parent
from gateway.start_lock import wait_for_lock
from storage.files import REAL_FILES

STATUS_S: Final = 1.0
NICENESS: Final = 10
LOCK_FILE: Final = "keeper.lock"
LAST_STEP_S: Final = 2.0
"""For steps under way when the keeper is to end."""


async def main() -> None:
    os.nice(NICENESS)
    journal.name_process("keeper")
    async with aclosing(_messages()) as messages:
        orders = await anext(messages, None)
        if not isinstance(orders, Orders):
            return
        lock = await wait_for_lock(Path(orders.data_dir) / LOCK_FILE)
        work = KeeperWork(orders)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(work.run)
                nursery.start_soon(_report, work)
                await _obey(messages, work, nursery.cancel_scope)
        finally:
            work.close()
            REAL_FILES.close(lock)


async def _obey(messages: AsyncGenerator[Message, None], work: KeeperWork, scope: trio.CancelScope) -> None:
    """Until it is told to finish, or its gateway is gone."""
    async for message in messages:
        if isinstance(message, SegmentKey):
            work.take_key(message)
        elif isinstance(message, Finish):
            await work.finish(message.deadline_s)
            break
    # A thread may be waiting for a bucket or a witness. Everything here is made to be killed: do not wait for it.
    end = threading.Timer(LAST_STEP_S, os._exit, (0,))
    end.daemon = True
    end.start()
    scope.cancel()


async def _messages() -> AsyncGenerator[Message, None]:
    async with aclosing(read_lines(sys.stdin.fileno())) as lines:
        async for line in lines:
            yield parse_message(line)


async def _report(work: KeeperWork) -> None:
    async with trio.lowlevel.FdStream(os.dup(sys.stdout.fileno())) as stream:
        while True:
            await stream.send_all(encode_line(work.status()))
            await trio.sleep(STATUS_S)


if __name__ == "__main__":
    failed = False
    leave_signals_to_parent()
    try:
        trio.run(main)
    except* OSError as group:
        journal.problem("keeper", f"the keeper cannot work: {group.exceptions[0]}")
        failed = True
    if failed:
        sys.exit(1)  # not within: what is raised there comes out as a group
