"""One process of a gateway opens its keys and its log at a time. Conduct.

The first start makes key files that all processes of a data directory share; each is read, extended and replaced, so
two that did it at once could lose a key. The supervisor starts its workers side by side: here they queue.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final

import trio

from gateway.errors import GatewayError
from storage.files import REAL_FILES

START_LOCK_FILE: Final = "start.lock"
SERVE_LOCK_FILE: Final = "serve.lock"
POLL_S: Final = 0.02


class DirectoryInUse(GatewayError):
    """Another gateway serves from this data directory."""


async def wait_for_lock(path: Path) -> int:
    """Take the lock of this file when nobody else holds it; returns the descriptor that holds it."""
    while True:
        try:
            return REAL_FILES.lock(path)
        except BlockingIOError:
            await trio.sleep(POLL_S)


@contextmanager
def only_gateway(data_dir: Path) -> Iterator[None]:
    """Be the one gateway of a data directory, whatever processes it has. Raises DirectoryInUse."""
    try:
        descriptor = REAL_FILES.lock(data_dir / SERVE_LOCK_FILE)
    except BlockingIOError as error:
        raise DirectoryInUse(
            f"{data_dir} is written by another process: stop it, or use another --data-dir"
        ) from error
    try:
        yield
    finally:
        REAL_FILES.close(descriptor)


class StartLock:
    """Take it, then release it, or leave the block."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / START_LOCK_FILE
        self._descriptor: int | None = None

    def __enter__(self) -> "StartLock":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    async def take(self) -> None:
        """Wait for our turn; a process that dies gives up its own."""
        if self._descriptor is None:
            self._descriptor = await wait_for_lock(self._path)

    def release(self) -> None:
        if self._descriptor is not None:
            REAL_FILES.close(self._descriptor)
            self._descriptor = None
