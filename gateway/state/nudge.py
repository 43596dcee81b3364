"""Telling the other processes of a host that there is something new: one empty datagram each. Blocking, in threads.

Every listener leaves an empty file in `nudge/` of the data directory, whose name is its address; whoever appends sends
to all of them. A nudge says nothing but "look now", so one that is lost, late or forged costs 200 ms or one look:
so often the listening thread looks at the file itself, which takes a hundredth of waking the event loop for it.
The sockets themselves are in Linux' abstract namespace (unix(7)): a data directory that is copied while it is used, or
after a kill, holds nothing but files. Processes in other network namespaces do not hear each other: they poll.
"""

import hashlib
import os
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

DIRECTORY: Final = "nudge"
POLL_S: Final = 0.2
MAX_LISTENERS: Final = 256
"""More than one host runs; leftovers of killed processes are removed by whoever nudges them."""


class NudgeSocket:
    """One listener and its thread, from construction to `close`. Without a socket there is polling: never an error.

    callback: called for every nudge, and every POLL_S that `may_be_news` (asked in the thread) says so.
    """

    def __init__(
        self, data_dir: Path, callback: Callable[[], None], may_be_news: Callable[[], bool] = lambda: False
    ) -> None:
        self._path = data_dir / DIRECTORY / f"{os.getpid()}-{secrets.token_hex(4)}"
        self._callback, self._may_be_news = callback, may_be_news
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._token = secrets.token_bytes(16)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="state-nudge", daemon=True)
        with suppress(OSError):
            self._path.parent.mkdir(mode=0o700, exist_ok=True)
            self._socket.bind(address_of(data_dir, self._path.name))
            self._path.touch(mode=0o600)
            self._socket.settimeout(POLL_S)
            self._thread.start()

    @property
    def is_listening(self) -> bool:
        return self._thread.is_alive()

    def close(self) -> None:
        self._closing.set()
        if self._thread.is_alive():
            with suppress(OSError), _sender() as sender:
                sender.sendto(self._token, self._socket.getsockname())
            self._thread.join(timeout=1.0)
        with suppress(OSError):
            self._path.unlink()
        self._socket.close()

    def _listen(self) -> None:
        """Who listens relies on being told: a socket that fails is no reason to stop, only to look all the time."""
        while not self._closing.is_set():
            try:
                if self._socket.recv(len(self._token)) == self._token:
                    return
            except TimeoutError:
                if not self._may_be_news():
                    continue
            except OSError:
                self._closing.wait(POLL_S)
            if not self._closing.is_set():
                self._callback()


def nudge_all(data_dir: Path) -> None:
    """Wake every listener. Never fails and never waits: a full queue means that one is on its way already."""
    with suppress(OSError), _sender() as sender:
        for name in os.listdir(data_dir / DIRECTORY)[:MAX_LISTENERS]:
            try:
                sender.sendto(b"", address_of(data_dir, name))
            except ConnectionRefusedError:  # its process is gone
                with suppress(OSError):
                    (data_dir / DIRECTORY / name).unlink()
            except OSError:
                continue


def address_of(data_dir: Path, name: str) -> bytes:
    """The abstract address of one listener: of this data directory, however deep it lies."""
    directory = hashlib.sha256(os.fsencode(data_dir.resolve())).hexdigest()[:32]
    return b"\0kubetape-nudge/" + directory.encode() + b"/" + os.fsencode(name)[:32]


@contextmanager
def _sender() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        yield sender
