"""A gateway that enforces a policy in front of a stand-in, as processes of their own, and somebody who decides holds.

The person who decides writes votes into the shared state, as another process of the same host may: what reads them is
the gateway under test, and kubectl is at its other end.
"""

import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from gateway.record_opening import gateway_id
from gateway.state.claims import unique_key
from gateway.state.entries import AnyEntry, HoldRequested, HoldVoted, Reinstated, Revoked, Voter
from gateway.state.signing import Seal, open_seal
from gateway.state.sqlite import SqliteStore
from tests.clients.targets import ROOT, run_standin
from tests.clients.through_gateway import STOP_S, wait_for_kubeconfig

DECIDE_S = 30.0
LOOK_S = 0.02


class PolicyTarget(msgspec.Struct, frozen=True):
    """A running gateway: where kubectl finds it, where its data is, and the URL of its metrics."""

    kubeconfig: Path
    data_dir: Path
    metrics: str

    @property
    def user(self) -> str:
        """The name of its first user."""
        return (self.data_dir / "tokens.csv").read_text().split(",")[1].strip('"')

    def wait_for_streams(self, count: int) -> None:
        """Until so many watches, shells and forwards run through it."""
        deadline_s = time.monotonic() + DECIDE_S
        while True:
            with urllib.request.urlopen(self.metrics, timeout=DECIDE_S) as answer:
                text = answer.read().decode()
            if (found := re.search(r"^kubetape_streams_active (\d+)", text, re.M)) and int(found[1]) >= count:
                return
            assert time.monotonic() < deadline_s, text
            time.sleep(LOOK_S)


@contextmanager
def run_policy_gateway(directory: Path, policy: str, *standin_options: str) -> Iterator[PolicyTarget]:
    """A stand-in and a gateway with one policy file in front of it, until the block ends."""
    with run_standin(directory / "upstream", *standin_options) as upstream:
        policies, data_dir = directory / "policies", directory / "data"
        policies.mkdir()
        (policies / "p.yaml").write_text(policy)
        command = [sys.executable, "-m", "gateway.cli", "serve", "--data-dir", str(data_dir)]
        command += ["--upstream-kubeconfig", str(upstream.kubeconfig), "--policy", str(policies)]
        command += [
            "--listen",
            "127.0.0.1:0",
            "--mgmt-listen",
            "127.0.0.1:0",
            "--console-listen",
            "127.0.0.1:0",
        ]
        errors = directory / "gateway.stderr"
        with errors.open("wb") as stderr, subprocess.Popen(command, cwd=ROOT, stderr=stderr) as process:
            try:
                kubeconfig = wait_for_kubeconfig(data_dir / "kubeconfig", process, errors)
                yield PolicyTarget(kubeconfig, data_dir, _metrics_url(errors))
                assert process.poll() is None, f"the gateway died: {errors.read_text()}"
            finally:
                process.terminate()
                code = process.wait(STOP_S)
        assert code == 0, f"the gateway did not end well ({code}): {errors.read_text()}"
        assert [line for line in errors.read_text().splitlines() if '"level":"error"' in line] == []


def _metrics_url(errors: Path) -> str:
    """Where the gateway said it tells how it is."""
    deadline_s = time.monotonic() + DECIDE_S
    while (found := re.search(r"http://127\.0\.0\.1:\d+", errors.read_text())) is None:
        assert time.monotonic() < deadline_s, errors.read_text()
        time.sleep(LOOK_S)
    return f"{found[0]}/metrics"


class Decider:
    """Bob, who may decide what the policy leaves to `group sre`. What was asked before is none of his business."""

    def __init__(self, target: PolicyTarget) -> None:
        self._store = SqliteStore(target.data_dir)
        self._seal: Seal = open_seal(target.data_dir, gateway_id(target.data_dir), "cluster")
        self._seen: set[str] = set()

    def __enter__(self) -> "Decider":
        self._seen.update(request.id for request in self.requests())
        return self

    def __exit__(self, *_: object) -> None:
        self._store.close()

    def requests(self) -> list[HoldRequested]:
        """Every hold there ever was, in order."""
        entries = [self._seal.open(stored) for stored in self._store.read_after(0, 10_000)]
        return [entry for entry in entries if isinstance(entry, HoldRequested)]

    def next_request(self) -> HoldRequested:
        """Wait for a hold that this has not returned yet."""
        deadline_s = time.monotonic() + DECIDE_S
        while True:
            for request in self.requests():
                if request.id not in self._seen:
                    self._seen.add(request.id)
                    return request
            assert time.monotonic() < deadline_s, "nobody asked for an approval"
            time.sleep(LOOK_S)

    def approve(self, request: HoldRequested, *, for_s: int = 60) -> None:
        self._write(HoldVoted(time.time_ns(), request.id, True, Voter("bob", ("sre",)), for_s=for_s))

    def deny(self, request: HoldRequested, note: str) -> None:
        self._write(HoldVoted(time.time_ns(), request.id, False, Voter("bob", ("sre",)), note))

    def revoke(self, kind: str, subject: str, reason: str) -> str:
        """Returns the id of the revocation."""
        entry = Revoked(time.time_ns(), f"r-{time.time_ns()}", kind, subject, "bob", reason)
        self._write(entry)
        return entry.id

    def reinstate(self, revocation: str) -> None:
        self._write(Reinstated(time.time_ns(), revocation, "bob", "it was found"))

    def _write(self, entry: AnyEntry) -> None:
        self._store.append(*self._seal.close(entry), unique=unique_key(entry))
