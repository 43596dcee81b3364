"""The management API in a thread, for clients that block: the command line, as its users run it."""

import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import trio

from tests.kit.console_rig import ConsoleRig, open_console

T = TypeVar("T")


class ConsoleThread:
    """rig: to look at; `run` does something in its loop and waits for it."""

    def __init__(self) -> None:
        self.rig: Any = None
        self.token: Any = None
        self.stop: Any = None
        self.started = threading.Event()
        self.failure: BaseException | None = None

    def run(self, call: Callable[..., Awaitable[T]], *args: Any, **options: Any) -> T:
        async def bound() -> T:
            return await call(*args, **options)

        return trio.from_thread.run(bound, trio_token=self.token)

    def options(self, who: str) -> list[str]:
        """What says on the command line where the API is and who asks."""
        rig: ConsoleRig = self.rig
        token_file = rig.directory / f"token-{who}"
        token_file.write_text(rig.tokens.get(who, "wrong-token"))
        return ["--server", rig.url, "--ca", str(rig.ca), "--token-file", str(token_file)]


@contextmanager
def console_thread(directory: Path) -> Iterator[ConsoleThread]:
    here = ConsoleThread()

    async def main() -> None:
        async with open_console(directory, deadline_s=60) as rig:
            here.rig, here.token, here.stop = rig, trio.lowlevel.current_trio_token(), trio.Event()
            here.started.set()
            await here.stop.wait()

    def body() -> None:
        try:
            trio.run(main)
        except BaseException as failure:
            here.failure = failure
        finally:
            here.started.set()

    thread = threading.Thread(target=body)
    thread.start()
    assert here.started.wait(20)
    try:
        if here.failure is not None:
            raise here.failure
        yield here
    finally:
        if here.stop is not None:
            here.token.run_sync_soon(here.stop.set)
        thread.join(20)
