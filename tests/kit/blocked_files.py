"""A disk whose syncs stand still while a test looks who waits for them."""

import threading

from storage.files import RealFiles


class BlockedFiles(RealFiles):
    """Real files; between `block` and `release` no sync of data returns. Release before the log closes."""

    def __init__(self) -> None:
        self._free = threading.Event()
        self._free.set()
        self.waiting = threading.Event()  # a sync is standing still

    def block(self) -> None:
        self.waiting.clear()
        self._free.clear()

    def release(self) -> None:
        self._free.set()

    def sync_data(self, fd: int) -> None:
        if not self._free.is_set():
            self.waiting.set()
            self._free.wait(30)
        super().sync_data(fd)
