"""The management API at its door: who is let in, from where, with what bodies; errors are a Status."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
import trio
import trustme

from gateway.config import BadConfig, Listen, Settings
from gateway.console.serve import MAX_BODY_BYTES, MAX_WATCHES_EACH, effective_admins, serve_console
from gateway.console.settings import Admins, ConsoleSettings
from gateway.identity.settings import CertificateRules, IdentitySettings
from gateway.server.tls import ensure_certificate, server_context
from gateway.state.entries import Revoked
from tests.kit.console_rig import ANN_SESSION, ISSUER, open_console
from tests.kit.h2_client import H2Client
from tests.kit.raw_client import client_context, open_client

WHOAMI = "/api/v1/whoami"


async def test_a_bearer_token_says_who_one_is(tmp_path: Path) -> None:
    async with open_console(tmp_path) as rig:
        status, who = await rig.ask("adm", "GET", WHOAMI)
        assert status == 200
        assert (who["user"], who["groups"], who["issuer"]) == ("adm", ["admins"], ISSUER)
        assert who["isAdmin"]
        assert "session" not in who
        assert (await rig.ask("ann", "GET", WHOAMI))[1]["session"] == ANN_SESSION


async def test_without_a_credential_nothing_is_said(tmp_path: Path) -> None:
    async with open_console(tmp_path) as rig:
        response = await rig.raw("", "GET", WHOAMI)
        assert response.status == 401
        assert response.header(b"www-authenticate") == b"Bearer"
        assert json.loads(response.body)["reason"] == "Unauthorized"


async def test_a_cookie_is_no_credential(tmp_path: Path) -> None:
    async with open_console(tmp_path) as rig:
        cookie = f"Cookie: token={rig.tokens['adm']}; Authorization={rig.tokens['adm']}"
        assert (await rig.ask("", "GET", WHOAMI, None, cookie))[0] == 401


@pytest.mark.parametrize(
    "field",
    [
        "Origin: https://evil.example",
        "Origin: null",
        "Origin: http://127.0.0.1:{port}",
        "Origin: https://127.0.0.1",
        "Sec-Fetch-Site: cross-site",
        "Sec-Fetch-Site: same-site",
    ],
)
async def test_a_page_of_another_origin_is_refused(tmp_path: Path, field: str) -> None:
    async with open_console(tmp_path) as rig:
        status, said = await rig.ask("adm", "GET", WHOAMI, None, field.format(port=rig.port))
        assert (status, said["reason"]) == (403, "Forbidden")


async def test_a_page_of_our_own_origin_is_served_and_no_other_may_read_it(tmp_path: Path) -> None:
    async with open_console(tmp_path) as rig:
        origin = f"Origin: https://127.0.0.1:{rig.port}"
        response = await rig.raw("adm", "GET", WHOAMI, None, origin, "Sec-Fetch-Site: same-origin")
        assert response.status == 200
        names = {name for name, _ in response.headers}
        assert not any(name.startswith(b"access-control-") for name in names)
        assert response.header(b"cross-origin-resource-policy") == b"same-origin"
        assert response.header(b"cache-control") == b"no-store"
        assert (await rig.raw("adm", "OPTIONS", WHOAMI)).status == 405


async def test_another_host_is_not_answered_for(tmp_path: Path) -> None:
    async with open_console(tmp_path) as rig, rig.open() as client:
        request = rig.request("adm", "GET", WHOAMI).replace(b"Host: 127.0.0.1", b"Host: rebound.example")
        assert (await client.ask(request)).status == 421


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/api/v1/", 404),
        ("GET", "/api/v1/approvals/", 404),
        ("GET", "/api/v1/approvals/../whoami", 404),
        ("GET", "/api/v1/approvals/%2e%2e", 404),
        ("GET", "/api/v1/approvals//x", 404),
        ("GET", "/api/v2/whoami", 404),
        ("DELETE", WHOAMI, 405),
        ("GET", "/api/v1/approvals?state=open", 400),
        ("GET", "/api/v1/approvals?state=pending&state=denied", 400),
        ("GET", "/api/v1/approvals?limit=5", 400),
        ("GET", "/api/v1/whoami?access_token=x", 400),
        ("GET", "/api/v1/whoami?a=%zz", 400),
    ],
)
async def test_what_is_not_served_is_said_in_a_status(
    tmp_path: Path, method: str, target: str, status: int
) -> None:
    async with open_console(tmp_path) as rig:
        code, said = await rig.ask("adm", method, target)
        assert code == status
        assert (said["kind"], said["status"], said["code"]) == ("Status", "Failure", status)


@pytest.mark.parametrize(
    ("body", "fields", "status", "words"),
    [
        (b"{", (), 400, "not JSON"),
        (b"\xff", (), 400, "not JSON"),
        (b"", (), 400, "not JSON"),
        (b"[" * 10_000, (), 422, "Expected `object`"),
        (b'{"note": 5}', (), 422, "Expected `str`, got `int`"),
        (b'{"note": "no", "scope": "all"}', (), 422, "unknown field `scope`"),
        (b"{}", (), 422, "missing required field `note`"),
        (b'{"note": "no"}', ("Content-Type: text/plain",), 415, "application/json"),
        (b"note=no", ("Content-Type: application/x-www-form-urlencoded",), 415, "application/json"),
        (b" " * (MAX_BODY_BYTES + 1), (), 413, "at most"),
    ],
)
async def test_a_body_is_taken_strictly(
    tmp_path: Path, body: bytes, fields: tuple[str, ...], status: int, words: str
) -> None:
    async with open_console(tmp_path) as rig:
        hold = await rig.hold()
        code, said = await rig.ask("bob", "POST", f"/api/v1/approvals/{hold.id}/deny", body, *fields)
        assert code == status
        assert words in said["message"]
        assert rig.state.view.hold(hold.id).state(rig.state.now_ns()) == "pending"  # type: ignore[union-attr]


async def test_a_large_body_of_unknown_length_is_refused(tmp_path: Path) -> None:
    async with open_console(tmp_path) as rig, rig.open() as client:
        hold = await rig.hold()
        head = rig.request("bob", "POST", f"/api/v1/approvals/{hold.id}/deny", {}).split(b"Content-Length")[0]
        chunk = b"%x\r\n" % 4096 + b" " * 4096 + b"\r\n"
        await client.send(head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 5)
        assert (await client.response()).status == 413


@pytest.mark.parametrize(("kind", "subject"), [("user", "ann"), ("session", ANN_SESSION)])
async def test_a_revoked_person_is_told_so_and_nothing_else(tmp_path: Path, kind: str, subject: str) -> None:
    async with open_console(tmp_path) as rig:
        now_ns = rig.state.now_ns()
        await rig.state.append(
            Revoked(now_ns, "01K00000000000000000000001", kind, subject, "adm", "laptop stolen")
        )
        status, said = await rig.ask("ann", "GET", WHOAMI)
        assert (status, said["message"]) == (403, "access revoked by adm: laptop stolen")


async def test_it_speaks_http2_too(tmp_path: Path) -> None:
    async with open_console(tmp_path) as rig:
        async with (
            open_client(rig.port, client_context(rig.ca, ["h2"])) as raw,
            trio.open_nursery() as nursery,
        ):
            us = SimpleNamespace(host=b"127.0.0.1:%d" % rig.port, token=rig.tokens["bob"].encode())
            client = H2Client(raw, us)  # type: ignore[arg-type]
            await client.start()
            nursery.start_soon(client.read)
            answer = await client.ask(b"GET", WHOAMI.encode())
            assert answer.status == 200
            assert json.loads(answer.body)["user"] == "bob"
            nursery.cancel_scope.cancel()


async def test_while_the_state_is_out_of_date_nobody_decides_on_it(tmp_path: Path) -> None:
    async with open_console(tmp_path, stale_after_s=1e-6) as rig:
        hold = await rig.hold()
        for method, path, body in (
            ("GET", "/api/v1/approvals", None),
            ("GET", f"/api/v1/approvals/{hold.id}", None),
            ("POST", f"/api/v1/approvals/{hold.id}/approve", {}),
            ("GET", "/api/v1/grants", None),
            ("GET", "/api/v1/revocations", None),
        ):
            status, said = await rig.ask("bob", method, path, body)
            assert (status, said["reason"]) == (503, "ServiceUnavailable")
            assert "out of date" in said["message"]


async def test_one_person_cannot_take_all_watches(tmp_path: Path) -> None:
    async with open_console(tmp_path) as rig, trio.open_nursery() as nursery:
        watching = [trio.Event() for _ in range(MAX_WATCHES_EACH)]

        async def watch(started: trio.Event) -> None:
            async with rig.open() as client:
                await client.send(rig.request("bob", "GET", "/api/v1/approvals?watch=true"))
                assert (await client.head()).status == 200
                started.set()
                await client.rest()

        await rig.hold()
        for started in watching:
            nursery.start_soon(watch, started)
        for started in watching:
            await started.wait()
        assert (await rig.ask("bob", "GET", "/api/v1/approvals?watch=true"))[0] == 429
        assert (await rig.ask("bob", "GET", "/api/v1/approvals"))[0] == 200
        nursery.cancel_scope.cancel()


async def test_without_identity_settings_it_listens_on_loopback_only(tmp_path: Path) -> None:
    certificate = ensure_certificate(tmp_path, ["localhost"])
    settings = Settings(listen=Listen(console="0.0.0.0:0"))
    with pytest.raises(BadConfig, match="loopback only"):
        await serve_console(settings, msgspec.UNSET, server_context(certificate))  # type: ignore[arg-type]


async def test_a_client_certificate_says_who_one_is(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "clients.pem")
    leaf = authority.issue_cert(common_name="bob", organization_name="sre")
    async with open_console(
        tmp_path, certificates=CertificateRules(ca_file=str(tmp_path / "clients.pem"))
    ) as rig:
        context = client_context(rig.ca)
        leaf.configure_cert(context)
        async with open_client(rig.port, context) as client:
            response = await client.ask(rig.request("", "GET", WHOAMI))
            assert response.status == 200
            who = json.loads(response.body)
            assert (who["user"], who["groups"], who["method"]) == ("bob", ["sre"], "certificate")
            both = await client.ask(rig.request("bob", "GET", WHOAMI))
            assert both.status == 401  # two credentials, and who would say which counts


async def test_a_certificate_alone_serves_no_foreign_page(tmp_path: Path) -> None:
    """A browser sends it by itself: the Origin is what tells a page of ours from another."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "clients.pem")
    leaf = authority.issue_cert(common_name="bob")
    async with open_console(
        tmp_path, certificates=CertificateRules(ca_file=str(tmp_path / "clients.pem"))
    ) as rig:
        hold = await rig.hold()
        context = client_context(rig.ca)
        leaf.configure_cert(context)
        async with open_client(rig.port, context) as client:
            target, origin = f"/api/v1/approvals/{hold.id}/approve", "Origin: https://evil.example"
            response = await client.ask(rig.request("", "POST", target, {}, (origin,)))
            assert response.status == 403
        assert len(rig.recorded) == 1


async def test_bytes_that_are_no_request_get_a_status(tmp_path: Path) -> None:
    async with open_console(tmp_path) as rig, rig.open() as client:
        response = await client.ask(b"NONSENSE\r\n\r\n")
        assert json.loads(response.body)["kind"] == "Status"
        assert response.status == 400


async def test_a_bug_in_a_handler_is_a_500_and_the_next_request_is_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("secret words")

    async with open_console(tmp_path) as rig:
        monkeypatch.setattr("gateway.console.grants._bundles", broken)
        status, said = await rig.ask("ann", "GET", "/api/v1/bundles")
        assert status == 500
        assert "secret words" not in said["message"]
        assert (await rig.ask("ann", "GET", WHOAMI))[0] == 200
    log = capsys.readouterr().err
    assert "ZeroDivisionError" in log
    assert "secret words" not in log


def test_the_first_user_is_an_admin_where_there_is_no_other() -> None:
    alone = Settings(console=ConsoleSettings(admins=Admins(users=("adm",))))
    assert effective_admins(alone) == Admins(groups=("kubetape:first-user",))
    shared = msgspec.structs.replace(alone, identity=IdentitySettings(token_file="t"))
    assert effective_admins(shared) == Admins(users=("adm",))


async def test_a_watch_ends_with_the_credential(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "clients.pem")
    leaf = authority.issue_cert(common_name="bob", not_after=datetime.now(UTC) + timedelta(seconds=2))
    async with open_console(
        tmp_path, certificates=CertificateRules(ca_file=str(tmp_path / "clients.pem"))
    ) as rig:
        context = client_context(rig.ca)
        leaf.configure_cert(context)
        async with open_client(rig.port, context) as client:
            response = await client.ask(rig.request("", "GET", "/api/v1/approvals?watch=true"))
            assert response.status == 200
            assert (await client.ask(rig.request("", "GET", WHOAMI))).status == 401
