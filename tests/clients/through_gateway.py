"""The same servers behind a gateway; afterwards, what was recorded is compared with what the server saw.

Same bytes, nothing missing, nothing extra: for every request the stand-in saw there is one exchange with
the same method, target, headers, bodies and channels, and for every call the gateway says it forwarded
there is a request. Where a client left in the middle, the shorter of the two may end earlier, never differ.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from protocol.events import Channel
from tests.clients.targets import ROOT, Target, run_standin
from tests.kit.tape_reading import Bytes, Recorded, read_exchanges

OURS_TO_WRITE = frozenset(("host", "authorization", "content-length", "transfer-encoding"))
"""Headers of the forwarded request that frame it or carry our credential: not in the record on purpose."""
START_S, STOP_S = 20.0, 15.0


@contextmanager
def run_gateway(directory: Path, *standin_options: str, name: str = "gateway") -> Iterator[Target]:
    """A stand-in and a gateway in front of it, until the block ends; then the comparison."""
    with run_standin(directory.parent / f"{directory.name}-upstream", *standin_options) as upstream:
        assert upstream.seen is not None
        command = [sys.executable, "-m", "gateway.cli", "serve", "--data-dir", str(directory)]
        command += ["--upstream-kubeconfig", str(upstream.kubeconfig)]
        command += [
            "--listen",
            "127.0.0.1:0",
            "--mgmt-listen",
            "127.0.0.1:0",
            "--console-listen",
            "127.0.0.1:0",
        ]
        errors = directory.parent / f"{directory.name}.stderr"
        with errors.open("wb") as stderr, subprocess.Popen(command, cwd=ROOT, stderr=stderr) as process:
            try:
                yield Target(
                    name, wait_for_kubeconfig(directory / "kubeconfig", process, errors), upstream.seen
                )
                assert process.poll() is None, f"the gateway died: {errors.read_text()}"
            finally:
                process.terminate()
                code = process.wait(STOP_S)
        assert code == 0, f"the gateway did not end well ({code}): {errors.read_text()}"
        complaints = [line for line in errors.read_text().splitlines() if '"level":"error"' in line]
        assert complaints == []
    compare(directory, upstream.seen)


def wait_for_kubeconfig(kubeconfig: Path, process: subprocess.Popen[bytes], errors: Path) -> Path:
    deadline = time.monotonic() + START_S
    while not kubeconfig.exists():
        assert process.poll() is None, f"the gateway did not start: {errors.read_text()}"
        assert time.monotonic() < deadline, (
            f"the gateway is not ready after {START_S} s: {errors.read_text()}"
        )
        time.sleep(0.05)
    return kubeconfig


def compare(data_dir: Path, seen_file: Path) -> int:
    """Compare the record with what the stand-in saw; returns how many requests there were."""
    exchanges = read_exchanges(data_dir)
    seen = [json.loads(line) for line in seen_file.read_bytes().splitlines()]
    met = set()
    for request in seen:
        audit_id = dict(request["headers"])["audit-id"]
        met.add(audit_id)
        assert audit_id in exchanges, f"the server saw a request that is not recorded: {request}"
        _compare_request(request, exchanges[audit_id])
    for audit_id, recorded in exchanges.items():
        assert recorded.outcomes == 1, f"{recorded.outcomes} outcomes of {recorded.intent}"
        if recorded.intent.upstream_target:
            assert audit_id in met, f"recorded as forwarded, never seen by the server: {recorded.intent}"
    assert len(seen) >= len(met) > 0
    return len(met)


def _compare_request(request: dict[str, Any], recorded: Recorded) -> None:
    intent = recorded.intent
    assert request["method"] == intent.method
    assert request["target"] == intent.upstream_target.decode("latin-1")
    sent = [pair for pair in request["headers"] if pair[0] not in OURS_TO_WRITE]
    assert sent == [
        [name.decode("latin-1"), value.decode("latin-1")] for name, value in intent.upstream_headers
    ]
    assert recorded.outcome is not None
    whole = recorded.outcome.result == "completed" and request["complete"]
    _compare_bytes(
        request["request_body"], recorded.request_body, whole, f"request body of {intent.target!r}"
    )
    if request["status"] and recorded.status:
        assert request["status"] == recorded.status
    if recorded.tunnel is None:
        _compare_bytes(
            request["response_body"], recorded.response_body, whole, f"answer to {intent.target!r}"
        )
        return
    for channel in request["channels"]:
        number = Channel[channel["channel"].upper()]
        for way, from_client in (("received", True), ("sent", False)):
            ours = recorded.channels.pop((number, channel["connection"], from_client), Bytes())
            what = f"{channel['channel']} {way} in {intent.target!r}"
            # A process may end with input unread: the server then saw less than it was sent.
            exactly = whole and (not from_client or channel[way]["bytes"] >= ours.length)
            _compare_bytes(channel[way], ours, exactly, what)
    # Input that was never read is the client's only; output that was never written would be invented.
    extra = {key: found.length for key, found in recorded.channels.items() if found.length and not key[2]}
    assert not (whole and extra), f"recorded on channels the server never saw: {extra} in {intent.target!r}"


def _compare_bytes(theirs: dict[str, Any], ours: Bytes, whole: bool, what: str) -> None:
    if whole or theirs["bytes"] == ours.length:
        assert (theirs["bytes"], theirs["sha256"]) == (ours.length, ours.sha256), what
