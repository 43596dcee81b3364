"""A gateway whose policy masks, with secrets around it, and a look at everything it keeps when it closes."""

import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any

import yaml

from storage.records import Masked
from tests.clients.programs import find_kubectls
from tests.clients.rig import ClientRig, Running
from tests.cluster.canaries import Canaries, encoded
from tests.cluster.gateways import Front, run_gateway
from tests.cluster.scene import Scene
from tests.kit.tape_reading import read_records

POLICY = """
apiVersion: kubetape/v1
kind: Policy
metadata: {name: masks}
default: allow
rules:
- {name: secrets, match: {resources: [secrets]}, action: {mask: {paths: ["data.*", "stringData.*"]}}}
- {name: config, match: {resources: [configmaps]}, action: {mask: {paths: [data.password]}}}
- {name: vaults, match: {resources: ["vaults.*"]}, action: {mask: {paths: [spec.password]}}}
- {name: hosts, match: {resources: [services]}, action: {mask: {paths: [spec.externalName]}}}
- name: env
  match: {resources: [pods, deployments.apps, replicasets.apps]}
  action: {mask: {paths: ["spec.containers[*].env[*].value", "spec.template.spec.containers[*].env[*].value"]}}
- {name: keys, action: {mask: {detectors: [aws-key]}}}
"""
PLACEHOLDER = "[masked by masks/"


class Stage:
    """The gateway, its secrets, and a client of each side: `rig` through the gateway, `admin` around it."""

    def __init__(self, scene: Scene, front: Front, canaries: Canaries, bookmarked: Running) -> None:
        self.scene, self.front, self.canaries, self.bookmarked = scene, front, canaries, bookmarked
        self.admin = scene.admin

    def rig(self, scratch: Path, at: int = -1) -> ClientRig:
        return ClientRig(find_kubectls()[at], self.front.member, scratch)

    def expect_hidden(self, *shown: bytes | str) -> None:
        """There is something masked in each, and no secret."""
        for text in shown:
            assert self.canaries.found_in(text) == []
            plain = text.decode() if isinstance(text, bytes) else text
            in_base64 = encoded(PLACEHOLDER)[:-4]
            assert PLACEHOLDER in plain or in_base64 in plain, plain[:2000]

    def stored(self, *arguments: str) -> Any:
        """An object as the cluster has it."""
        return json.loads(self.admin.run("get", *arguments, "-o", "json").stdout)


@contextmanager
def open_stage(scene: Scene, scratch: Path) -> Iterator[Stage]:
    """Open it; when it closes, everything that is kept is looked through."""
    canaries = Canaries()
    path = f"/api/v1/namespaces/{scene.namespace}/secrets?watch=1&allowWatchBookmarks=true"
    with run_gateway(scene, scratch / "gateway", "shared", policy=POLICY) as front:
        with ClientRig(find_kubectls()[-1], front.member, scratch).start("get", "--raw", path) as bookmarked:
            yield Stage(scene, front, canaries, bookmarked)
        assert canaries.found_in_metrics(front) == []
    assert canaries.found_in_record(front) == []
    counted = {
        rule for one in read_records(front.data_dir) if isinstance(one, Masked) for rule, _ in one.counts
    }
    assert counted == {
        f"masks/{rule}" for rule in ("secrets", "config", "hosts", "env", "keys")
    } | counted & {"masks/vaults"}


def dies_of_custom_kinds(admin: ClientRig) -> bool:
    """Releases before 1.24 bring a library that Go broke in 1.18: a build by such a Go ends at the first custom object."""
    version = json.loads(admin.run("get", "--raw", "/version").stdout)
    go_minor = int(version["goVersion"].removeprefix("go1.").partition(".")[0])
    return int(version["minor"].rstrip("+")) < 24 and go_minor >= 18


def vaults(group: str) -> dict[str, Any]:
    """A kind whose table has a column with the secret in it."""
    text = {"type": "string"}
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"password": text}}}}
    version = {
        "name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema},
        "additionalPrinterColumns": [{"name": "Password", "type": "string", "jsonPath": ".spec.password"}],
    }  # fmt: skip
    names = {"plural": "vaults", "singular": "vault", "kind": "Vault", "listKind": "VaultList"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": f"vaults.{group}"},
        "spec": {"group": group, "names": names, "scope": "Namespaced", "versions": [version]},
    }  # fmt: skip


def vault(group: str, password: str) -> bytes:
    item = {
        "apiVersion": f"{group}/v1",
        "kind": "Vault",
        "metadata": {"name": "main"},
        "spec": {"password": password},
    }
    return json.dumps(item).encode()


def get_raw(kubeconfig: Path, path: str, accept: str) -> tuple[int, bytes]:
    """Status and body, asked for in one encoding without a client library."""
    content = yaml.safe_load(kubeconfig.read_text())
    cluster, user = content["clusters"][0]["cluster"], content["users"][0]["user"]
    trust = ssl.create_default_context(cafile=cluster["certificate-authority"])
    connection = HTTPSConnection(cluster["server"].removeprefix("https://"), context=trust, timeout=30)
    connection.request("GET", path, headers={"Authorization": f"Bearer {user['token']}", "Accept": accept})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body
