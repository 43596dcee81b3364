"""Telling the other processes of a host that there is something new: one empty datagram each. Blocking, in threads.

Every listener has a Unix socket in `nudge/` of the data directory; whoever appends sends to all of them. A nudge says
nothing but "look now", so one that is lost, late or forged costs 200 ms or one look. Paths go through
/proc/self/fd, because a socket's path may have 107 bytes only and data directories may be deeper (unix(7)).
"""

import os
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

DIRECTORY: Final = "nudge"
MAX_LISTENERS: Final = 256
"""More than one host runs; leftovers of killed processes are removed by whoever nudges them."""


class NudgeSocket:
    """One listener and its thread, from construction to `close`. Without a socket there is polling: never an error."""

    def __init__(self, data_dir: Path, callback: Callable[[], None]) -> None:
        self._path = data_dir / DIRECTORY / f"{os.getpid()}-{secrets.token_hex(4)}"
        self._callback = callback
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._token = secrets.token_bytes(16)
        self._thread = threading.Thread(target=self._listen, name="state-nudge", daemon=True)
        with suppress(OSError):
            self._path.parent.mkdir(mode=0o700, exist_ok=True)
            with _reachable(self._path.parent) as directory:
                self._socket.bind(f"{directory}/{self._path.name}")
            self._thread.start()

    def close(self) -> None:
        if self._thread.is_alive():
            with suppress(OSError), _reachable(self._path.parent) as directory, _sender() as sender:
                sender.sendto(self._token, f"{directory}/{self._path.name}")
            self._thread.join(timeout=1.0)
        with suppress(OSError):
            self._path.unlink()
        self._socket.close()

    def _listen(self) -> None:
        with suppress(OSError):
            while self._socket.recv(len(self._token)) != self._token:
                self._callback()


def nudge_all(data_dir: Path) -> None:
    """Wake every listener. Never fails and never waits: a full queue means that one is on its way already."""
    with suppress(OSError), _reachable(data_dir / DIRECTORY) as directory, _sender() as sender:
        for name in os.listdir(directory)[:MAX_LISTENERS]:
            try:
                sender.sendto(b"", f"{directory}/{name}")
            except ConnectionRefusedError:  # its process is gone
                with suppress(OSError):
                    os.unlink(f"{directory}/{name}")
            except OSError:
                continue


@contextmanager
def _reachable(directory: Path) -> Iterator[str]:
    """A short path of the directory."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{fd}"
    finally:
        os.close(fd)


@contextmanager
def _sender() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        yield sender
