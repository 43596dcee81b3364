"""One gateway in trouble: its clients, what they see, and the comparison at the end."""

import calendar
import json
import random
import re
import threading
import time
from pathlib import Path
from typing import Any

from tests.crash.clients import Access, Client, call_once
from tests.crash.invariants import check, header
from tests.crash.ledger import ClientCall, Ledger
from tests.crash.processes import GatewayProcess, Oracle, run_threads
from tests.crash.recorded import LogContents, read_log


class Scene:
    """A gateway, clients that keep a ledger, and the oracle's view of them. `end` it."""

    def __init__(self, name: str, data_dir: Path, oracle: Oracle, errors: Path, **options: Any) -> None:
        self.name = re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip(
            "-"
        )  # also the beginning of objects' names
        self.gateway = GatewayProcess(data_dir, oracle, errors, **options)
        self.ledger = Ledger()
        self._oracle = oracle
        self._stop = threading.Event()
        self._clients: list[Client] = []
        self._count = 0

    @property
    def access(self) -> Access:
        return Access(self.gateway.kubeconfig, self.gateway.port)

    def load(self, *kinds: str, seed: int = 1) -> None:
        """Start one client of each kind."""
        rng, access = random.Random(seed), self.access
        for kind in kinds:
            self._count += 1
            name = f"{self.name}.{self._count}.{kind}"
            client = Client(kind, name, access, self.ledger, self._stop, rng.randrange(1 << 30))
            self._clients.append(client)
            client.start()

    def stop_load(self) -> None:
        self._stop.set()
        run_threads(list(self._clients), 60.0)
        self._clients.clear()
        self._stop = threading.Event()

    def call(self, method: str, target: str, durability: int = 2, sent: bytes = b"") -> ClientCall:
        """One call on a connection of its own; broken connections are in its `problem`."""
        self._count += 1
        call = ClientCall(f"{self.name}.{self._count}.one", "one", method, target, durability, sent)
        self.ledger.begin(call)
        connection = self.access.connect()
        try:
            call_once(connection, self.access, call)
        except OSError:
            pass  # in `problem`
        finally:
            connection.close()
        return call

    def seen(self) -> list[dict[str, Any]]:
        """What the API server saw of this scene."""
        return [
            request
            for request in self._oracle.settle()
            if header(request, "user-agent").startswith(self.name + ".")
        ]

    def seen_after(self, moment_ns: int) -> list[dict[str, Any]]:
        return [request for request in self.seen() if request["arrived_ns"] > moment_ns]

    def log(self) -> LogContents:
        return read_log(self.gateway.log)

    def faults(self) -> list[str]:
        """All invariants, now."""
        return check(self.ledger, self.seen(), self.log())

    def end(self) -> None:
        self._stop.set()
        self.gateway.kill()


def status_of(call: ClientCall) -> dict[str, Any]:
    """The Status a call was answered with."""
    status: dict[str, Any] = json.loads(bytes(call.received))
    assert status["kind"] == "Status", status
    return status


def journal_ns(entry: dict[str, Any]) -> int:
    """UTC nanoseconds of a line of the journal."""
    seconds, fraction = entry["ts"].rstrip("Z").split(".")
    return calendar.timegm(time.strptime(seconds, "%Y-%m-%dT%H:%M:%S")) * 10**9 + int(fraction.ljust(9, "0"))
