"""What a worker tells its supervisor: how it is, once a second, and keys it must not keep to itself. Conduct."""

import os
import sys
from contextlib import suppress
from typing import Final

import trio

from gateway.announcement import say_what_decides
from gateway.app import Gateway
from gateway.health import decision_checks, figures, ready_checks, record_checks
from gateway.keeper_messages import encode_line, segment_key_of
from gateway.process_messages import FromWorker, Started, WorkerStatus, pack_counts
from storage.encryption.keys import DataKey

STATUS_S: Final = 1.0
UNWELL_S: Final = 0.2
"""While something is wrong, at a start for instance: so that readyz hears soon when it is well again."""
MAX_WAITING: Final = 1024
"""Messages that the supervisor has not read yet; it reads at once, or hangs."""


class Reports:
    """The way out. `run` writes what was said."""

    def __init__(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._outbox, self._inbox = trio.open_memory_channel[FromWorker](MAX_WAITING)

    def say(self, message: FromWorker) -> None:
        """Queue one message. What does not fit is lost: it is a status, or the supervisor hangs and will end us."""
        with suppress(trio.WouldBlock):
            self._outbox.send_nowait(message)

    def tell_key_from_thread(self, data_key: DataKey) -> None:
        """Let the keeper read a segment that this gateway itself cannot. From any thread."""
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(self.say, segment_key_of(data_key))

    async def run(self) -> None:
        """Until `close`, and everything was written."""
        with suppress(trio.BrokenResourceError):  # the supervisor died: its pipe to us says so too
            async with trio.lowlevel.FdStream(os.dup(sys.stdout.fileno())) as stream:
                async for message in self._inbox:
                    await stream.send_all(encode_line(message))

    def close(self) -> None:
        self._outbox.close()


async def report(gateway: Gateway, reports: Reports, *, has_clients: bool) -> None:
    """Say that it has started, and how it is, until cancelled. has_clients: it serves the data path."""
    record, services = gateway.record, gateway.services
    checks = (
        ready_checks(record, services)
        if has_clients
        else [*record_checks(record), *decision_checks(services)]
    )
    reports.say(Started(record.log_key, say_what_decides(services.policy, gateway.settings.policy.origin)))
    while True:
        found = {name: check() for name, check in checks}
        reports.say(WorkerStatus(found, figures(record, services), pack_counts(services.counts)))
        await trio.sleep(UNWELL_S if any(found.values()) else STATUS_S)
