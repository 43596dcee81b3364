"""The real processes of a crash test: the gateway that suffers, and the API server that remembers.

The oracle is the stand-in API server: it is never killed, and writes one line for every request it saw. The
gateway is `kubetape serve` as a user starts it, on the same data directory again and again.
"""

import http.client
import json
import os
import re
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import yaml

from tests.kit.running import ROOT, environment

START_S: Final = 30.0
POLL_S: Final = 0.01
PROGRAM: Final = "gateway.cli"
_DATA_PORT: Final = re.compile(r" on port (\d+);")
_MANAGEMENT_PORT: Final = re.compile(r"^health: http://127\.0\.0\.1:(\d+)/", re.MULTILINE)


class Oracle:
    """The stand-in API server in a process of its own. Use it as a context manager."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._errors = (directory / "oracle.err").open("ab")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "gateway.demo.standin", "--port", "0", "--dir", str(directory)],
            stdout=subprocess.PIPE,
            stderr=self._errors,
            cwd=ROOT,
            env=environment(),
        )
        assert self._process.stdout is not None
        said = select.poll()  # select() knows no descriptor above 1023, and a whole run of the tests has more
        said.register(self._process.stdout, select.POLLIN)
        ready = said.poll(START_S * 1000)
        line = self._process.stdout.readline() if ready else b""
        assert line, f"the stand-in API server did not start, see {directory}/oracle.err"
        started = json.loads(line)
        self.kubeconfig = Path(started["kubeconfig"])
        self._seen = Path(started["seen"])

    def __enter__(self) -> "Oracle":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._errors.close()

    def requests(self) -> list[dict[str, Any]]:
        """Every request that has ended here, in that order."""
        *lines, _ = self._seen.read_bytes().split(b"\n")
        return [json.loads(line) for line in lines]

    def settle(self, quiet_s: float = 0.4) -> list[dict[str, Any]]:
        """The same, once no further request has ended for a while: those of a killed gateway break off."""
        size, since_s = -1, time.monotonic()
        while time.monotonic() - since_s < quiet_s:
            if self._seen.stat().st_size != size:
                size, since_s = self._seen.stat().st_size, time.monotonic()
            time.sleep(POLL_S)
        return self.requests()


class GatewayProcess:
    """`kubetape serve` on one data directory. errors: file its stderr is appended to.

    record: further keys of the section `record` of its configuration; more: further sections. program: the
    module that is run, one that ends as `gateway.cli` does; changes: to its environment; listen: the address of its
    clients. All may be set again between two lives.
    """

    def __init__(
        self,
        data_dir: Path,
        oracle: Oracle,
        errors: Path,
        *,
        segment_bytes: int = 1 << 20,
        durability: str = "balanced",
        drain_seconds: int = 1,
        record: dict[str, Any] | None = None,
        more: dict[str, Any] | None = None,
    ) -> None:
        self.data_dir = data_dir
        self.errors = errors
        self.program = PROGRAM
        self.changes: dict[str, str] = {}
        self.listen = "127.0.0.1:0"
        self._config = errors.with_suffix(".yaml")
        self._config.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "kubetape/v1",
                    "drainSeconds": drain_seconds,
                    "record": {"segmentBytes": segment_bytes, "durability": durability} | (record or {}),
                }
                | (more or {})
            )
        )
        self._kubeconfig_of_cluster = oracle.kubeconfig
        self._process: subprocess.Popen[bytes] | None = None
        self._said_before = 0
        self.port = self.management_port = 0

    @property
    def log(self) -> Path:
        return self.data_dir / "log" / "0"

    @property
    def kubeconfig(self) -> Path:
        return self.data_dir / "kubeconfig"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    # --- life ---------------------------------------------------------------------------------------

    def spawn(self) -> None:
        """Start it, and do not wait."""
        with self.errors.open("ab") as errors:
            self._said_before = errors.seek(0, os.SEEK_END)
            command = [sys.executable, "-m", self.program, "serve", "--config", str(self._config)]
            command += ["--upstream-kubeconfig", str(self._kubeconfig_of_cluster)]
            command += ["--data-dir", str(self.data_dir)]
            command += [
                "--listen",
                self.listen,
                "--mgmt-listen",
                "127.0.0.1:0",
                "--console-listen",
                "127.0.0.1:0",
            ]
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stderr=errors,
                cwd=ROOT,
                env=environment(**self.changes),
            )

    def start(self) -> None:
        """Start it and wait until it says where it listens."""
        assert self.start_or_die(), f"the gateway ended with code {self.poll()}: {self.said()}"

    def start_or_die(self) -> bool:
        """Start it and wait until it says where it listens; False if it ended before."""
        self.spawn()
        return self.wait_ready()

    def wait_ready(self) -> bool:
        """Until it says where it listens; False if it ended before."""
        give_up_s = time.monotonic() + START_S
        while time.monotonic() < give_up_s:
            said = self.said()
            data, management = _DATA_PORT.search(said), _MANAGEMENT_PORT.search(said)
            if data and management:
                self.port, self.management_port = int(data[1]), int(management[1])
                return True
            if self.poll() is not None:
                return False
            time.sleep(POLL_S)
        raise AssertionError(f"the gateway was not ready within {START_S:.0f} s: {self.said()}")

    def poll(self) -> int | None:
        assert self._process is not None
        return self._process.poll()

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and wait for the end. What is dead already stays dead."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def wait(self, timeout_s: float) -> int:
        assert self._process is not None
        return self._process.wait(timeout_s)

    def keeper_pids(self) -> list[int]:
        """Its child processes: today the indexing one."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        return [int(pid) for pid in children.read_text().split()]

    # --- what it says -------------------------------------------------------------------------------

    def said(self) -> str:
        """Its stderr since the last start."""
        with self.errors.open("rb") as errors:
            errors.seek(self._said_before)
            return errors.read().decode("utf-8", "replace")

    def journal(self, event: str) -> list[dict[str, Any]]:
        """The lines of its journal about one event, since the last start."""
        lines = [line for line in self.said().splitlines() if line.startswith("{") and line.endswith("}")]
        return [entry for entry in map(json.loads, lines) if entry["event"] == event]

    def readyz(self) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.management_port, timeout=10)
        try:
            connection.request("GET", "/readyz?verbose")
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()


def is_running(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def eventually(condition: Callable[[], object], within_s: float, what: str) -> float:
    """Wait until condition() is true; returns the seconds it took. Fails with `what`."""
    began_s = time.monotonic()
    while time.monotonic() - began_s < within_s:
        if condition():
            return time.monotonic() - began_s
        time.sleep(POLL_S)
    raise AssertionError(f"not within {within_s} s: {what}")


def run_threads(threads: list[threading.Thread], timeout_s: float) -> None:
    """Join them all, or fail."""
    give_up_s = time.monotonic() + timeout_s
    for thread in threads:
        thread.join(max(give_up_s - time.monotonic(), 0.0))
        assert not thread.is_alive(), f"client {thread.name} hangs"
