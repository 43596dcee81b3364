"""S20: a client that chooses where our credential goes (CVE-2025-27095, CVE-2026-61459), or that talks to a shell
of ours (CVE-2023-28110): the address comes from the configuration, the credential goes to the pinned CA alone, and
nothing on the data path starts a program."""

import ast
from pathlib import Path

import trustme

from tests.bypass.attack import OwnScene, answer_to, attack, recorded
from tests.kit.gateway_rig import Rig, open_rig
from tests.kit.orc import open_orc
from tests.test_imports import ROOT, imports_of

PODS = b"/api/v1/namespaces/default/pods"


@attack()
async def name_another_server(rig: Rig) -> None:
    ours = b"127.0.0.1:%d" % rig.orc.port
    async with open_orc() as elsewhere:
        other = b"127.0.0.1:%d" % elsewhere.port
        bearer = b"Authorization: Bearer " + rig.token
        for line, host in (
            (b"GET " + PODS, b"127.0.0.1:%d" % elsewhere.port),
            (b"GET " + PODS, b"localhost:%d" % elsewhere.port),
            (b"GET https://" + other + PODS, rig.host),
            (b"GET //" + other + PODS, rig.host),
            (b"GET /" + other + PODS, rig.host),
            (b"GET @" + other + PODS, rig.host),
            (b"CONNECT " + other, other),
            (b"GET /api/v1/namespaces/default/services/https:" + other + b"/proxy/", rig.host),
        ):
            fields = [
                b"X-Forwarded-Host: " + other,
                b"X-Original-Host: " + other,
                b"Referer: https://" + other,
            ]
            wire = b"\r\n".join([line + b" HTTP/1.1", b"Host: " + host, bearer, *fields, b"", b""])
            await answer_to(rig, wire)
        assert elsewhere.received_bytes == 0, "a client chose where its call goes"
        for seen in rig.orc.requests:
            assert seen.header(b"host") == ours, "a client chose by which name the cluster is asked"
            assert seen.target.startswith(b"/"), "a client chose where its call goes"
    await recorded(rig)


@OwnScene
async def impersonate_the_cluster(directory: Path) -> None:
    async with open_orc(authority=trustme.CA(key_type=trustme.KeyType.ECDSA)) as impostor:
        ca = trustme.CA(key_type=trustme.KeyType.ECDSA).cert_pem.bytes()
        kubeconfig = impostor.write_kubeconfig(directory / "kubeconfig", ca=ca)
        status, told = 0, True
        async with open_rig(directory, orc=impostor, kubeconfig=kubeconfig) as rig:
            status = (await rig.ask(b"GET", PODS)).status
            told = bool(impostor.received_bytes)
    assert not told, "an impostor of the cluster got our credential"
    assert status == 502


async def test_S20_no_client_chooses_where_its_call_goes(tmp_path: Path) -> None:
    await name_another_server.against(tmp_path)


async def test_S20_our_credential_goes_to_the_pinned_ca_alone(tmp_path: Path) -> None:
    await impersonate_the_cluster.against(tmp_path)


def test_S20_nothing_on_the_data_path_starts_a_program() -> None:
    """Only the credential plugin of the operator's own kubeconfig, the keeper, the supervisor's children, `verify`
    and the demo do."""
    starting = {
        "subprocess",
        "pty",
        "os.system",
        "os.popen",
        "os.execv",
        "os.execve",
        "os.posix_spawn",
        "multiprocessing",
    }
    found = set()
    for package in ("gateway", "protocol", "storage"):
        for path in (ROOT / package).rglob("*.py"):
            attributes = {
                ast.unparse(n) for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Attribute)
            }
            if starting & (imports_of(path) | attributes):
                found.add(str(path.relative_to(ROOT)))
    found = {name for name in found if not name.startswith("gateway/demo/")}
    ours = {"gateway/child.py", "gateway/keeper.py", "storage/verify/verify.py"}
    assert found == {*ours, "gateway/upstream/exec_plugin.py"}
