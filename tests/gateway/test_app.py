"""How a gateway starts, says how it is, and ends."""

from pathlib import Path

import msgspec
import pytest
import trio

from gateway.app import open_gateway
from gateway.config import BadConfig, Settings
from storage.records import LogStarted, LogStopped
from tests.kit.faulty_files import FailingFiles
from tests.kit.gateway_rig import Rig, open_rig, read_log, rig_settings
from tests.kit.orc import OrcConnection, SeenRequest, answer, open_orc

PODS = b"/api/v1/pods"


async def readyz(rig: Rig) -> bytes:
    async with await trio.open_tcp_stream("127.0.0.1", rig.gateway.management_port) as stream:
        await stream.send_all(b"GET /readyz?verbose HTTP/1.1\r\nHost: a\r\n\r\n")
        text = b""
        while data := await stream.receive_some(4096):
            text += data
    return text


async def test_a_running_gateway_is_ready_and_its_log_begins_and_ends(tmp_path: Path) -> None:
    async with open_rig(tmp_path) as rig:
        await rig.ask(b"GET", PODS)
        assert b"[+]recorder ok" in await readyz(rig)
        rig.gateway.start_drain()
        await rig.gateway.ended.wait()
    records = read_log(rig.gateway.data_dir)
    assert isinstance(records[0], LogStarted)
    assert records[0].upstream == f"https://127.0.0.1:{rig.orc.port}"
    assert isinstance(records[-1], LogStopped)


async def test_a_drain_lets_a_short_call_finish(tmp_path: Path) -> None:
    go_on = trio.Event()

    async def slow(connection: OrcConnection, request: SeenRequest) -> None:
        await go_on.wait()
        await connection.send(answer())

    async with open_rig(tmp_path, slow) as rig, rig.client() as client:
        await client.send(rig.request(b"GET", PODS))
        await rig.orc.wait(lambda: rig.orc.requests)
        rig.gateway.start_drain()
        go_on.set()
        response = await client.response()
        assert (response.status, response.header(b"connection")) == (200, b"close")
        await rig.gateway.ended.wait()
    assert rig.left()[0].outcome.result == "completed"


async def test_observe_mode_listens_on_loopback_only(tmp_path: Path) -> None:
    async with open_orc() as orc:
        settings = rig_settings(orc.write_kubeconfig(tmp_path / "k"), tmp_path / "data")
        listen = msgspec.structs.replace(settings.listen, data="0.0.0.0:0")
        with pytest.raises(BadConfig, match="loopback only"):
            await open_gateway(msgspec.structs.replace(settings, listen=listen))
        assert not (tmp_path / "data").exists()


async def test_no_settings_are_no_gateway() -> None:
    with pytest.raises(BadConfig, match="exactly one cluster"):
        await open_gateway(Settings())


async def test_when_recording_fails_nothing_is_forwarded_and_readyz_says_so(tmp_path: Path) -> None:
    files = FailingFiles(only="sync_data")
    async with open_rig(tmp_path, files=files) as rig:
        files._fail_at = files._counted + 1
        assert (await rig.ask(b"POST", PODS, body=b"{}")).status == 503
        before = rig.orc.received_bytes
        for method in (b"GET", b"POST", b"DELETE"):
            response = await rig.ask(method, PODS)
            assert response.status == 503
            assert b"cannot record" in response.body
        assert rig.orc.received_bytes == before
        assert b"503" in (await readyz(rig))[:20]
