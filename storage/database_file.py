"""Making the empty file of an SQLite database, for its owner only, before SQLite opens it.

SQLite would make it readable by all whom the umask lets. The trap is what a process must never do with a file that
it has open as a database: open it once more by itself and close that. close(2) drops every lock the process has on
the file; another process may then take itself for the last one, and delete the write-ahead log that we still write
to. So a file that is there is not opened here. Source: sqlite.org/howtocorrupt.html, 2.2.
"""

import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

_MAKING: Final = threading.Lock()
"""Who finds the file made by another thread opens it at once: that thread must have closed it."""


def create_database_file(path: Path) -> None:
    """Make an empty file (0600) unless there is one. Raises OSError."""
    with _MAKING, suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
