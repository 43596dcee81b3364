"""A namespace on the real cluster with all that the steps need, made by the admin, without a gateway.

`web` serves HTTP on port 80, echoes on port 7 and counts lines into its log. `member` is a person who may do
everything in the namespace, `reader` one who may look. `shared` and `impersonator` are the service accounts a
gateway can use: what they did in the audit log was done by our gateways alone.
"""

import json
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import yaml

from tests.clients.programs import find_kubectls
from tests.clients.rig import DEADLINE_S, ClientRig
from tests.cluster.surroundings import IMAGE, admin_kubeconfig

SERVE = """
mkdir -p /www
echo "hello from web" > /www/index.html
dd if=/dev/urandom of=/www/large bs=65536 count=80 2>/dev/null
httpd -p 80 -h /www
nc -ll -p 7 -e cat &
n=0
while true; do n=$((n+1)); echo "line=$n"; sleep 0.2; done
"""
LARGE_BYTES = 80 * 65536
GROUP = "kubetape-testers"


class Scene(msgspec.Struct, frozen=True):
    """admin: cluster-admin without a gateway, in the namespace. member, reader: names of users."""

    admin: ClientRig
    namespace: str
    member: str
    reader: str

    @property
    def twin(self) -> str:
        """A user with the reader's rights whom no gateway of ours ever acts for."""
        return f"{self.reader}-twin"

    def credential(self, account: str, path: Path) -> Path:
        """Write a kubeconfig with a token of one of the service accounts."""
        view = json.loads(
            self.admin.run("config", "view", "--raw", "--minify", "--flatten", "-o", "json").text
        )
        token = self.admin.run("create", "token", account, "--duration=4h").text.strip()
        return write_kubeconfig(path, view["clusters"][0]["cluster"], token, self.namespace)

    def account_name(self, account: str) -> str:
        return f"system:serviceaccount:{self.namespace}:{account}"


def write_kubeconfig(path: Path, cluster: dict[str, Any], token: str, namespace: str) -> Path:
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "it", "cluster": cluster}],
        "users": [{"name": "it", "user": {"token": token}}],
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it", "namespace": namespace}}],
        "current-context": "it",
    }
    path.write_text(yaml.safe_dump(content))
    path.chmod(0o600)
    return path


@contextmanager
def open_scene(scratch: Path) -> Iterator[Scene]:
    """Make it all; delete it all."""
    name = f"kubetape-test-{uuid.uuid4().hex[:8]}"
    kubectl = find_kubectls()[-1]
    view = ClientRig(kubectl, admin_kubeconfig(), scratch).run("config", "view", "--raw", "--flatten").text
    content = yaml.safe_load(view)
    for context in content["contexts"]:
        context["context"]["namespace"] = name
    kubeconfig = scratch / "admin"
    kubeconfig.write_text(yaml.safe_dump(content))
    kubeconfig.chmod(0o600)
    admin = ClientRig(kubectl, kubeconfig, scratch)
    scene = Scene(admin, name, f"{name}-member", f"{name}-reader")
    bindings = [f"{name}-shared", f"{name}-impersonator"]
    try:
        admin.run("create", "namespace", name)
        _wait_for_account(admin)
        admin.run("create", "-f", "-", stdin=yaml.safe_dump_all(_objects(scene)).encode())
        admin.run("wait", "--for=condition=Ready", "pod/web", "--timeout=60s")
        yield scene
    finally:
        admin.run("delete", "namespace", name, "--ignore-not-found", "--wait=false", code=None)
        admin.run("delete", "clusterrolebinding", *bindings, "--ignore-not-found", code=None)
        admin.run("delete", "clusterrole", f"{name}-impersonator", "--ignore-not-found", code=None)


def _wait_for_account(admin: ClientRig) -> None:
    """A controller makes it a moment after the namespace; until then no pod may be created."""
    deadline = time.monotonic() + DEADLINE_S
    while admin.run("get", "serviceaccount", "default", code=None).code != 0:
        assert time.monotonic() < deadline, (
            "the namespace has no service account: is the controller manager running?"
        )
        time.sleep(0.1)


def pod(name: str, command: list[str], **container: Any) -> dict[str, Any]:
    """A pod with one container, `web`, that dies at once when told to."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [container_of(command, **container)]},
    }


def container_of(command: list[str], **container: Any) -> dict[str, Any]:
    return {
        "name": "web",
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": command,
        **container,
    }


def _objects(scene: Scene) -> list[dict[str, Any]]:
    """Roles come before what binds them."""
    name = scene.namespace
    person = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User"}
    impersonator = _rbac("ClusterRole", f"{name}-impersonator") | {
        "rules": [
            {
                "apiGroups": [""],
                "resources": ["users", "groups", "serviceaccounts"],
                "verbs": ["impersonate"],
            },
            {
                "apiGroups": ["authentication.k8s.io"],
                "resources": ["uids", "userextras/*"],
                "verbs": ["impersonate"],
            },
        ]
    }
    return [
        *(_named("ServiceAccount", account) for account in ("shared", "impersonator")),
        impersonator,
        _binding("ClusterRoleBinding", f"{name}-shared", "cluster-admin", _account(name, "shared")),
        _binding(
            "ClusterRoleBinding",
            f"{name}-impersonator",
            f"{name}-impersonator",
            _account(name, "impersonator"),
        ),
        _binding("RoleBinding", "member", "admin", person | {"name": scene.member}),
        _binding("RoleBinding", "reader", "view", person | {"name": scene.reader}),
        _binding("RoleBinding", "twin", "view", person | {"name": scene.twin}),
        pod("web", ["sh", "-c", SERVE]),
    ]


def _named(kind: str, name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}}


def _rbac(kind: str, name: str) -> dict[str, Any]:
    return _named(kind, name) | {"apiVersion": "rbac.authorization.k8s.io/v1"}


def _account(namespace: str, name: str) -> dict[str, str]:
    return {"kind": "ServiceAccount", "name": name, "namespace": namespace}


def _binding(kind: str, name: str, role: str, subject: dict[str, str]) -> dict[str, Any]:
    return _rbac(kind, name) | {
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [subject],
    }
