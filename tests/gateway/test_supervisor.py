"""The real program in a process of its own: signals, drain, keeper, and what a restart finds."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trio
import yaml

from storage.records import LogStarted, LogStopped, Outcome
from tests.kit.gateway_rig import exchanges_of, read_log
from tests.kit.orc import CHUNKED, Orc, OrcConnection, SeenRequest, answer, chunk, open_orc
from tests.kit.raw_client import RawClient, client_context, open_client

PODS = b"/api/v1/pods"


@dataclass
class Program:
    process: subprocess.Popen[bytes]
    data_dir: Path
    port: int
    token: str
    errors: Path

    @asynccontextmanager
    async def client(self) -> AsyncIterator[RawClient]:
        async with open_client(self.port, client_context(self.data_dir / "tls" / "ca.crt")) as client:
            yield client

    def request(self, target: bytes) -> bytes:
        head = b"GET %b HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %b\r\n\r\n"
        return head % (target, self.token.encode())

    async def ended(self) -> int:
        await until(lambda: self.process.poll() is not None)
        return int(self.process.returncode)


async def until(condition: Callable[[], object]) -> None:
    with trio.fail_after(15):
        while not condition():
            await trio.sleep(0.01)


@asynccontextmanager
async def program(directory: Path, orc: Orc) -> AsyncIterator[Program]:
    data_dir, errors = directory / "data", directory / "stderr"
    kubeconfig = orc.write_kubeconfig(directory / "upstream.kubeconfig")
    (data_dir / "kubeconfig").unlink(missing_ok=True)
    (directory / "config.yaml").write_text("drainSeconds: 1\n")
    command = [sys.executable, "-m", "gateway.cli", "serve", "-c", str(directory / "config.yaml")]
    command += ["--upstream-kubeconfig", str(kubeconfig), "--data-dir", str(data_dir)]
    with errors.open("wb") as file:
        process = subprocess.Popen(  # noqa: ASYNC220 - it is to outlive a cancelled test's scope, for the kill
            [*command, "--listen", "127.0.0.1:0", "--mgmt-listen", "127.0.0.1:0"],
            stderr=file,
            stdin=subprocess.DEVNULL,
        )
    try:
        await until(lambda: (data_dir / "kubeconfig").exists() or process.poll() is not None)
        assert process.poll() is None, errors.read_text()
        written = yaml.safe_load((data_dir / "kubeconfig").read_text())
        port = int(written["clusters"][0]["cluster"]["server"].rpartition(":")[2])
        yield Program(process, data_dir, port, written["users"][0]["user"]["token"], errors)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def keepers_of(pid: int) -> list[int]:
    """The child processes that index."""
    tasks = Path(f"/proc/{pid}/task").iterdir()  # a child belongs to the thread that started it
    children = [child for task in tasks for child in (task / "children").read_text().split()]
    return [
        int(child) for child in children if b"gateway.keeper" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]


def alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


async def watch_or_answer(connection: OrcConnection, request: SeenRequest) -> None:
    if b"watch" in request.target:
        await connection.send(CHUNKED + chunk(b"event\n"))
        connection.raw = True
        await connection.receive()
    else:
        await connection.send(answer())


async def test_the_first_signal_drains_and_the_log_says_so(tmp_path: Path) -> None:
    async with (
        open_orc(watch_or_answer) as orc,
        program(tmp_path, orc) as gateway,
        gateway.client() as client,
    ):
        await client.send(gateway.request(PODS + b"?watch=1"))
        await client.head()
        await until(lambda: keepers_of(gateway.process.pid))
        (keeper,) = keepers_of(gateway.process.pid)
        gateway.process.send_signal(signal.SIGTERM)
        assert await gateway.ended() == 0
        assert not alive(keeper)
        records = read_log(gateway.data_dir)
        (exchange,) = exchanges_of(records)
        assert (exchange.outcome.result, exchange.outcome.why) == ("cut", "kubetape is shutting down")
        assert isinstance(records[-1], LogStopped)
        assert "SIGTERM" in gateway.errors.read_text()


async def test_the_second_signal_does_not_wait(tmp_path: Path) -> None:
    async def never(connection: OrcConnection, request: SeenRequest) -> None:
        connection.raw = True
        await connection.receive()

    async with open_orc(never) as orc, program(tmp_path, orc) as gateway, gateway.client() as client:
        await client.send(gateway.request(PODS))
        await orc.wait(lambda: orc.requests)
        gateway.process.send_signal(signal.SIGTERM)
        await until(lambda: "finishing what is under way" in gateway.errors.read_text())
        started = time.monotonic()
        gateway.process.send_signal(signal.SIGINT)
        await gateway.ended()
        assert time.monotonic() - started < 4
        (exchange,) = exchanges_of(read_log(gateway.data_dir))
        assert exchange.outcome.result == "cut"


async def test_killed_it_leaves_no_keeper_and_the_next_start_goes_on_with_the_same_token(
    tmp_path: Path,
) -> None:
    async with open_orc(watch_or_answer) as orc:
        async with program(tmp_path, orc) as gateway:
            async with gateway.client() as client:
                await client.ask(gateway.request(PODS))
                await client.send(gateway.request(PODS + b"?watch=1"))
                await client.head()
            await until(lambda: keepers_of(gateway.process.pid))
            (keeper,) = keepers_of(gateway.process.pid)
            os.kill(gateway.process.pid, signal.SIGKILL)
            await gateway.ended()
            await until(lambda: not alive(keeper))
        async with program(tmp_path, orc) as again, again.client() as client:
            assert (await client.ask(again.request(PODS))).status == 200
            again.process.send_signal(signal.SIGTERM)
            assert await again.ended() == 0
        records = read_log(tmp_path / "data")
        assert sum(isinstance(record, LogStarted) for record in records) == 2
        exchanges = exchanges_of(records)
        assert len(exchanges) == 3
        assert all(len(exchange.all(Outcome)) <= 1 and exchange.intent for exchange in exchanges)


async def test_the_keeper_indexes_and_is_started_again_when_it_dies(tmp_path: Path) -> None:
    async with (
        open_orc(watch_or_answer) as orc,
        program(tmp_path, orc) as gateway,
        gateway.client() as client,
    ):
        await until(lambda: keepers_of(gateway.process.pid))
        (first,) = keepers_of(gateway.process.pid)
        os.kill(first, signal.SIGKILL)
        await until(lambda: [pid for pid in keepers_of(gateway.process.pid) if pid != first])
        await client.ask(gateway.request(PODS + b"?labelSelector=findme"))
        search = [
            sys.executable,
            "-m",
            "gateway.cli",
            "sessions",
            "search",
            "findme",
            "--data-dir",
            str(gateway.data_dir),
        ]
        found = b""
        with trio.fail_after(15):
            while b"pods" not in found:
                done = await trio.run_process(search, capture_stdout=True, capture_stderr=True, check=False)
                found = done.stdout
        assert "started again" in gateway.errors.read_text()


async def test_two_gateways_cannot_share_a_directory(tmp_path: Path) -> None:
    async with open_orc() as orc, program(tmp_path, orc) as gateway:
        command = [
            sys.executable,
            "-m",
            "gateway.cli",
            "serve",
            "--upstream-kubeconfig",
            str(tmp_path / "upstream.kubeconfig"),
        ]
        command += [
            "--data-dir",
            str(gateway.data_dir),
            "--listen",
            "127.0.0.1:0",
            "--mgmt-listen",
            "127.0.0.1:0",
        ]
        done = await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False)
        assert done.returncode == 1
        assert b"another process" in done.stderr
        assert b"Traceback" not in done.stderr
