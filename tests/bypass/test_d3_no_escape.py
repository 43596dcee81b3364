"""D2, D3, S9, S11 under the pack no-escape, where everything else is allowed: nobody gets behind the API, a credential
that works without the gateway, or onto a node. What is held reaches the cluster as a dry run at most."""

from pathlib import Path
from typing import Final

import msgspec
import trio

from tests.bypass.attack import attack
from tests.bypass.packs import under_no_escape
from tests.bypass.shells import POD, V5, Cluster
from tests.kit.gateway_rig import Rig
from tests.kit.orc import OrcConnection, Script, SeenRequest, answer
from tests.kit.raw_client import Response
from tests.kit.tunnel_ends import spdy_fields, websocket_fields

API, APPS, BATCH = b"/api/v1", b"/apis/apps/v1/namespaces/default", b"/apis/batch/v1/namespaces/default"
RBAC, DEFAULT = b"/apis/rbac.authorization.k8s.io/v1", b"/api/v1/namespaces/default"
NOW: Final = b"timeout=1s"
"""A client that does not wait: what is held is answered at once."""

ASKED_S: Final = 0.5
"""Ten times what the way to the cluster and back takes."""

KUBELET = [
    (b"GET", API + b"/nodes/n/proxy/exec/default/p/c?command=sh"),
    (b"POST", API + b"/nodes/n/proxy/run/default/p/c?cmd=id"),
    (b"GET", API + b"/nodes/n:10250/proxy/containerLogs/default/p/c"),
    (b"GET", API + b"/proxy/nodes/n/pods"),
    (b"GET", DEFAULT + b"/pods/p:10250/proxy/runningpods/"),
    (b"GET", DEFAULT + b"/pods/https:p:10250/proxy/runningpods/"),
    (b"GET", DEFAULT + b"/services/https:kubelet:https-metrics/proxy/pods"),
]
CREDENTIALS: list[tuple[bytes, bytes, object]] = [
    (b"POST", DEFAULT + b"/serviceaccounts/robot/token", {"spec": {}}),
    (b"POST", b"/apis/certificates.k8s.io/v1/certificatesigningrequests", {"spec": {}}),
    (b"PUT", b"/apis/certificates.k8s.io/v1/certificatesigningrequests/c/approval", {}),
    (b"PUT", b"/apis/certificates.k8s.io/v1/certificatesigningrequests/c/status", {}),
    (b"POST", DEFAULT + b"/secrets", {"type": "kubernetes.io/service-account-token"}),
    (b"POST", API + b"/namespaces/kube-system/secrets", {"type": "bootstrap.kubernetes.io/token"}),
    (b"POST", API + b"/namespaces/kube-system/secrets", {"metadata": {"name": "bootstrap-token-abcdef"}}),
    (b"GET", API + b"/namespaces/kube-system/secrets/bootstrap-token-abcdef", None),
    (b"POST", RBAC + b"/clusterroles", {"rules": [{"verbs": ["escalate"], "resources": ["roles"]}]}),
    (b"PUT", RBAC + b"/clusterroles/r", {"rules": [{"verbs": ["bind"], "resources": ["clusterroles"]}]}),
    (b"PUT", RBAC + b"/clusterroles/r", {"rules": [{"verbs": ["impersonate"], "resources": ["users"]}]}),
    (b"POST", RBAC + b"/clusterroles", {"rules": [{"verbs": ["get"], "resources": ["nodes/proxy"]}]}),
]
ADMISSION = b"/apis/admissionregistration.k8s.io/v1"
RIGHTS: list[tuple[bytes, bytes, object]] = [
    (b"POST", RBAC + b"/clusterrolebindings", {"roleRef": {"name": "cluster-admin"}}),
    (b"PUT", RBAC + b"/namespaces/default/rolebindings/b", {}),
    (b"DELETE", RBAC + b"/clusterroles/r", None),
    (b"PUT", API + b"/namespaces/kube-system/configmaps/aws-auth", {"data": {"mapUsers": "x"}}),
    (b"POST", API + b"/namespaces/kube-system/configmaps", {"metadata": {"name": "aws-auth"}}),
    (b"POST", ADMISSION + b"/mutatingwebhookconfigurations", {}),
    (b"PUT", ADMISSION + b"/validatingwebhookconfigurations/w", {}),
    (b"POST", b"/apis/apiregistration.k8s.io/v1/apiservices", {}),
    (
        b"POST",
        b"/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
        {"spec": {"conversion": {"strategy": "Webhook"}}},
    ),
]
ON_THE_NODE: Final[tuple[dict[str, object], ...]] = (
    {"hostPID": True},
    {"hostNetwork": True},
    {"hostIPC": True},
    {"volumes": [{"name": "root", "hostPath": {"path": "/"}}]},
    {"containers": [{"name": "c", "securityContext": {"privileged": True}}]},
    {"initContainers": [{"name": "c", "securityContext": {"privileged": True}}]},
    {"containers": [{"name": "c", "securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}}]},
)


def _in_template(spec: object) -> dict[str, object]:
    return {"spec": {"template": {"spec": spec}}}


NODES: list[tuple[bytes, bytes, object]] = [
    *((b"POST", DEFAULT + b"/pods", {"spec": spec}) for spec in ON_THE_NODE),
    *(
        (b"POST", prefix + b"/" + kind, _in_template({"hostPID": True}))
        for prefix, kinds in (
            (DEFAULT, (b"replicationcontrollers",)),
            (APPS, (b"deployments", b"daemonsets", b"statefulsets", b"replicasets")),
            (BATCH, (b"jobs",)),
        )
        for kind in kinds
    ),
    (b"POST", BATCH + b"/cronjobs", {"spec": {"jobTemplate": _in_template({"hostPID": True})}}),
    (b"POST", DEFAULT + b"/podtemplates", {"template": {"spec": {"hostPID": True}}}),
    (b"PUT", APPS + b"/daemonsets/d", _in_template({"hostNetwork": True})),
    (b"POST", API + b"/persistentvolumes", {"spec": {"hostPath": {"path": "/"}}}),
]
DEBUGGER = {"spec": {"ephemeralContainers": [{"name": "debugger", "image": "busybox"}]}}
SHELLS = [
    (b"GET", API + b"/namespaces/kube-system/pods/p/exec?command=sh&stdin=true", websocket_fields(V5)),
    (b"GET", API + b"/namespaces/kube-system/pods/p/attach?stdin=true", websocket_fields(V5)),
    (b"GET", POD + b"/exec?command=sh&stdin=true", websocket_fields(V5)),
    (b"POST", POD + b"/exec?command=sh&stdin=true", spdy_fields(b"v4.channel.k8s.io")),
    (b"POST", POD + b"/portforward", spdy_fields(b"portforward.k8s.io")),
]


def answers_all() -> Script:
    """A cluster that does what it is asked. Its pods share the network of their node."""
    shell = Cluster()

    async def script(connection: OrcConnection, request: SeenRequest) -> None:
        if request.header(b"upgrade"):
            await shell(connection, request)
        else:
            await connection.send(answer(200, b'{"spec":{"hostNetwork":true},"status":{"token":"t"}}'))

    return script


async def send(rig: Rig, method: bytes, target: bytes, body: object) -> Response:
    sent = b"" if body is None else msgspec.json.encode(body)
    at = b"&" if b"?" in target else b"?"
    return await rig.ask(method, target + at + NOW, b"Content-Type: application/json", body=sent)


def acted_on(rig: Rig) -> list[SeenRequest]:
    """What the cluster was asked to do: not what it was asked to look at, nor to try."""
    return [one for one in rig.orc.requests if one.method != b"GET" and b"dryRun=All" not in one.target]


@attack(script=answers_all, change=under_no_escape)
async def go_through_the_kubelet(rig: Rig) -> None:
    for method, target in KUBELET:
        response = await rig.ask(method, target)
        assert response.status == 403, f"the kubelet was reached by {target.decode()}"
    assert rig.orc.requests == [], "the cluster was asked for what is behind a proxy"


@attack(script=answers_all, change=under_no_escape)
async def mint_a_credential(rig: Rig) -> None:
    for method, target, body in CREDENTIALS:
        response = await send(rig, method, target, body)
        assert response.status == 403, f"a credential was to be had from {target.decode()}"
    assert rig.orc.requests == [], "the cluster was asked for a credential"


@attack(script=answers_all, change=under_no_escape)
async def give_oneself_rights(rig: Rig) -> None:
    for method, target, body in RIGHTS:
        response = await send(rig, method, target, body)
        assert response.status == 429, f"rights were changed by one alone, with {target.decode()}"
    assert acted_on(rig) == [], "the cluster changed rights before anybody agreed"


@attack(script=answers_all, change=under_no_escape)
async def take_over_a_node(rig: Rig) -> None:
    for method, target, body in NODES:
        response = await send(rig, method, target, body)
        assert response.status == 429, f"a node could be taken over with {target.decode()}"
    assert acted_on(rig) == [], "a pod came to a node before anybody agreed"


@attack(script=answers_all, change=under_no_escape)
async def debug_under_no_escape(rig: Rig) -> None:
    for method in (b"PATCH", b"PUT"):
        response = await send(rig, method, POD + b"/ephemeralcontainers", DEBUGGER)
        assert response.status in (415, 429), "a container was put into a pod by one alone"
    kind = b"Content-Type: application/strategic-merge-patch+json"
    target = POD + b"/ephemeralcontainers?" + NOW
    response = await rig.ask(b"PATCH", target, kind, body=msgspec.json.encode(DEBUGGER))
    assert response.status == 429, "a container was put into a pod by one alone"
    assert acted_on(rig) == [], "a container was there before anybody agreed"


@attack(script=answers_all, change=under_no_escape)
async def open_a_shell_on_a_node(rig: Rig) -> None:
    for method, target, fields in SHELLS:
        async with rig.client() as client:
            await client.send(rig.request(method, target, *fields))
            with trio.move_on_after(ASKED_S):  # a shell says that it waits, a port-forward says nothing
                await client.head()
        shells = [one for one in rig.orc.requests if one.header(b"upgrade")]
        assert shells == [], "a shell was opened before anybody agreed"


async def test_S11_D2_nobody_reaches_the_kubelet(tmp_path: Path) -> None:
    await go_through_the_kubelet.against(tmp_path)


async def test_D3_nobody_makes_a_credential_that_works_without_the_gateway(tmp_path: Path) -> None:
    await mint_a_credential.against(tmp_path)


async def test_D3_nobody_changes_rights_alone(tmp_path: Path) -> None:
    await give_oneself_rights.against(tmp_path)


async def test_D3_nobody_puts_anything_on_a_node_alone(tmp_path: Path) -> None:
    await take_over_a_node.against(tmp_path)


async def test_S09_D3_nobody_debugs_a_pod_alone(tmp_path: Path) -> None:
    await debug_under_no_escape.against(tmp_path)


async def test_D3_nobody_opens_a_shell_on_a_node_alone(tmp_path: Path) -> None:
    await open_a_shell_on_a_node.against(tmp_path)
