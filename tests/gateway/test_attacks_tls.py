"""TLS attacks on both sides of the gateway (T1, T2, T3, T5, T6)."""

import socket
import ssl
import struct
import warnings
from pathlib import Path

import pytest
import trio
import trustme

from tests.kit.gateway_rig import Rig, open_rig
from tests.kit.orc import open_orc
from tests.kit.raw_client import open_client

PODS = b"/api/v1/namespaces/default/pods"


async def handshake(rig: Rig, context: ssl.SSLContext, hostname: str = "127.0.0.1") -> str | None:
    """The TLS version that came about, or None."""
    try:
        async with open_client(rig.gateway.port, context, server_hostname=hostname) as client:
            with trio.move_on_after(0.05):
                await client.more()
            ssl_object = client.stream._ssl_object
            return str(ssl_object.version())
    except (trio.BrokenResourceError, ssl.SSLError):
        return None


async def test_t1_old_versions_and_weak_ciphers_are_refused(tmp_path: Path) -> None:
    async with open_rig(tmp_path) as rig:
        old = rig.context()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            old.minimum_version = ssl.TLSVersion.TLSv1
            old.maximum_version = ssl.TLSVersion.TLSv1_1
        old.set_ciphers("ALL:@SECLEVEL=0")
        assert await handshake(rig, old) is None
        for ciphers in (
            "ECDHE-ECDSA-AES128-SHA256:ECDHE-RSA-AES128-SHA256:ECDHE-ECDSA-AES256-SHA",
            "AES128-GCM-SHA256",
            "DHE-RSA-AES128-GCM-SHA256",
        ):
            weak = rig.context()
            weak.maximum_version = ssl.TLSVersion.TLSv1_2
            weak.set_ciphers(ciphers)
            assert await handshake(rig, weak) is None, ciphers
        assert await handshake(rig, rig.context()) == "TLSv1.3"
        good = rig.context()
        good.maximum_version = ssl.TLSVersion.TLSv1_2
        assert await handshake(rig, good) == "TLSv1.2"
        assert (await rig.ask(b"GET", PODS)).status == 200


async def test_t2_no_session_can_be_resumed(tmp_path: Path) -> None:
    async with open_rig(tmp_path) as rig:
        context = rig.context()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        async with rig.client() as client:
            await client.ask(rig.request(b"GET", PODS))
            session = client.stream._ssl_object.session
        assert session is None or not session.has_ticket


async def test_t3_the_first_bytes_must_be_of_the_protocol_agreed_on(tmp_path: Path) -> None:
    async with open_rig(tmp_path) as rig:
        async with rig.client(["http/1.1"]) as client:
            await client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9))
            assert b" 505 " in (await client.rest())[:30]
        async with rig.client(["h2"]) as client:
            await client.send(rig.request(b"GET", PODS))
            assert b"HTTP/1.1" not in await client.rest()
        async with rig.client(
            ["spdy/3"]
        ) as client:  # nothing in common: plain HTTP/1.1, which every client has
            assert (await client.ask(rig.request(b"GET", PODS))).status == 200
        assert len(rig.orc.requests) == 1


async def test_plain_http_on_the_tls_port_is_dropped(tmp_path: Path) -> None:
    async with open_rig(tmp_path) as rig:
        stream = await trio.open_tcp_stream("127.0.0.1", rig.gateway.port)
        async with stream:
            await stream.send_all(rig.request(b"GET", PODS))
            answer = b""
            while data := await stream.receive_some(4096):
                answer += data
        assert b"HTTP/" not in answer
        assert rig.orc.requests == []


@pytest.mark.parametrize("fault", ["wrong ca", "wrong name"])
async def test_t5_a_server_that_is_not_the_api_server_gets_nothing(
    tmp_path: Path, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = trustme.CA(), trustme.CA()
    ours.cert_pem.write_to_path(tmp_path / "env.crt")
    theirs.cert_pem.write_to_path(tmp_path / "trusted-by-env.crt")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "trusted-by-env.crt"))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    names = ("elsewhere.example",) if fault == "wrong name" else ("127.0.0.1",)
    authority = theirs if fault == "wrong ca" else ours
    async with open_orc(names=names, authority=authority) as orc:
        kubeconfig = orc.write_kubeconfig(tmp_path / "kubeconfig", ca=ours.cert_pem.bytes())
        async with open_rig(tmp_path, orc=orc, kubeconfig=kubeconfig) as rig:
            for method in (b"GET", b"POST"):
                response = await rig.ask(method, PODS)
                assert response.status == 502
                assert b"handshake" in response.body
            assert orc.received_bytes == 0
            assert [e.outcome.result for e in await rig.exchanges()] == ["failed"] * 2


async def test_t6_stalled_handshakes_do_not_stop_others_and_are_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.server.listener.HANDSHAKE_TIMEOUT_S", 0.6)
    async with open_rig(tmp_path) as rig:
        stalled = [await trio.open_tcp_stream("127.0.0.1", rig.gateway.port) for _ in range(60)]
        for stream in stalled[::2]:
            await stream.send_all(b"\x16\x03\x01")
        assert (await rig.ask(b"GET", PODS)).status == 200
        for stream in stalled:
            with trio.fail_after(3):
                while await stream.receive_some(100):
                    pass
            await stream.aclose()


async def test_t6_one_address_cannot_hold_more_unfinished_handshakes_than_its_share(tmp_path: Path) -> None:
    async with open_rig(tmp_path) as rig:
        held = [await trio.open_tcp_stream("127.0.0.1", rig.gateway.port) for _ in range(64)]
        async with await trio.open_tcp_stream("127.0.0.1", rig.gateway.port) as one_too_many:
            with trio.fail_after(2):
                try:
                    assert await one_too_many.receive_some(1) == b""
                except trio.BrokenResourceError:
                    pass
        for stream in held:
            await stream.aclose()
        await rig.ended(lambda: rig.gateway.listener and rig.gateway.listener.connections == 0)
        assert (await rig.ask(b"GET", PODS)).status == 200


async def test_connections_reset_before_they_are_accepted_end_nothing(tmp_path: Path) -> None:
    async with open_rig(tmp_path) as rig:
        for _ in range(100):
            with socket.create_connection(("127.0.0.1", rig.gateway.port)) as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with socket.create_connection(("127.0.0.1", rig.gateway.management_port)) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        assert (await rig.ask(b"GET", PODS)).status == 200
