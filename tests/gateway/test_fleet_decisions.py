"""What people decide through the control process counts at every worker: holds, revocations, streams that run."""

import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import trio

from storage.records import Intent, StateChanged
from tests.gateway.test_fleet import end, in_thread
from tests.kit.fleets import Fleet, run_fleet
from tests.kit.raw_client import Response
from tests.kit.replica_clients import Person, Streams
from tests.kit.replicas import POLICY

pytestmark = pytest.mark.slow

DEADLINE_S = 90.0
USERS = ("ann", "eve")
MANY = 16
ROUNDS = 6
"""Held calls enough that both workers hold some."""
WATCH = "/api/v1/namespaces/default/pods?watch=true"
SHELL = (
    "/api/v1/namespaces/default/pods/web/exec?command=sh&command=-c&command=echo+ready%3B+sleep+600"
    "&stdout=true&stderr=true"
)


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with run_fleet(tmp_path, users=USERS, with_policy=True, patienceSeconds=40) as running:
        yield running


def target_of(mark: str) -> str:
    return f"/api/v1/namespaces/prod/configmaps?fieldManager={mark}"


def document_of(mark: str) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": mark}}


async def test_calls_held_at_any_worker_are_approved_through_the_control_process(fleet: Fleet) -> None:
    ann, bob = Person(fleet, fleet.tokens["ann"]), Person(fleet, fleet.tokens["bob"])
    answers: dict[str, Response] = {}

    async def create(mark: str) -> None:
        answers[mark] = await ann.call("POST", target_of(mark), document_of(mark))

    marks = [f"mark-{number}" for number in range(ROUNDS)]
    with trio.fail_after(DEADLINE_S):
        async with trio.open_nursery() as nursery:
            for mark in marks:
                nursery.start_soon(create, mark)
            for mark in marks:
                hold = await bob.hold(mark)
                await bob.asked(f"approvals/{hold['id']}/approve", {"note": "go on"}, 200)
        assert {mark: answer.status for mark, answer in answers.items()} == dict.fromkeys(marks, 201)
        records = await in_thread(partial(end, fleet))
    served = {log for log, of in records.items() if any(isinstance(r, Intent) for r in of)}
    decided = {
        log for log, of in records.items()
        if any(isinstance(r, StateChanged) and r.kind == "HoldVoted" for r in of)
    }  # fmt: skip
    assert decided == {"2"}, "the vote is in the log of the process that took it"
    assert served <= {"0", "1"}


async def test_who_is_revoked_is_cut_and_refused_at_every_worker(fleet: Fleet) -> None:
    eve, adm, streams = Person(fleet, fleet.tokens["eve"]), Person(fleet, fleet.tokens["adm"]), Streams()
    names = [str(number) for number in range(8)]
    with trio.fail_after(DEADLINE_S):
        async with trio.open_nursery() as nursery:
            for name in names:
                await streams.open(nursery, name, partial(eve.watch, WATCH))
            began_s = trio.current_time()
            await adm.asked("revocations", {"kind": "user", "subject": "eve", "reason": "left"}, 201)
            await streams.have_ended(*names)
            print(f"{len(names)} streams cut within {(trio.current_time() - began_s) * 1000:.0f} ms")
        assert [(await eve.call("GET", WATCH)).status for _ in names] == [403] * len(names)


async def test_a_changed_policy_is_in_force_at_every_worker(fleet: Fleet) -> None:
    ann = Person(fleet, fleet.tokens["ann"])
    pods = "/api/v1/namespaces/default/pods"
    assert [(await ann.call("GET", pods)).status for _ in range(MANY)] == [200] * MANY
    file = fleet.data_dir.parent / "policies" / "fleet.yaml"
    changed = file.with_suffix(".new")
    changed.write_text(POLICY.replace("groups: [devs]", "groups: [nobody]"))
    changed.rename(file)
    with trio.fail_after(DEADLINE_S):
        while [(await ann.call("GET", pods)).status for _ in range(MANY)] != [403] * MANY:
            await trio.sleep(0.1)


async def test_a_shell_is_told_when_its_worker_is_replaced(fleet: Fleet) -> None:
    ann, streams = Person(fleet, fleet.tokens["ann"]), Streams()
    with trio.fail_after(DEADLINE_S):
        async with trio.open_nursery() as nursery:
            for number in range(3):
                await streams.open(nursery, f"watch {number}", partial(ann.watch, WATCH))
            await streams.open(
                nursery,
                "shell",
                partial(ann.tunnel, "exec", "websocket", "v5.channel.k8s.io", SHELL),
            )
            fleet.signal(signal.SIGHUP)
            await streams.have_ended("shell")
            await in_thread(fleet.until_replaced)
            nursery.cancel_scope.cancel()
    assert b"kubetape restarts: connect again" in streams.heard["shell"]
