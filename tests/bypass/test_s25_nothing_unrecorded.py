"""S25: records lost while the call went on (kubernetes#61280, fail-open recording elsewhere): nothing goes up or
down before what tells of it is as durable as it must be, and once the log has failed nothing goes at all.

In this process only; kill -9, full disks, slow and failing syncs of whole processes are in tests/crash.
"""

import ast
import errno
from functools import partial
from pathlib import Path

import trio

from gateway.recorder import MAX_LAG_S
from tests.bypass.attack import NOTHING_MORE_S, attack, recorded
from tests.bypass.shells import EXEC, V5, carries_all, message, talk
from tests.kit.blocked_files import BlockedFiles
from tests.kit.faulty_files import FailingFiles
from tests.kit.gateway_rig import Rig
from tests.kit.orc import OrcConnection, Script, SeenRequest, answer
from tests.kit.tunnel_ends import switching, websocket_fields

PODS = b"/api/v1/namespaces/default/pods"
SECRETS = b"/api/v1/namespaces/default/secrets/s"
WAITING = [(b"POST", PODS), (b"DELETE", PODS + b"/p"), (b"GET", SECRETS), (b"GET", PODS + b"/p/proxy/")]
"""Class 1: the cluster must not have heard of them before the disk has."""


async def until_a_sync_stands_still(files: BlockedFiles) -> None:
    while not files.waiting.is_set():
        await trio.sleep(0.002)
    await trio.sleep(NOTHING_MORE_S)


@attack(files=BlockedFiles)
async def change_something_while_the_disk_stands_still(rig: Rig) -> None:
    assert isinstance(rig.files, BlockedFiles)
    for method, target in WAITING:
        seen = len(rig.orc.requests)
        async with rig.client() as client:
            try:
                rig.files.block()
                await client.send(rig.request(method, target))
                with trio.move_on_after(1):
                    await until_a_sync_stands_still(rig.files)
                assert len(rig.orc.requests) == seen, "the cluster was asked before the disk had the record"
            finally:
                rig.files.release()
            assert (await client.response()).status == 200
    await recorded(rig)


@attack(files=BlockedFiles)
async def read_while_the_disk_stands_still(rig: Rig) -> None:
    assert isinstance(rig.files, BlockedFiles)
    async with rig.client() as client:
        try:
            rig.files.block()
            await client.send(rig.request(b"GET", PODS))
            await rig.orc.wait(lambda: rig.orc.requests)
            await until_a_sync_stands_still(rig.files)
            got = b""
            with trio.move_on_after(NOTHING_MORE_S):
                got = await client.more()
            assert got == b"", "an answer went down before the disk had the record of who asked"
        finally:
            rig.files.release()
        assert (await client.response()).status == 200
    await recorded(rig)


BLOCKING: list[BlockedFiles] = []


def blocks_before_its_answer() -> Script:
    async def script(connection: OrcConnection, request: SeenRequest) -> None:
        BLOCKING[-1].block()
        await connection.send(answer(201, b"done"))

    return script


@attack(files=BlockedFiles, script=blocks_before_its_answer)
async def be_told_of_a_change_that_may_be_lost(rig: Rig) -> None:
    assert isinstance(rig.files, BlockedFiles)
    BLOCKING.append(rig.files)
    async with rig.client() as client:
        try:
            await client.send(rig.request(b"POST", PODS, body=b"{}"))
            await until_a_sync_stands_still(rig.files)
            got = b""
            with trio.move_on_after(NOTHING_MORE_S):
                got = await client.more()
            assert not got.endswith(b"done"), "a client was told of a change whose record may be lost"
        finally:
            rig.files.release()
        assert (await client.response()).status == 201
    await recorded(rig)


@attack(files=partial(FailingFiles, only="sync_data"))
async def go_on_once_the_log_has_failed(rig: Rig) -> None:
    assert isinstance(rig.files, FailingFiles)
    assert (await rig.ask(b"GET", PODS)).status == 200
    rig.files._fail_at = rig.files._counted + 1
    assert (await rig.ask(b"POST", PODS, body=b"{}")).status == 503, "a call went on without a record"
    await trio.sleep(NOTHING_MORE_S)
    before = rig.orc.received_bytes
    for method, target, fields in (
        (b"GET", PODS, ()),
        (b"POST", PODS, ()),
        (b"GET", SECRETS, ()),
        (b"GET", EXEC, websocket_fields(V5)),
    ):
        response = await rig.ask(method, target, *fields)
        assert response.status == 503, "a call went on without a record"
        assert b"cannot record" in response.body
    assert rig.orc.received_bytes == before, "the cluster was asked without a record"


@attack(files=partial(FailingFiles, only="sync_data"), script=carries_all)
async def open_a_shell_once_the_log_has_failed(rig: Rig) -> None:
    assert isinstance(rig.files, FailingFiles)
    rig.files._fail_at = rig.files._counted + 1
    async with rig.client() as client:
        await client.send(rig.request(b"GET", EXEC, *websocket_fields(V5)))
        status = (await client.head()).status
        channels = await talk(client) if status == 101 else {}
    assert b"from the shell" not in channels.values(), "a shell was shown without a record"
    assert rig.orc.requests == [], "the cluster was asked without a record"
    assert status == 503


LARGE = 64 * 1024


@attack(files=partial(FailingFiles, only="sync_data"))
async def go_on_with_a_large_body_once_the_log_has_failed(rig: Rig) -> None:
    assert isinstance(rig.files, FailingFiles)
    async with rig.client() as client:
        await client.send(rig.request(b"POST", PODS, b"Content-Length: %d" % (4 * LARGE)) + bytes(LARGE))
        await rig.orc.wait(lambda: rig.orc.received_bytes > LARGE)
        await client.send(b"held until the next ones come")
        await trio.sleep(NOTHING_MORE_S)
        rig.files._fail_at = rig.files._counted + 1
        assert (await rig.ask(b"POST", PODS, body=b"{}")).status == 503
        await rig.gateway.recorder.failed.wait()
        before = rig.orc.received_bytes
        await client.send(bytes(LARGE))
        assert (await client.response()).status in (500, 503)
        assert rig.orc.received_bytes == before, "the cluster got what a failed log may have lost"


class SlowThenFailing(BlockedFiles):
    """Syncs that stand still, and fail when they go on."""

    failing = False

    def sync_data(self, fd: int) -> None:
        super().sync_data(fd)
        if self.failing:
            raise OSError(errno.EIO, "injected")


LOST = b"shown while the log was failing"


def shows_while_the_log_fails() -> Script:
    async def script(connection: OrcConnection, request: SeenRequest) -> None:
        connection.raw = True
        await connection.send(switching(request, V5))
        await connection.receive()
        await connection.send(message(1, b"before", from_client=False))
        await trio.sleep(2 * MAX_LAG_S)
        await connection.send(message(1, LOST, from_client=False))
        while await connection.receive():
            pass

    return script


@attack(files=SlowThenFailing, script=shows_while_the_log_fails)
async def watch_a_shell_while_the_log_fails(rig: Rig) -> None:
    assert isinstance(rig.files, SlowThenFailing)
    async with rig.client() as client:
        try:
            await client.send(rig.request(b"GET", EXEC, *websocket_fields(V5)))
            assert (await client.head()).status == 101
            rig.files.block()
            await client.send(message(0, b"go"))
            with trio.move_on_after(4 * MAX_LAG_S):
                while LOST not in bytes(client._buffer):
                    client._buffer += await client.more()
            assert LOST not in client._buffer, "a shell goes on though the disk does not"
            rig.files.failing = True
        finally:
            rig.files.release()
        shown = (await talk(client)).get(1, b"")
    assert LOST not in shown, "a shell was shown what a failed log may have lost"


ELSEWHERE = {
    "tests/crash/test_kill_gateway.py": "kill -9",
    "tests/crash/test_kill_at_points.py": "kill -9 at every point of a write",
    "tests/crash/test_gateway_full_disk.py": "ENOSPC",
    "tests/crash/test_every_io_error.py": "EIO at every call",
    "tests/crash/test_power_cut.py": "a power cut",
    "tests/crash/test_s3_faults.py": "S3 down",
    "tests/crash/test_long_streams.py": "a crash in a long stream",
}


async def test_S25_nothing_changes_before_it_is_recorded(tmp_path: Path) -> None:
    await change_something_while_the_disk_stands_still.against(tmp_path)


async def test_S25_nothing_is_read_before_it_is_recorded(tmp_path: Path) -> None:
    await read_while_the_disk_stands_still.against(tmp_path)


async def test_S25_nobody_is_told_of_a_change_whose_record_may_be_lost(tmp_path: Path) -> None:
    await be_told_of_a_change_that_may_be_lost.against(tmp_path)


async def test_S25_once_the_log_has_failed_nothing_goes_on(tmp_path: Path) -> None:
    await go_on_once_the_log_has_failed.against(tmp_path)


async def test_S25_nor_does_a_shell(tmp_path: Path) -> None:
    await open_a_shell_once_the_log_has_failed.against(tmp_path)


async def test_S25_nor_does_a_large_body(tmp_path: Path) -> None:
    await go_on_with_a_large_body_once_the_log_has_failed.against(tmp_path)


async def test_S25_a_shell_shows_nothing_that_a_failed_log_may_have_lost(tmp_path: Path) -> None:
    await watch_a_shell_while_the_log_fails.against(tmp_path)


def test_S25_the_crash_tests_this_one_relies_on_are_there() -> None:
    root = Path(__file__).parents[2]
    for name in ELSEWHERE:
        tests = [
            node.name
            for node in ast.walk(ast.parse((root / name).read_text()))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
        ]
        assert tests, name
