"""Keys of an issuer: fresh while it answers, good for a day while it does not, never fetched in floods."""

import json
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio.testing

from gateway.identity import keys as module
from gateway.identity.errors import Unauthenticated
from gateway.identity.keys import LAST_GOOD_S, FetchFailed, IssuerKeys, fetch_document, parse_discovery
from gateway.identity.settings import IssuerSettings
from tests.kit.issuer import AUDIENCE, Fault, Issuer, IssuerServer, SigningKey, private_key

DISCOVERY = "/.well-known/openid-configuration"


def keys_of(issuer: Issuer, **settings: object) -> IssuerKeys:
    return IssuerKeys(IssuerSettings(url=issuer.url, audiences=(AUDIENCE,), **settings), fetch=issuer.fetch)  # type: ignore[arg-type]


@asynccontextmanager
async def running(keys: IssuerKeys) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        await nursery.start(keys.run)
        yield
        nursery.cancel_scope.cancel()


async def refused(keys: IssuerKeys, key_id: str | None, algorithm: str = "RS256") -> Unauthenticated:
    with pytest.raises(Unauthenticated) as caught:
        await keys.key_for(key_id, algorithm)
    return caught.value


# --- schedule, with a network that answers at once and a clock that jumps -----------------------------


async def test_keys_are_there_after_the_start_and_cost_one_fetch(
    autojump_clock: trio.testing.MockClock,
) -> None:
    issuer = Issuer()
    keys = keys_of(issuer)
    async with running(keys):
        for _ in range(100):
            found = await keys.key_for("RS256-0", "RS256")
            assert (found.key_id, found.algorithm) == ("RS256-0", "RS256")
        assert keys.ready
        assert issuer.hits == {DISCOVERY: 1, "/keys": 1}


async def test_the_start_does_not_wait_for_an_issuer_that_hangs(
    autojump_clock: trio.testing.MockClock,
) -> None:
    issuer = Issuer(fault=Fault.HANG)
    keys = keys_of(issuer)
    async with running(keys):
        assert trio.current_time() == autojump_clock.current_time()
        began = trio.current_time()
        error = await refused(keys, "RS256-0")
        assert error.unavailable
        assert issuer.url in error.detail
        assert issuer.url not in error.reason
        assert trio.current_time() - began <= 10
        issuer.fault = Fault.NONE
        await trio.sleep(10)
        assert (await keys.key_for("RS256-0", "RS256")).key_id == "RS256-0"


async def test_attempts_back_off_while_an_issuer_is_away_and_the_log_says_so_once(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    issuer = Issuer(fault=Fault.ERROR)
    async with running(keys_of(issuer)):
        await trio.sleep(59)  # at 0, 2, 6, 14, 30
        assert issuer.hits["failed"] == 5
        await trio.sleep(600)  # then every 30 s
        assert issuer.hits["failed"] == 25
    assert len(caplog.records) == 1


async def test_a_stampede_costs_one_refresh(autojump_clock: trio.testing.MockClock) -> None:
    issuer = Issuer()
    keys = keys_of(issuer)
    async with running(keys):
        await keys.key_for("RS256-0", "RS256")
        issuer.rotate()
        found: list[str | None] = []

        async def ask() -> None:
            found.append((await keys.key_for("RS256-1", "RS256")).key_id)

        async with trio.open_nursery() as nursery:
            for _ in range(900):
                nursery.start_soon(ask)
        assert found == ["RS256-1"] * 900
        assert issuer.hits == {DISCOVERY: 2, "/keys": 2}


async def test_a_flood_of_unknown_key_ids_costs_one_refresh_in_thirty_seconds(
    autojump_clock: trio.testing.MockClock,
) -> None:
    issuer = Issuer()
    keys = keys_of(issuer)
    async with running(keys):
        await keys.key_for("RS256-0", "RS256")
        for number in range(300):
            error = await refused(keys, f"made-up-{number}")
            assert not error.unavailable
            assert "does not publish" in error.reason
            await trio.sleep(1)
        assert issuer.hits["/keys"] <= 1 + 10
        assert (await keys.key_for("RS256-0", "RS256")).key_id == "RS256-0"


async def test_a_flood_while_the_issuer_is_away_is_bounded_too(
    autojump_clock: trio.testing.MockClock,
) -> None:
    issuer = Issuer()
    keys = keys_of(issuer)
    async with running(keys):
        await keys.key_for("RS256-0", "RS256")
        issuer.fault = Fault.ERROR
        for number in range(300):
            assert (await refused(keys, f"made-up-{number}")).unavailable
            await trio.sleep(1)
        assert issuer.hits["failed"] <= 25
        assert (await keys.key_for("RS256-0", "RS256")).key_id == "RS256-0"


async def test_no_more_than_a_thousand_wait(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 3)
    issuer = Issuer(fault=Fault.HANG)
    keys = keys_of(issuer)
    async with running(keys), trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(refused, keys, "k")
        await trio.testing.wait_all_tasks_blocked()
        began = trio.current_time()
        assert (await refused(keys, "k")).unavailable
        assert trio.current_time() == began


async def test_rotation_withdraws_what_was_verified_with_the_old_key(
    autojump_clock: trio.testing.MockClock,
) -> None:
    issuer = Issuer()
    keys = keys_of(issuer)
    async with running(keys):
        await keys.key_for("RS256-0", "RS256")
        before = keys.generation
        issuer.keys.append(SigningKey("new", "RS256", private_key("RS256", 7)))
        assert (await keys.key_for("new", "RS256")).key_id == "new"
        assert keys.generation == before, "a key more withdraws nothing"
        issuer.rotate()
        await trio.sleep(700)
        assert keys.generation == before + 1
        assert "does not publish" in (await refused(keys, "RS256-0")).reason


async def test_a_key_replaced_under_its_old_name_withdraws_too(
    autojump_clock: trio.testing.MockClock,
) -> None:
    issuer = Issuer()
    keys = keys_of(issuer)
    async with running(keys):
        old = await keys.key_for("RS256-0", "RS256")
        issuer.keys[0] = SigningKey("RS256-0", "RS256", private_key("RS256", 8))
        await trio.sleep(700)
        assert keys.generation == 1
        assert (await keys.key_for("RS256-0", "RS256")).fingerprint != old.fingerprint


@pytest.mark.parametrize("fault", [Fault.ERROR, Fault.HANG, Fault.OTHER_ISSUER, Fault.PLAIN_JWKS])
async def test_the_last_good_keys_serve_a_day_and_then_nobody_gets_in(
    fault: Fault, autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    issuer = Issuer()
    keys = keys_of(issuer)
    async with running(keys):
        await keys.key_for("RS256-0", "RS256")
        issuer.fault = fault
        await trio.sleep(LAST_GOOD_S - 100)
        assert (await keys.key_for("RS256-0", "RS256")).key_id == "RS256-0"
        assert keys.generation == 0
        await trio.sleep(800)  # the last success may have been up to 660 s after the first
        assert (await refused(keys, "RS256-0")).unavailable
        assert not keys.ready
        assert keys.generation == 1
        assert "older than 24 h" in caplog.text
        issuer.fault = Fault.NONE
        await trio.sleep(60)
        assert (await keys.key_for("RS256-0", "RS256")).key_id == "RS256-0"
        assert keys.last_error == ""


async def test_keys_too_old_are_not_used_even_if_no_attempt_ran(mock_clock: trio.testing.MockClock) -> None:
    issuer = Issuer()
    keys = keys_of(issuer)
    async with running(keys):
        await keys.key_for("RS256-0", "RS256")
    mock_clock.jump(LAST_GOOD_S + 1)
    assert keys.ready
    await refused(keys, "RS256-0")
    assert not keys.ready
    assert keys.generation == 1


async def test_an_empty_set_keeps_the_keys_there_were(autojump_clock: trio.testing.MockClock) -> None:
    issuer = Issuer()
    keys = keys_of(issuer)
    async with running(keys):
        good = await keys.key_for("RS256-0", "RS256")
        issuer.keys = []
        await trio.sleep(700)
        assert "no usable key" in keys.last_error
        assert await keys.key_for("RS256-0", "RS256") == good


async def test_a_weak_key_raises_one_alarm(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    issuer = Issuer()
    issuer.keys.append(SigningKey("weak", "RS256", private_key("RS256", rsa_bits=1024)))
    keys = keys_of(issuer)
    async with running(keys):
        await trio.sleep(3600)
        alarms = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
        assert len(alarms) == 1
        assert "1024 bits" in alarms[0]
        assert "does not publish" in (await refused(keys, "weak")).reason


async def test_a_key_has_one_algorithm_and_a_missing_key_id_must_be_unambiguous(
    autojump_clock: trio.testing.MockClock,
) -> None:
    issuer = Issuer()
    keys = keys_of(issuer)
    async with running(keys):
        assert (await keys.key_for(None, "RS256")).key_id == "RS256-0"
        assert (await keys.key_for(None, "ES256")).key_id == "ES256-0"
        assert "algorithm" in (await refused(keys, "RS256-0", "ES256")).reason
        assert "algorithm" in (await refused(keys, "RS256-0", "PS256")).reason
        assert "algorithm" in (await refused(keys, None, "EdDSA")).reason
        issuer.keys.append(SigningKey("second", "RS256", private_key("RS256", 9)))
        await trio.sleep(700)
        assert "does not say which" in (await refused(keys, None, "RS256")).reason
        assert issuer.hits["/keys"] == 2, "none of these may cause a refresh"


async def test_whoever_gives_up_waiting_leaves_the_others_alone(
    autojump_clock: trio.testing.MockClock,
) -> None:
    issuer = Issuer(fault=Fault.HANG)
    keys = keys_of(issuer)
    ends: list[float] = []

    async def wait() -> None:
        assert (await refused(keys, "k")).unavailable
        ends.append(trio.current_time())

    async with running(keys), trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        with trio.move_on_after(1) as impatient:
            await keys.key_for("k", "RS256")
        assert impatient.cancelled_caught
    assert len(ends) == 1


async def test_nobody_waits_for_a_task_that_is_not_there(autojump_clock: trio.testing.MockClock) -> None:
    issuer = Issuer(fault=Fault.HANG)
    keys = keys_of(issuer)
    assert (await refused(keys, "k")).unavailable
    async with trio.open_nursery() as nursery:
        await nursery.start(keys.run)
        nursery.start_soon(refused, keys, "k")
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert (await refused(keys, "k")).unavailable
    assert trio.current_time() == autojump_clock.current_time()


# --- the discovery document ---------------------------------------------------------------------------

URL = "https://issuer.test"


def test_the_document_names_the_keys_of_exactly_our_issuer() -> None:
    document = json.dumps({"issuer": URL, "jwks_uri": "https://elsewhere.test/keys?p=x"}).encode()
    assert parse_discovery(document, URL) == "https://elsewhere.test/keys?p=x"


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b"null",
        b"<html>",
        b'{"issuer":"https://issuer.test"}',
        b'{"jwks_uri":"https://issuer.test/keys"}',
        b'{"issuer":"https://issuer.test/","jwks_uri":"https://issuer.test/keys"}',
        b'{"issuer":"https://ISSUER.test","jwks_uri":"https://issuer.test/keys"}',
        b'{"issuer":["https://issuer.test"],"jwks_uri":"https://issuer.test/keys"}',
        b'{"issuer":"https://issuer.test","jwks_uri":"http://issuer.test/keys"}',
        b'{"issuer":"https://issuer.test","jwks_uri":"file:///etc/passwd"}',
        b'{"issuer":"https://issuer.test","jwks_uri":"https://user:pw@issuer.test/keys"}',
        b'{"issuer":"https://issuer.test","jwks_uri":"//issuer.test/keys"}',
        b'{"issuer":"https://issuer.test","jwks_uri":["https://issuer.test/keys"]}',
        b'{"issuer":"https://issuer.test","issuer":"https://issuer.test","jwks_uri":"https://issuer.test/keys"}',
        b'{"issuer":"https://issuer.test","jwks_uri":"https://a","jwks_uri":"https://b"}',
        b"[" * 100_000,
    ],
)
def test_any_other_document_is_refused(document: bytes) -> None:
    with pytest.raises(FetchFailed):
        parse_discovery(document, URL)


# --- the network: real TLS ----------------------------------------------------------------------------


@pytest.fixture
async def server(tmp_path: Path, nursery: trio.Nursery) -> IssuerServer:
    server = IssuerServer(Issuer(), tmp_path)
    await nursery.start(server.serve)
    return server


@pytest.fixture
def patient_clock() -> trio.testing.MockClock:
    """Jumps, but leaves real sockets time to speak."""
    return trio.testing.MockClock(autojump_threshold=0.3)


async def failure(server: IssuerServer, ca_file: str | None = None) -> str:
    with pytest.raises(FetchFailed) as caught:
        await fetch_document(server.issuer.url + "/keys", ca_file or server.ca_file)
    return str(caught.value)


async def test_a_document_comes_over_tls(server: IssuerServer) -> None:
    body = await fetch_document(server.issuer.url + "/keys", server.ca_file)
    assert body == server.issuer.document("/keys")


async def test_keys_come_from_a_real_issuer_and_rotate(server: IssuerServer) -> None:
    issuer = server.issuer
    keys = IssuerKeys(IssuerSettings(url=issuer.url, audiences=(AUDIENCE,), ca_file=server.ca_file))
    async with running(keys):
        assert (await keys.key_for("RS256-0", "RS256")).key_id == "RS256-0"
        issuer.rotate()
        assert (await keys.key_for("RS256-1", "RS256")).key_id == "RS256-1"
        assert keys.generation == 1
        assert issuer.hits == {DISCOVERY: 2, "/keys": 2}


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (Fault.ERROR, "answered 500"),
        (Fault.HUGE, "more than"),
        (Fault.HUGE_CHUNKED, "more than"),
        (Fault.REDIRECT, "answered 302"),
        (Fault.GZIP, "compressed"),
        (Fault.GARBAGE, "ProtocolError"),
        (Fault.CUT, "ProtocolError"),
    ],
)
async def test_a_broken_answer_is_an_error_of_ours(server: IssuerServer, fault: Fault, why: str) -> None:
    server.issuer.fault = fault
    assert why in await failure(server)
    assert server.issuer.hits["/elsewhere"] == 0


@pytest.mark.parametrize("fault", [Fault.HANG, Fault.SLOW])
async def test_five_seconds_are_enough_for_anybody(
    patient_clock: trio.testing.MockClock, server: IssuerServer, fault: Fault
) -> None:
    server.issuer.fault = fault
    began = trio.current_time()
    assert "within 5 s" in await failure(server)
    assert trio.current_time() - began < 6


async def test_a_peer_that_never_ends_its_handshake_is_given_up(
    patient_clock: trio.testing.MockClock,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with pytest.raises(FetchFailed, match="within 5 s"):
            await fetch_document(f"https://127.0.0.1:{listener.getsockname()[1]}/", None)


async def test_a_certificate_of_another_authority_is_refused(server: IssuerServer, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = IssuerServer(Issuer(), tmp_path / "other")
    assert "CERTIFICATE_VERIFY_FAILED" in await failure(server, other.ca_file)
    assert not server.issuer.hits


async def test_a_certificate_for_another_name_is_refused(server: IssuerServer) -> None:
    url = server.issuer.url.replace("127.0.0.1", "127.0.0.2")
    with pytest.raises(FetchFailed):
        await fetch_document(url, server.ca_file)
    assert not server.issuer.hits


async def test_the_systems_roots_do_not_know_our_test_authority(server: IssuerServer) -> None:
    with pytest.raises(FetchFailed, match="CERTIFICATE_VERIFY_FAILED"):
        await fetch_document(server.issuer.url + "/keys", None)


async def test_ssl_cert_file_is_honoured(server: IssuerServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", server.ca_file)
    module._system_context.cache_clear()
    try:
        assert await fetch_document(server.issuer.url + "/keys", None)
    finally:
        module._system_context.cache_clear()


@pytest.mark.parametrize("content", [None, b"", b"not PEM"])
async def test_a_ca_file_that_is_none_is_said(
    server: IssuerServer, tmp_path: Path, content: bytes | None
) -> None:
    ca_file = tmp_path / "missing.pem"
    if content is not None:
        ca_file.write_bytes(content)
    assert "missing.pem" in await failure(server, str(ca_file))


async def test_nobody_listening_is_an_error_of_ours() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(FetchFailed):
        await fetch_document(f"https://127.0.0.1:{port}/", None)


async def test_a_proxy_is_used_only_where_https_proxy_says_so(
    server: IssuerServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        nobody = f"http://127.0.0.1:{listener.getsockname()[1]}"
    monkeypatch.setenv("HTTP_PROXY", nobody)
    assert await fetch_document(server.issuer.url + "/keys", server.ca_file)
    monkeypatch.setenv("HTTPS_PROXY", nobody)
    await failure(server)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert await fetch_document(server.issuer.url + "/keys", server.ca_file)
