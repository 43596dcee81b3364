import base64
import json
import ssl
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
import trustme
import yaml

from gateway.upstream import credentials
from gateway.upstream.credentials import (
    CHECK_INTERVAL_S,
    CredentialUnavailable,
    UpstreamCluster,
    from_flags,
    load_in_cluster,
    load_kubeconfig,
    parse_expiry,
)
from gateway.upstream.kubeconfig import BadKubeconfig
from tests.kit.handshake import shake_hands

CA = trustme.CA()
V1 = "client.authentication.k8s.io/v1"


def jwt(expires_s: object, mark: str = "") -> str:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return f"{part({'alg': 'RS256'})}.{part({'exp': expires_s, 'sub': mark})}.sig"


def write_kubeconfig(directory: Path, user: dict[str, Any], **cluster: Any) -> Path:
    path = directory / "config"
    cluster = {"server": "https://api.example:6443/k8s", "certificate-authority": "ca.crt", **cluster}
    (directory / "ca.crt").write_bytes(CA.cert_pem.bytes())
    path.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "c", "cluster": cluster}],
                "users": [{"name": "u", "user": user}],
                "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
                "current-context": "x",
            }
        )
    )
    return path


def write_certificate(directory: Path, name: str = "gateway") -> None:
    issued = CA.issue_cert(f"{name}@example.org", common_name=name)
    (directory / "me.crt").write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
    (directory / "me.key").write_bytes(issued.private_key_pem.bytes())


def name_shown_to(cluster: UpstreamCluster) -> str:
    """The common name of the client certificate that a server sees."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    CA.issue_cert(cluster.host).configure_cert(context)
    CA.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    subject = shake_hands(cluster.ssl_context(), context, cluster.server_name).getpeercert()
    assert subject is not None
    return str(dict(field[0] for field in subject["subject"])["commonName"])  # type: ignore[misc]


async def until(condition: Callable[[], bool]) -> None:
    """Let the other tasks run until something is so.

    A clock that jumps does so while a thread reads files, too: the limit is far beyond what that can take.
    """
    with trio.fail_after(36_000):
        while not condition():
            await trio.sleep(0.1)


# --- stored in the kubeconfig or in files -----------------------------------------------------------


def test_a_kubeconfig_becomes_a_cluster(tmp_path: Path) -> None:
    cluster = load_kubeconfig(write_kubeconfig(tmp_path, {"token": "t0ken"}))
    assert (cluster.host, cluster.port, cluster.authority) == ("api.example", 6443, b"api.example:6443")
    assert (cluster.path_prefix, cluster.server_name) == (b"/k8s", "api.example")
    assert cluster.credential.authorization() == b"Bearer t0ken"
    assert cluster.credential.certificate is None
    assert cluster.generation == 0
    assert cluster.ssl_context() is cluster.ssl_context()
    assert cluster.ssl_context() is not cluster.ssl_context("h2")


def test_nothing_secret_is_in_the_repr_of_a_cluster(tmp_path: Path) -> None:
    write_certificate(tmp_path)
    user = {"token": "t0ken", "client-certificate": "me.crt", "client-key": "me.key"}
    cluster = load_kubeconfig(write_kubeconfig(tmp_path, user))
    assert "t0ken" not in repr(cluster)
    assert "PRIVATE" not in repr(cluster) + repr(cluster.credential.certificate)


def test_a_password_becomes_a_basic_header(tmp_path: Path) -> None:
    cluster = load_kubeconfig(write_kubeconfig(tmp_path, {"username": "ann", "password": "pässword"}))
    expected = base64.b64encode("ann:pässword".encode())
    assert cluster.credential.authorization() == b"Basic " + expected


def test_a_certificate_alone_needs_no_header(tmp_path: Path) -> None:
    write_certificate(tmp_path, "recorder")
    cluster = load_kubeconfig(
        write_kubeconfig(tmp_path, {"client-certificate": "me.crt", "client-key": "me.key"})
    )
    assert cluster.credential.authorization() is None
    assert name_shown_to(cluster) == "recorder"


def test_embedded_certificates_work_like_files(tmp_path: Path) -> None:
    write_certificate(tmp_path, "embedded")
    user = {
        f"client-{kind}-data": base64.b64encode((tmp_path / file).read_bytes()).decode()
        for kind, file in (("certificate", "me.crt"), ("key", "me.key"))
    }
    ca = base64.b64encode(CA.cert_pem.bytes()).decode()
    cluster = load_kubeconfig(write_kubeconfig(tmp_path, user, **{"certificate-authority-data": ca}))
    assert name_shown_to(cluster) == "embedded"


def test_a_token_file_wins_over_a_token(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("fresh\n")
    cluster = load_kubeconfig(write_kubeconfig(tmp_path, {"token": "old", "tokenFile": "token"}))
    assert cluster.credential.authorization() == b"Bearer fresh"


@pytest.mark.parametrize(
    ("user", "why"),
    [
        ({"tokenFile": "missing"}, "the token file .*missing cannot be read: No such file"),
        ({"tokenFile": "empty"}, "holds no token"),
        ({"tokenFile": "odd"}, "holds no token"),
        ({"tokenFile": "large"}, "larger than"),
        (
            {"client-certificate": "missing", "client-key": "empty"},
            "the client certificate .* cannot be read",
        ),
        ({"client-certificate": "empty", "client-key": "missing"}, "the client key .* cannot be read"),
        ({"client-certificate": "empty", "client-key": "empty"}, "client certificate and key cannot be used"),
    ],
)
def test_files_that_cannot_be_used_are_named(tmp_path: Path, user: dict[str, str], why: str) -> None:
    (tmp_path / "empty").write_text("")
    (tmp_path / "odd").write_text("a b\nc")
    (tmp_path / "large").write_bytes(b"x" * (credentials.MAX_FILE_BYTES + 1))
    with pytest.raises(BadKubeconfig, match=why) as caught:
        load_kubeconfig(write_kubeconfig(tmp_path, user))
    assert "context 'x'" in str(caught.value)


def test_a_missing_kubeconfig_and_a_missing_ca_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadKubeconfig, match=r"the kubeconfig .* cannot be read: No such file"):
        load_kubeconfig(tmp_path / "nothing")
    with pytest.raises(BadKubeconfig, match=r"the certificate authority .*none cannot be read"):
        load_kubeconfig(write_kubeconfig(tmp_path, {"token": "t"}, **{"certificate-authority": "none"}))
    (tmp_path / "bad").write_text("hello")
    with pytest.raises(BadKubeconfig, match="the CA holds no PEM certificate"):
        load_kubeconfig(write_kubeconfig(tmp_path, {"token": "t"}, **{"certificate-authority": "bad"}))


def test_an_expired_token_is_not_used(tmp_path: Path) -> None:
    now = 1_000_000.0
    path = write_kubeconfig(tmp_path, {"token": jwt(now)})
    cluster = load_kubeconfig(path, now=lambda: now + 59)
    assert cluster.credential.authorization() is not None
    late = load_kubeconfig(path, now=lambda: now + 61).credential
    with pytest.raises(CredentialUnavailable, match="the kubeconfig expired at 1970-01-12T13:46:40Z"):
        late.authorization()


@pytest.mark.parametrize(
    ("token", "expiry"),
    [
        (jwt(12), 12.0),
        (jwt(12.5), 12.5),
        (jwt("12"), None),
        (jwt(True), None),
        ("opaque", None),
        ("a.b", None),
        ("a.!!!.c", None),
        ("a.YQ.c", None),
        ("a.WzFd.c", None),
        ("a." + base64.urlsafe_b64encode(b"[" * 99_999).decode() + ".c", None),
    ],
)
def test_the_expiry_of_a_jwt_is_read(token: str, expiry: float | None) -> None:
    assert parse_expiry(token.encode()) == expiry


def test_an_expiry_beyond_all_calendars_is_still_shown(tmp_path: Path) -> None:
    credential = load_kubeconfig(write_kubeconfig(tmp_path, {"token": jwt(-1e300)})).credential
    with pytest.raises(CredentialUnavailable, match="expired at -1"):
        credential.authorization()


async def test_a_static_credential_runs_and_does_nothing(tmp_path: Path) -> None:
    credential = load_kubeconfig(write_kubeconfig(tmp_path, {"token": "t"})).credential
    async with trio.open_nursery() as nursery:
        await nursery.start(credential.run)
        credential.rejected()
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()


async def test_a_changed_token_file_is_read_again(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    token = tmp_path / "token"
    token.write_text("one")
    credential = load_kubeconfig(write_kubeconfig(tmp_path, {"tokenFile": "token"})).credential
    async with trio.open_nursery() as nursery:
        await nursery.start(credential.run)
        token.write_text("two")
        await trio.sleep(CHECK_INTERVAL_S / 2)
        assert credential.authorization() == b"Bearer one"
        await until(lambda: credential.authorization() == b"Bearer two")
        # kubelet's way: a symbolic link is swapped
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "token").write_text("six")
        token.unlink()
        token.symlink_to("data/token")
        await until(lambda: credential.authorization() == b"Bearer six")
        assert credential.generation == 0
        nursery.cancel_scope.cancel()


async def test_the_last_good_token_serves_while_its_file_is_bad(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    token = tmp_path / "token"
    token.write_text("good")
    credential = load_kubeconfig(write_kubeconfig(tmp_path, {"tokenFile": "token"})).credential
    async with trio.open_nursery() as nursery:
        await nursery.start(credential.run)
        token.unlink()
        await trio.sleep(3 * CHECK_INTERVAL_S)
        token.write_text("")
        await trio.sleep(3 * CHECK_INTERVAL_S)
        assert credential.authorization() == b"Bearer good"
        token.write_text("better")
        await until(lambda: credential.authorization() == b"Bearer better")
        nursery.cancel_scope.cancel()


async def test_a_rejection_reads_the_file_at_once(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("one")
    credential = load_kubeconfig(write_kubeconfig(tmp_path, {"tokenFile": "token"})).credential
    async with trio.open_nursery() as nursery:
        await nursery.start(credential.run)
        token.write_text("two")
        started = trio.current_time()
        for _ in range(1000):
            credential.rejected()
        await until(lambda: credential.authorization() == b"Bearer two")
        assert trio.current_time() - started < CHECK_INTERVAL_S / 2
        nursery.cancel_scope.cancel()


async def test_an_unchanged_file_is_not_read_again(
    tmp_path: Path, autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text("one")
    credential = load_kubeconfig(write_kubeconfig(tmp_path, {"tokenFile": "token"})).credential
    reads: list[Path] = []
    monkeypatch.setattr(credentials, "_read_file", lambda path, *_: reads.append(path))
    async with trio.open_nursery() as nursery:
        await nursery.start(credential.run)
        await trio.sleep(5 * CHECK_INTERVAL_S)
        nursery.cancel_scope.cancel()
    assert reads == []


async def test_a_renewed_certificate_is_a_new_generation(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    write_certificate(tmp_path, "first")
    user = {"client-certificate": "me.crt", "client-key": "me.key"}
    cluster = load_kubeconfig(write_kubeconfig(tmp_path, user))
    async with trio.open_nursery() as nursery:
        await nursery.start(cluster.credential.run)
        before = cluster.ssl_context()
        old_certificate = (tmp_path / "me.crt").read_bytes()
        write_certificate(tmp_path, "second")
        new_certificate = (tmp_path / "me.crt").read_bytes()
        (tmp_path / "me.crt").write_bytes(old_certificate)  # half written: the new key, the old certificate
        await trio.sleep(3 * CHECK_INTERVAL_S)
        assert cluster.generation == 0
        assert name_shown_to(cluster) == "first"
        (tmp_path / "me.crt").write_bytes(new_certificate)
        await until(lambda: cluster.generation == 1)
        assert cluster.ssl_context() is not before
        assert name_shown_to(cluster) == "second"
        (tmp_path / "me.crt").touch()  # the same content: nothing new
        await trio.sleep(3 * CHECK_INTERVAL_S)
        assert cluster.generation == 1
        nursery.cancel_scope.cancel()


# --- in a pod, from flags --------------------------------------------------------------------------


def service_account(directory: Path) -> Path:
    (directory / "token").write_text("sa-token")
    (directory / "ca.crt").write_bytes(CA.cert_pem.bytes())
    return directory


@pytest.mark.parametrize(
    ("host", "authority", "name"),
    [("10.96.0.1", b"10.96.0.1:443", "10.96.0.1"), ("fd00::1", b"[fd00::1]:443", "fd00::1")],
)
def test_a_pod_finds_its_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str, authority: bytes, name: str
) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    cluster = load_in_cluster(service_account(tmp_path))
    assert (cluster.host, cluster.port, cluster.authority, cluster.server_name) == (
        name,
        443,
        authority,
        name,
    )
    assert cluster.credential.authorization() == b"Bearer sa-token"
    assert cluster.ca == CA.cert_pem.bytes()


def test_outside_a_pod_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(BadKubeconfig, match="this is no pod"):
        load_in_cluster(service_account(tmp_path))


def test_a_pod_without_a_service_account_token_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    with pytest.raises(
        BadKubeconfig, match=r"in-cluster: the certificate authority .*ca\.crt cannot be read"
    ):
        load_in_cluster(tmp_path)


def test_flags_name_a_cluster(tmp_path: Path) -> None:
    service_account(tmp_path)
    write_certificate(tmp_path, "flagged")
    cluster = from_flags(
        "https://api.example",
        ca_file=tmp_path / "ca.crt",
        token_file=tmp_path / "token",
        client_cert=tmp_path / "me.crt",
        client_key=tmp_path / "me.key",
    )
    assert cluster.credential.authorization() == b"Bearer sa-token"
    assert name_shown_to(cluster) == "flagged"


def test_flags_without_a_ca_trust_the_systems_roots(tmp_path: Path) -> None:
    assert from_flags("https://api.example", token_file=service_account(tmp_path) / "token").ca is None


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        ({}, "name a token file or a client certificate"),
        ({"client_cert": Path("/x")}, "needs its key"),
        ({"client_key": Path("/x")}, "needs its key"),
    ],
)
def test_flags_that_do_not_suffice_are_refused(flags: dict[str, Path], why: str) -> None:
    with pytest.raises(BadKubeconfig, match=why):
        from_flags("https://api.example", **flags)
    with pytest.raises(BadKubeconfig, match="only https://"):
        from_flags("http://api.example", **flags)


# --- exec plugins -----------------------------------------------------------------------------------

COUNTING = """
import datetime, json, os, sys, time
count = int(open(COUNT).read() or 0) + 1 if os.path.exists(COUNT) else 1
open(COUNT, "w").write(str(count))
if os.path.exists(COUNT + ".fail"):
    sys.exit("no login")
end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=LIFETIME)
status = {"token": f"token-{count}", "expirationTimestamp": end.isoformat()}
if LIFETIME is FOREVER:
    del status["expirationTimestamp"]
if os.path.exists("me.crt"):
    status.update(clientCertificateData=open("me.crt").read(), clientKeyData=open("me.key").read())
print(json.dumps({"kind": "ExecCredential", "apiVersion": "client.authentication.k8s.io/v1", "status": status}))
"""


def counting_plugin(directory: Path, lifetime_s: float | None = None) -> UpstreamCluster:
    """A cluster whose plugin prints token-1, token-2, ... and counts its runs in the file `count`."""
    (directory / "plugin.py").write_text(
        f"import os\nos.chdir({str(directory)!r})\nCOUNT = 'count'\nFOREVER = 1000\n"
        f"LIFETIME = {'FOREVER' if lifetime_s is None else lifetime_s}\n" + COUNTING
    )
    plugin = {
        "apiVersion": V1,
        "command": sys.executable,
        "args": [str(directory / "plugin.py")],
        "interactiveMode": "IfAvailable",
        "provideClusterInfo": True,
    }
    return load_kubeconfig(write_kubeconfig(directory, {"exec": plugin}))


def runs(directory: Path) -> int:
    return int((directory / "count").read_text() or 0) if (directory / "count").exists() else 0


async def test_a_plugin_runs_once_and_its_token_is_kept(tmp_path: Path) -> None:
    credential = counting_plugin(tmp_path).credential
    with pytest.raises(CredentialUnavailable, match="has not run yet"):
        credential.authorization()
    async with trio.open_nursery() as nursery:
        await nursery.start(credential.run)
        assert credential.authorization() == b"Bearer token-1"
        assert credential.authorization() == b"Bearer token-1"
        await trio.sleep(0.2)
        assert runs(tmp_path) == 1
        nursery.cancel_scope.cancel()


async def test_a_token_is_renewed_before_it_expires(tmp_path: Path) -> None:
    credential = counting_plugin(tmp_path, 3).credential
    async with trio.open_nursery() as nursery:
        await nursery.start(credential.run)
        await until(
            lambda: credential.authorization() != b"Bearer token-1"
        )  # would raise if it expired first
        assert credential.authorization() == b"Bearer token-2"
        nursery.cancel_scope.cancel()


async def test_rejections_make_it_run_again_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "REJECTED_INTERVAL_S", 0.5)
    credential = counting_plugin(tmp_path).credential
    async with trio.open_nursery() as nursery:
        await nursery.start(credential.run)
        for _ in range(1000):
            credential.rejected()
        await until(lambda: credential.authorization() == b"Bearer token-2")
        await trio.sleep(0.3)
        assert runs(tmp_path) == 2
        nursery.cancel_scope.cancel()


async def test_a_rejected_credential_is_not_renewed_in_a_tight_loop(tmp_path: Path) -> None:
    credential = counting_plugin(tmp_path).credential
    async with trio.open_nursery() as nursery:
        await nursery.start(credential.run)
        (tmp_path / "count.fail").touch()
        for _ in range(50):
            credential.rejected()
            await trio.sleep(0.02)
        assert runs(tmp_path) == 1
        assert credential.authorization() == b"Bearer token-1"
        nursery.cancel_scope.cancel()


@pytest.mark.slow
async def test_the_last_good_token_serves_until_it_expires_and_then_says_why(tmp_path: Path) -> None:
    credential = counting_plugin(tmp_path, 3).credential
    async with trio.open_nursery() as nursery:
        await nursery.start(credential.run)
        (tmp_path / "count.fail").touch()
        await until(lambda: runs(tmp_path) >= 2)
        assert credential.authorization() == b"Bearer token-1"
        await trio.sleep(3.2)
        with pytest.raises(
            CredentialUnavailable, match=r"expired at .*Z, and: .* ended with code 1: no login"
        ):
            credential.authorization()
        (tmp_path / "count.fail").unlink()
        await until(lambda: is_available(credential))
        nursery.cancel_scope.cancel()


def is_available(credential: credentials.Credential) -> bool:
    try:
        return credential.authorization() is not None
    except CredentialUnavailable:
        return False


async def test_a_plugin_that_fails_at_first_does_not_keep_the_gateway_from_starting(tmp_path: Path) -> None:
    (tmp_path / "count.fail").touch()
    credential = counting_plugin(tmp_path).credential
    async with trio.open_nursery() as nursery:
        await nursery.start(credential.run)
        with pytest.raises(CredentialUnavailable, match="no login"):
            credential.authorization()
        (tmp_path / "count.fail").unlink()
        await until(lambda: is_available(credential))
        nursery.cancel_scope.cancel()


async def test_a_credential_that_is_born_expired_is_refused(tmp_path: Path) -> None:
    credential = counting_plugin(tmp_path, -5).credential
    async with trio.open_nursery() as nursery:
        await nursery.start(credential.run)
        with pytest.raises(CredentialUnavailable, match="printed a credential that has expired"):
            credential.authorization()
        nursery.cancel_scope.cancel()


async def test_a_certificate_of_a_plugin_is_used_and_its_renewal_is_a_new_generation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials, "REJECTED_INTERVAL_S", 0.05)
    write_certificate(tmp_path, "first")
    cluster = counting_plugin(tmp_path)
    assert cluster.credential.certificate is None
    async with trio.open_nursery() as nursery:
        await nursery.start(cluster.credential.run)
        assert cluster.generation == 1
        assert name_shown_to(cluster) == "first"
        cluster.credential.rejected()
        await until(lambda: runs(tmp_path) == 2 and cluster.credential.authorization() == b"Bearer token-2")
        assert cluster.generation == 1  # the same certificate again
        write_certificate(tmp_path, "second")
        cluster.credential.rejected()
        await until(lambda: cluster.generation == 2)
        assert name_shown_to(cluster) == "second"
        (tmp_path / "me.key").write_text("no key")
        cluster.credential.rejected()
        await until(lambda: runs(tmp_path) >= 4)
        assert name_shown_to(cluster) == "second"
        nursery.cancel_scope.cancel()


async def test_cancelling_ends_a_plugin_under_way(tmp_path: Path) -> None:
    cluster = counting_plugin(tmp_path)
    (tmp_path / "plugin.py").write_text("import time; time.sleep(600)")
    started = time.monotonic()
    with trio.move_on_after(0.5):
        await cluster.credential.run()
    assert time.monotonic() - started < 20
