"""What the stand-in records of a client's traffic is what the client sent and got: later comparisons rest on it."""

import hashlib
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.clients.programs import find_kubectls
from tests.clients.rig import DEADLINE_S, ClientRig
from tests.clients.targets import Target

pytestmark = [
    pytest.mark.clients,
    pytest.mark.slow,
    pytest.mark.skipif(not find_kubectls(), reason="no kubectl here: run tests/clients/install"),
]


def _find(target: Target, part: str) -> dict[str, Any]:
    """The last recorded request whose target has `part` in it; it is written when the request is over."""
    assert target.seen is not None
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        lines = [json.loads(line) for line in target.seen.read_bytes().splitlines()]
        if found := [line for line in lines if part in line["target"]]:
            return dict(found[-1])
    raise AssertionError(f"no request with {part} was recorded")


def _digest(data: bytes) -> dict[str, Any]:
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


@pytest.mark.parametrize("at", [0, -1], ids=["oldest", "newest"])
def test_channels_of_an_exec_are_recorded_byte_for_byte(
    make_rig: Callable[..., ClientRig], open_target: Callable[[str], Target], at: int
) -> None:
    rig = make_rig(find_kubectls()[at], "direct")
    sent = bytes(range(256)) * 400
    done = rig.run("exec", "-i", "web", "--", "sh", "-c", f"echo {rig.name('mark')} >&2; cat", stdin=sent)
    seen = _find(open_target("direct"), rig.name("mark"))
    channels = {one["channel"]: one for one in seen["channels"]}
    assert done.stdout == sent
    assert channels["stdin"]["received"] == _digest(sent)
    assert channels["stdout"]["sent"] == _digest(sent)
    assert channels["stderr"]["sent"] == _digest(f"{rig.name('mark')}\n".encode())
    assert (seen["status"], seen["complete"], seen["user"]) == (101, True, "admin")


def test_an_answer_is_recorded_as_the_client_got_it(
    make_rig: Callable[..., ClientRig], open_target: Callable[[str], Target]
) -> None:
    rig = make_rig(find_kubectls()[-1], "direct")
    got = rig.run("get", "--raw", f"/api/v1/namespaces/payments/pods/api?mark={rig.name('raw')}").stdout
    seen = _find(open_target("direct"), rig.name("raw"))
    assert seen["response_body"] == _digest(got)
    assert (seen["status"], seen["method"], seen["complete"]) == (200, "GET", True)
