"""A gateway of several processes, as a whole: who serves, what a death costs, how it is replaced, how it ends."""

import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from storage.encryption.hpke_key import generate_recipient
from storage.records import Intent, LogStarted, LogStopped, Outcome, SessionOpened
from tests.crash.clients import access_token
from tests.crash.processes import Oracle, eventually, is_running, run_threads
from tests.kit.fleets import KEEPER, Fleet, run_fleet
from tests.kit.replica_clients import Person, Streams
from tests.kit.running import ROOT, environment

pytestmark = pytest.mark.slow

POD = "/api/v1/namespaces/payments/pods/api"
WATCH = "/api/v1/namespaces/payments/pods?watch=true"
DEADLINE_S = 90.0
KUBECTL = shutil.which("kubectl")
MANY = 24
"""Connections enough that both workers get some (all to one: 1 in 8 million)."""


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with run_fleet(tmp_path) as running:
        yield running


def first_user(fleet: Fleet) -> Person:
    return Person(fleet, access_token(fleet.kubeconfig))


async def statuses(person: Person, count: int) -> list[int]:
    """Of so many calls, each on a connection of its own."""
    return [(await person.call("GET", POD)).status for _ in range(count)]


async def open_watches(streams: Streams, nursery: trio.Nursery, person: Person) -> None:
    """Eight, so that every worker has some; named "0" to "7"."""
    for number in range(8):
        await streams.open(nursery, str(number), partial(person.watch, WATCH))


async def in_thread(blocking: Any) -> Any:
    return await trio.to_thread.run_sync(blocking)


def end(fleet: Fleet) -> dict[str, list[object]]:
    """Let it end in order; the records it leaves."""
    fleet.signal(signal.SIGTERM)
    assert fleet.wait(60) == 0, fleet.said()
    return fleet.records()


def active(fleet: Fleet) -> bytes:
    """The metric of streams that run."""
    with urllib.request.urlopen(f"http://127.0.0.1:{fleet.management_port}/metrics", timeout=10) as answer:
        (line,) = re.findall(rb"^kubetape_streams_active.*$", answer.read(), re.MULTILINE)
    return bytes(line)


def found(fleet: Fleet, query: str) -> list[dict[str, Any]]:
    """What `sessions search` says, once the index has followed."""
    command = [sys.executable, "-m", "gateway.cli", "sessions", "search", query, "-o", "json"]
    done = subprocess.run(
        [*command, "--data-dir", str(fleet.data_dir)], capture_output=True, cwd=ROOT, env=environment()
    )
    return json.loads(done.stdout) if done.returncode == 0 else []


# --- who serves ----------------------------------------------------------------------------------------


async def test_connections_land_on_all_workers_and_one_credential_has_one_session(fleet: Fleet) -> None:
    with trio.fail_after(DEADLINE_S):
        assert await statuses(first_user(fleet), MANY) == [200] * MANY
        records = await in_thread(partial(end, fleet))
    intents = {log: [r for r in of if isinstance(r, Intent)] for log, of in records.items()}
    assert sum(map(len, intents.values())) == MANY
    assert sum(bool(of) for of in intents.values()) == 2, "both workers had some, the control process none"
    assert len({intent.session for of in intents.values() for intent in of}) == 1
    opened = [r for of in records.values() for r in of if isinstance(r, SessionOpened)]
    assert len(opened) == 1
    for of in records.values():
        assert isinstance(of[0], LogStarted)
        assert isinstance(of[-1], LogStopped)


async def test_a_revocation_through_the_management_api_ends_streams_on_every_worker(fleet: Fleet) -> None:
    person, streams = first_user(fleet), Streams()
    with trio.fail_after(DEADLINE_S):
        async with trio.open_nursery() as nursery:
            await open_watches(streams, nursery, person)
            _, me = await person.console("GET", "/api/v1/whoami")
            revocation = {"kind": "session", "subject": me["session"], "reason": "laptop stolen"}
            began_s = trio.current_time()
            await person.asked("revocations", revocation, 201)
            await streams.have_ended(*map(str, range(8)))
            took_s = max(streams.ended.values()) - began_s
            print(f"8 streams on 2 workers ended within {took_s * 1000:.0f} ms")
    assert all(b"laptop stolen" in heard for heard in streams.heard.values())
    assert took_s < DEADLINE_S / 3  # a tenth of a second in practice; a busy machine pauses


async def test_a_log_that_the_gateway_cannot_read_is_indexed_with_keys_that_its_workers_pass_on(
    tmp_path: Path,
) -> None:
    recipient = generate_recipient(tmp_path / "private.pem")
    record = {"encryption": {"hpkeRecipients": [recipient]}, "index": "full"}
    with run_fleet(tmp_path, record=record) as fleet:
        with trio.fail_after(DEADLINE_S):
            assert await statuses(first_user(fleet), MANY) == [200] * MANY
            logs: set[str] = set()
            while logs != {"0", "1"}:
                rows = await in_thread(partial(found, fleet, "name:api"))
                logs = {row["call"]["log"] for row in rows}


# --- deaths --------------------------------------------------------------------------------------------


async def test_a_killed_worker_costs_its_connections_and_refuses_nobody(fleet: Fleet) -> None:
    person, streams = first_user(fleet), Streams()
    victim = fleet.writer_of(0)
    with trio.fail_after(DEADLINE_S):
        async with trio.open_nursery() as nursery:
            await open_watches(streams, nursery, person)
            os.kill(victim, signal.SIGKILL)
            assert await statuses(person, MANY) == [200] * MANY  # some wait for the next worker
            nursery.cancel_scope.cancel()
        await in_thread(fleet.until_ready)
    assert 0 < len(streams.ended) < 8, "those of the other worker went on"
    assert is_running(victim) is False
    assert any("ended with code -9" in line["message"] for line in fleet.journal("process"))
    rows: list[dict[str, Any]] = []
    with trio.fail_after(DEADLINE_S):
        while len(rows) < len(streams.ended):
            rows = await in_thread(partial(found, fleet, "result:unknown"))
    assert all("the process that served it ended" in row["call"]["why"] for row in rows)
    records = await in_thread(partial(end, fleet))
    lost = {r.exchange for of in records.values() for r in of if isinstance(r, Intent)}
    lost -= {r.exchange for of in records.values() for r in of if isinstance(r, Outcome)}
    assert len(lost) == len(streams.ended)


async def test_a_dead_control_process_or_keeper_is_not_felt_by_clients(fleet: Fleet) -> None:
    person = first_user(fleet)
    eventually(lambda: fleet.children(KEEPER), 30, "a keeper")
    (keeper,) = fleet.children(KEEPER)
    control = fleet.writer_of(2)
    with trio.fail_after(DEADLINE_S):
        os.kill(control, signal.SIGKILL)
        os.kill(keeper, signal.SIGKILL)
        assert await statuses(person, 4) == [200] * 4
        assert (await person.console("GET", "/api/v1/approvals"))[0] == 200  # it waited for the next one
        await in_thread(lambda: eventually(lambda: fleet.children(KEEPER), 30, "another keeper"))
        await in_thread(fleet.until_ready)
    assert control not in fleet.children()


async def test_a_worker_that_hangs_is_replaced(fleet: Fleet) -> None:
    victim = fleet.writer_of(0)
    os.kill(victim, signal.SIGSTOP)
    with trio.fail_after(DEADLINE_S):
        assert await statuses(first_user(fleet), MANY) == [200] * MANY
    assert not is_running(victim)
    assert any("it is killed" in line["message"] for line in fleet.journal("process"))


async def test_without_their_supervisor_all_processes_end_and_the_next_start_goes_on(fleet: Fleet) -> None:
    person, streams = first_user(fleet), Streams()
    pids = fleet.children() + fleet.children(KEEPER)
    with trio.fail_after(DEADLINE_S):
        async with trio.open_nursery() as nursery:
            await streams.open(nursery, "watch", partial(person.watch, WATCH))
            fleet.kill()
            await streams.have_ended("watch")
            nursery.cancel_scope.cancel()
        assert b"kubetape ended unexpectedly" in streams.heard["watch"]
        fleet.listen = f"127.0.0.1:{fleet.port}"
        await in_thread(fleet.start)  # while the old ones still say goodbye, perhaps
        assert await statuses(first_user(fleet), 2) == [200, 200]
        await in_thread(lambda: eventually(lambda: not any(map(is_running, pids)), 30, "the old ones end"))


def test_a_directory_and_an_address_have_one_gateway(tmp_path: Path, fleet: Fleet) -> None:
    command = [sys.executable, "-m", "gateway.cli", "serve", "--mgmt-listen", "127.0.0.1:0", "--workers", "2"]
    command += ["--upstream-kubeconfig", str(tmp_path / "oracle" / "admin.kubeconfig")]
    for arguments, complaint in (
        (["--data-dir", str(fleet.data_dir), "--listen", "127.0.0.1:0"], b"is written by another process"),
        (["--data-dir", str(tmp_path / "other"), "--listen", f"127.0.0.1:{fleet.port}"], b"cannot listen on"),
    ):
        done = subprocess.run([*command, *arguments], capture_output=True, cwd=ROOT, env=environment())
        assert done.returncode == 1, done.stderr
        assert complaint in done.stderr
        assert b"Traceback" not in done.stderr


def test_what_no_process_can_start_with_is_said_once_and_ends_the_gateway(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("kind: Policy\n")
    with (
        pytest.raises(AssertionError, match="ended with code 3"),
        run_fleet(tmp_path, policy={"dir": str(tmp_path)}),
    ):
        pass
    said = (tmp_path / "errors").read_text()
    assert said.count("the policy cannot be used") == 1, said
    assert "Traceback" not in said


# --- replacing -----------------------------------------------------------------------------------------


@asynccontextmanager
async def calling(person: Person, results: list[int]) -> AsyncIterator[None]:
    """Fresh connections, one after the other, all the while."""
    over = False

    async def call() -> None:
        while not over:
            results.append((await person.call("GET", POD)).status)

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(call)
        yield
        over = True


async def test_a_rolling_restart_refuses_nobody_and_tells_streams(fleet: Fleet) -> None:
    person, streams, results = first_user(fleet), Streams(), list[int]()
    eventually(lambda: fleet.children(KEEPER), 30, "a keeper")
    before = {*fleet.children(), *fleet.children(KEEPER)}
    with trio.fail_after(DEADLINE_S):
        async with trio.open_nursery() as nursery:
            for number in range(4):
                await streams.open(nursery, str(number), partial(person.watch, WATCH))
            async with calling(person, results):
                fleet.signal(signal.SIGHUP)
                await streams.have_ended(*map(str, range(4)))
                await in_thread(fleet.until_replaced)
            nursery.cancel_scope.cancel()
    assert set(results) == {200}
    assert len(results) > 10
    assert all(b"kubetape restarts: connect again" in heard for heard in streams.heard.values())
    await in_thread(
        lambda: eventually(
            lambda: not before & {*fleet.children(), *fleet.children(KEEPER)}, 30, "all are others"
        )
    )
    records = await in_thread(partial(end, fleet))
    assert {r.result for of in records.values() for r in of if isinstance(r, Outcome)} == {"completed", "cut"}


@pytest.mark.skipif(KUBECTL is None, reason="there is no kubectl here")
async def test_people_who_decide_notice_nothing_of_a_rolling_restart(fleet: Fleet) -> None:
    person, statuses = first_user(fleet), list[int]()
    over = False

    async def ask() -> None:
        while not over:
            statuses.append((await person.console("GET", "/api/v1/whoami"))[0])

    with trio.fail_after(DEADLINE_S):
        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(ask)
            fleet.signal(signal.SIGHUP)
            await in_thread(fleet.until_replaced)
            over = True
    assert set(statuses) == {200}


async def test_kubectl_notices_nothing_of_a_rolling_restart_but_that_its_shell_ends(fleet: Fleet) -> None:
    """Whole runs, one after the other (HTTP/2, fresh connections); and one shell, which is told."""
    failures: list[str] = []
    count, over = 0, trio.Event()

    async def kubectl(*words: str) -> subprocess.CompletedProcess[bytes]:
        command = [str(KUBECTL), "--kubeconfig", str(fleet.kubeconfig), "-n", "payments", *words]
        home = environment(HOME=str(fleet.data_dir))
        return await trio.run_process(
            command, capture_stdout=True, capture_stderr=True, check=False, env=home
        )

    async def get() -> None:
        nonlocal count
        while not over.is_set():
            done = await kubectl("get", "pods")
            count += 1
            if done.returncode:
                failures.append(done.stderr.decode())

    async def shell() -> None:
        done = await kubectl("exec", "api", "--", "sh", "-c", "sleep 600")
        assert done.returncode != 0
        assert b"kubetape restarts: connect again" in done.stderr, done.stderr
        over.set()

    with trio.fail_after(DEADLINE_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(get)
            nursery.start_soon(get)
            nursery.start_soon(shell)
            await in_thread(lambda: eventually(lambda: b" 1.0" in active(fleet), 30, "the shell runs"))
            fleet.signal(signal.SIGHUP)
    assert failures == []
    assert count > 4


@pytest.mark.skipif(KUBECTL is None, reason="there is no kubectl here")
def test_a_go_client_that_keeps_its_connections_loses_no_call_in_a_rolling_restart(fleet: Fleet) -> None:
    """`kubectl proxy` keeps HTTP/2 connections and calls without pause: GOAWAY makes it open others, and nothing else."""
    command = [str(KUBECTL), "--kubeconfig", str(fleet.kubeconfig), "proxy", "--port=0"]
    proxy = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment(HOME=str(fleet.data_dir)))
    assert proxy.stdout is not None
    statuses: list[int] = []
    over = threading.Event()
    try:
        port = int(proxy.stdout.readline().rsplit(b":", 1)[1])

        def call() -> None:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            while not over.is_set():
                connection.request("GET", POD)
                answer = connection.getresponse()
                answer.read()
                statuses.append(answer.status)
            connection.close()

        threads = [threading.Thread(target=call) for _ in range(3)]
        for thread in threads:
            thread.start()
        fleet.signal(signal.SIGHUP)
        fleet.until_replaced()
        over.set()
        run_threads(threads, 30)
    finally:
        over.set()
        proxy.kill()
        proxy.communicate()
    assert set(statuses) == {200}
    assert len(statuses) > 10


async def test_one_process_says_that_it_cannot_be_replaced(tmp_path: Path) -> None:
    with run_fleet(tmp_path, workers=1) as alone:
        alone.signal(signal.SIGHUP)
        await in_thread(lambda: eventually(lambda: alone.journal("restart"), 30, "a word about it"))
        (line,) = alone.journal("restart")
        assert "--workers 2" in line["message"]
        assert await statuses(first_user(alone), 1) == [200]


# --- the end -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_load_balancer_gets_its_time_and_new_connections_are_served_to_the_end(
    tmp_path: Path, workers: int
) -> None:
    with run_fleet(tmp_path, workers=workers, listen={"shutdownDelaySeconds": 2}) as fleet:
        person, streams = first_user(fleet), Streams()
        with trio.fail_after(DEADLINE_S):
            async with trio.open_nursery() as nursery:
                for number in range(4):
                    await streams.open(nursery, str(number), partial(person.watch, WATCH))
                fleet.signal(signal.SIGTERM)
                await in_thread(lambda: eventually(lambda: fleet.readyz()[0] == 503, 10, "not ready"))
                answer = await person.call("GET", POD)
                assert (answer.status, answer.header(b"connection")) == (200, None), "as ever"
                assert not streams.ended
                closing = answer
                while closing.header(b"connection") is None:  # the drain begins
                    closing = await person.call("GET", POD)
                assert (closing.status, closing.header(b"connection")) == (200, b"close")
                await streams.have_ended(*map(str, range(4)))
                nursery.cancel_scope.cancel()
        assert all(b"kubetape is shutting down" in heard for heard in streams.heard.values())
        assert fleet.wait(60) == 0


async def test_a_worker_that_is_killed_in_the_drain_refuses_nobody_either(tmp_path: Path) -> None:
    """Its socket goes on taking connections: they wait for the next one, which answers and leaves with the others."""
    with run_fleet(tmp_path, drain_s=30) as fleet:
        person, streams = first_user(fleet), Streams()
        victim = fleet.writer_of(0)
        with trio.fail_after(DEADLINE_S):
            async with trio.open_nursery() as nursery:
                await open_watches(streams, nursery, person)
                fleet.signal(signal.SIGTERM)
                while (await person.call("GET", POD)).header(b"connection") is None:
                    pass  # the drain begins
                os.kill(victim, signal.SIGKILL)
                assert await statuses(person, MANY) == [200] * MANY
                assert 0 < len(streams.ended) < 8, "the drain goes on"
                nursery.cancel_scope.cancel()
        assert fleet.wait(60) == 0


async def test_a_service_manager_that_signals_every_process_at_once_gets_the_same_end(fleet: Fleet) -> None:
    person, streams = first_user(fleet), Streams()
    await in_thread(lambda: eventually(lambda: fleet.children(KEEPER), 30, "a keeper"))
    with trio.fail_after(DEADLINE_S):
        async with trio.open_nursery() as nursery:
            for number in range(4):
                await streams.open(nursery, str(number), partial(person.watch, WATCH))
            for pid in [*fleet.children(), *fleet.children(KEEPER), fleet.pid]:
                os.kill(pid, signal.SIGTERM)
            await streams.have_ended(*map(str, range(4)))
            nursery.cancel_scope.cancel()
    assert all(b"kubetape is shutting down" in heard for heard in streams.heard.values())
    assert fleet.wait(60) == 0
    assert not fleet.journal("process")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_before_anything_is_served_ends_it_whatever_its_processes_wait_for(
    tmp_path: Path, number: signal.Signals
) -> None:
    with Oracle(tmp_path / "oracle") as oracle:
        fleet = Fleet(tmp_path / "data", oracle, tmp_path / "errors", more={"workers": 2})
        fleet.spawn()
        eventually(lambda: len(fleet.children()) == 3, 60, "its processes")
        stopped = fleet.children()
        os.kill(stopped[0], signal.SIGSTOP)
        fleet.signal(number)
        assert fleet.wait(20) == 0, fleet.said()  # half a second on a machine that is not busy
        assert "guards" not in fleet.said()
        assert "Traceback" not in fleet.said()
        eventually(lambda: not any(map(is_running, stopped)), 20, "all of them end")
        fleet.start()
        fleet.signal(signal.SIGTERM)
        assert fleet.wait(60) == 0, fleet.said()


async def test_the_second_signal_does_not_wait(tmp_path: Path) -> None:
    with run_fleet(tmp_path, listen={"shutdownDelaySeconds": 600}) as fleet:
        fleet.signal(signal.SIGTERM)
        await in_thread(lambda: eventually(lambda: fleet.journal("draining"), 10, "the first is heard"))
        began_s = time.monotonic()
        fleet.signal(signal.SIGINT)
        fleet.wait(60)
        assert time.monotonic() - began_s < 30
        for of in fleet.records().values():
            assert isinstance(of[-1], LogStopped)
