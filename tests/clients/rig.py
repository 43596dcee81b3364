"""One kubectl pointed at one target: run it, keep it running, or give it a terminal.

Waits for what it expects with a deadline, never for a time. Every kubectl has a HOME of its own, for
kubectl keeps discovery on disk.
"""

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from tests.clients.programs import Kubectl

DEADLINE_S = 60.0


class Result(msgspec.Struct, frozen=True):
    """How a run ended. stdout: as bytes; text: the same, decoded."""

    code: int
    stdout: bytes
    stderr: str

    @property
    def text(self) -> str:
        return self.stdout.decode()


class ClientRig(msgspec.Struct, frozen=True):
    """kubectl x target. scratch: a directory of its own; environ: switches of kubectl."""

    kubectl: Kubectl
    kubeconfig: Path
    scratch: Path
    environ: dict[str, str] = {}

    def name(self, what: str) -> str:
        """An object name no other test uses."""
        return f"{what}-{zlib.crc32(str(self.scratch).encode()):08x}"

    def run(self, *arguments: str, stdin: bytes = b"", code: int | None = 0) -> Result:
        """Run to the end; fails unless it exits with `code` (None: any)."""
        done = subprocess.run(
            self._command(arguments),
            input=stdin,
            capture_output=True,
            env=self._environ(),
            timeout=DEADLINE_S,
            cwd=self.scratch,
        )
        result = Result(done.returncode, done.stdout, done.stderr.decode())
        assert code is None or result.code == code, (
            f"{arguments} exited with {result.code}: {result.stderr[-2000:]}"
        )
        return result

    @contextmanager
    def popen(self, *arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
        """Start it with stdout and stderr apart, for a caller that does something before it reads them."""
        pipe = subprocess.PIPE
        with subprocess.Popen(
            self._command(arguments), stdout=pipe, stderr=pipe, env=self._environ(), cwd=self.scratch
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    @contextmanager
    def start(self, *arguments: str) -> Iterator["Running"]:
        """Keep it running until the block ends; then it is ended."""
        read_end, write_end = os.pipe()
        with subprocess.Popen(
            self._command(arguments),
            stdin=subprocess.PIPE,
            stdout=write_end,
            stderr=write_end,
            env=self._environ(),
            cwd=self.scratch,
        ) as process:
            os.close(write_end)
            try:
                yield Running(process, read_end)
            finally:
                process.kill()
                os.close(read_end)

    @contextmanager
    def terminal(self, *arguments: str, columns: int, rows: int) -> Iterator["Terminal"]:
        """The same with a controlling terminal of a size."""
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        with subprocess.Popen(
            self._command(arguments),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=self._environ(),
            cwd=self.scratch,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        ) as process:
            os.close(theirs)
            try:
                yield Terminal(process, ours)
            finally:
                process.kill()
                os.close(ours)

    def _command(self, arguments: tuple[str, ...]) -> list[str]:
        return [str(self.kubectl.path), f"--kubeconfig={self.kubeconfig}", *arguments]

    def _environ(self) -> dict[str, str]:
        inherited = {
            key: value
            for key, value in os.environ.items()
            if key not in ("KUBECONFIG", "HTTPS_PROXY", "https_proxy")
        }
        return inherited | {"HOME": str(self.scratch)} | self.environ


class Running:
    """A kubectl under way. Its stdout and stderr are one stream."""

    def __init__(self, process: "subprocess.Popen[bytes]", descriptor: int) -> None:
        self.process, self._descriptor = process, descriptor
        self.output = b""

    def read_until(self, wanted: str, *, count: int = 1) -> str:
        """Read until `wanted` was seen `count` times since the last call; what came up to there."""
        deadline = time.monotonic() + DEADLINE_S
        while (end := _nth(self.output, wanted.encode(), count)) < 0:
            ready, _, _ = select.select([self._descriptor], [], [], max(0.0, deadline - time.monotonic()))
            piece = _read(self._descriptor) if ready else b""
            assert piece, f"{wanted!r} did not come; what came: {self.output[-2000:]!r}"
            self.output += piece
        found, self.output = self.output[:end], self.output[end:]
        return found.decode(errors="replace")

    def read_rest(self) -> str:
        """All that it still says until it ends."""
        while piece := _read(self._descriptor):
            self.output += piece
        found, self.output = self.output, b""
        return found.decode(errors="replace")

    def type(self, data: bytes) -> None:
        """Write to its stdin."""
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def wait(self) -> int:
        """Its exit code."""
        return self.process.wait(DEADLINE_S)


class Terminal(Running):
    """A kubectl at a terminal; `type` is typing."""

    def type(self, data: bytes) -> None:
        os.write(self._descriptor, data)

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def _nth(data: bytes, wanted: bytes, count: int) -> int:
    """The offset after the count-th occurrence, -1 if there are fewer."""
    end = 0
    for _ in range(count):
        at = data.find(wanted, end)
        if at < 0:
            return -1
        end = at + len(wanted)
    return end


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # a terminal whose other end closed says EIO
        return b""
