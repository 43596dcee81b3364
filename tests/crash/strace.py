"""I/O errors in a running process, by strace's syscall injection: the kernel is never asked, EIO comes back.

https://man7.org/linux/man-pages/man1/strace.1.html, "Tampering". The count of `when` is per thread.
"""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

ATTACH_S: Final = 10.0
_INJECTED: Final = re.compile(r"^\d+ +(\d+)\.(\d{6}) (\w+)\(.*\(INJECTED\)$", re.MULTILINE)
_INSTALL: Final = ["apt-get", "install", "-y", "--no-install-recommends", "strace"]


def need_strace() -> None:
    """Skip the test, with the reason, where strace cannot be had or may not attach."""
    if shutil.which("strace") is None:
        if os.geteuid() != 0 or shutil.which("apt-get") is None:
            pytest.skip("strace is not installed, and only root can install it")
        installed = subprocess.run(_INSTALL, capture_output=True, check=False, timeout=120)
        if installed.returncode:
            pytest.skip(f"strace cannot be installed: {installed.stderr.decode().strip()[-200:]}")
    tried = subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, check=False)
    if tried.returncode:
        pytest.skip(f"strace may not trace here: {tried.stderr.decode().strip()}")


class Injection:
    """output: what strace wrote."""

    def __init__(self, output: Path) -> None:
        self._output = output

    def injected_ns(self) -> int:
        """When the first error was injected (UTC nanoseconds), 0 if none was yet."""
        found = _INJECTED.search(self._output.read_text())
        return int(found[1]) * 10**9 + int(found[2]) * 1000 if found else 0


@contextmanager
def inject(pid: int, calls: str, error: str, when: str, output: Path) -> Iterator[Injection]:
    """Attach to all threads of a process. calls: names of system calls, separated by commas; when: "3" the
    third call of a thread, and only that; "3+" all from it on."""
    command = ["strace", "-f", "-ttt", "-p", str(pid), "-o", str(output), "-e", f"trace={calls}"]
    command += ["-e", f"inject={calls}:error={error}:when={when}"]
    errors = output.with_suffix(".err")
    with errors.open("wb") as stderr:
        strace = subprocess.Popen(command, stderr=stderr)
    try:
        give_up_s = time.monotonic() + ATTACH_S
        while "attached" not in errors.read_text() and time.monotonic() < give_up_s:
            time.sleep(0.01)
        assert "attached" in errors.read_text(), errors.read_text()
        yield Injection(output)
    finally:
        strace.send_signal(signal.SIGINT)
        strace.wait(ATTACH_S)
