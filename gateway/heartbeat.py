"""A record a minute while nothing else is recorded: so that silence and removal look different."""

import time
from contextlib import suppress
from typing import Final

import trio

from gateway.recorder import Recorder
from storage.errors import LogFailed
from storage.records import Heartbeat

INTERVAL_S: Final = 60.0


async def beat(recorder: Recorder) -> None:
    """Until cancelled, or until recording fails: then the record says nothing any more, which is true."""
    with suppress(LogFailed):
        while True:
            due_s = recorder.last_append_s + INTERVAL_S - time.monotonic()
            if due_s <= 0:
                recorder.append(Heartbeat(time.time_ns()), urgent=True, quiet=True)
                due_s = INTERVAL_S
            await trio.sleep(due_s)
