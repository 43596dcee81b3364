"""The toy cluster: four namespaces, a payments service with card numbers worth hiding, one node.

Every value is invented; the card numbers are the ones payment providers publish for tests.
"""

import base64
from typing import Final

from gateway.demo.standin.api.kinds import find_kind
from gateway.demo.standin.api.store import Store
from gateway.demo.standin.replies import JsonObject

CARD_NUMBERS: Final = ("4111111111111111", "5555555555554444", "378282246310005")
CUSTOMERS_CSV: Final = (
    "id,name,email,card\n"
    f"1,Ada Lovelace,ada@example.com,{CARD_NUMBERS[0]}\n"
    f"2,Grace Hopper,grace@example.com,{CARD_NUMBERS[1]}\n"
    f"3,Edsger Dijkstra,edsger@example.com,{CARD_NUMBERS[2]}\n"
)


def fill(store: Store) -> None:
    """Put the toy cluster into an empty store."""
    for namespace in ("default", "kube-system", "payments", "prod"):
        _create(
            store,
            "namespaces",
            "",
            {"metadata": {"name": namespace, "labels": {"kubernetes.io/metadata.name": namespace}}},
        )
        _create(store, "serviceaccounts", namespace, {"metadata": {"name": "default"}})
        _create(
            store, "configmaps", namespace, {"metadata": {"name": "kube-root-ca.crt"}, "data": {"ca.crt": ""}}
        )
    _create(store, "nodes", "", _node())
    _create(store, "services", "default", _service("kubernetes", 443, {}))
    for namespace, name, image in (
        ("default", "web", "example.com/web:1.4"),
        ("kube-system", "coredns", "example.com/coredns:1.11"),
        ("payments", "api", "example.com/payments-api:2.7"),
        ("payments", "worker", "example.com/payments-worker:2.7"),
        ("prod", "shop", "example.com/shop:3.1"),
    ):
        pod = _create(store, "pods", namespace, _pod(name, image))
        _create(store, "events", namespace, _event(name, namespace, pod["metadata"]["uid"]))
    for namespace, name, image in (
        ("prod", "shop", "example.com/shop:3.1"),
        ("payments", "api", "example.com/payments-api:2.7"),
    ):
        _create(store, "deployments", namespace, _deployment(name, image))
        _create(store, "services", namespace, _service(name, 80, {"app": name}))
    cards = {"cards": "\n".join(CARD_NUMBERS), "api-key": "sk_live_0123456789abcdef"}
    _create(
        store,
        "secrets",
        "payments",
        {"metadata": {"name": "customer-cards"}, "type": "Opaque", "data": _base64(cards)},
    )
    database = {"username": "payments", "password": "correct horse battery staple"}
    _create(
        store,
        "secrets",
        "payments",
        {"metadata": {"name": "database"}, "type": "Opaque", "data": _base64(database)},
    )
    _create(
        store,
        "configmaps",
        "payments",
        {"metadata": {"name": "api-config"}, "data": {"LOG_LEVEL": "info", "REGION": "eu-west-1"}},
    )
    _create(store, "configmaps", "prod", {"metadata": {"name": "shop-config"}, "data": {"CURRENCY": "EUR"}})


def _create(store: Store, plural: str, namespace: str, obj: JsonObject) -> JsonObject:
    kind = find_kind("apps" if plural == "deployments" else "", "v1", plural)
    if kind is None:
        raise AssertionError(plural)
    return store.create(kind, namespace, settle(kind.kind, obj))


def settle(kind: str, obj: JsonObject) -> JsonObject:
    """Give a new object what defaulting, scheduler and controllers would: there are none here.

    Pods run at once on node1, deployments are rolled out, namespaces active.
    """
    spec = (
        obj.setdefault("spec", {})
        if kind in ("Pod", "Deployment", "ReplicaSet", "Service", "Namespace")
        else {}
    )
    if kind == "Pod":
        spec.setdefault("nodeName", "node1")
        spec.setdefault("restartPolicy", "Always")
        spec.setdefault("terminationGracePeriodSeconds", 30)
        spec.setdefault("serviceAccountName", "default")
        obj["status"] = _pod_status(spec)
    elif kind in ("Deployment", "ReplicaSet"):
        replicas = spec.setdefault("replicas", 1)
        counts = ("replicas", "readyReplicas", "availableReplicas", "updatedReplicas")
        obj["status"] = dict.fromkeys(counts, replicas) | {"observedGeneration": 1}
        obj.setdefault("metadata", {}).setdefault("generation", 1)
    elif kind == "Namespace":
        spec.setdefault("finalizers", ["kubernetes"])
        obj["status"] = {"phase": "Active"}
    elif kind == "Service":
        spec.setdefault("type", "ClusterIP")
        spec.setdefault("clusterIP", "10.96.0.10")
    elif kind == "Secret":
        obj.setdefault("type", "Opaque")
        if plain := obj.pop("stringData", None):
            obj["data"] = (obj.get("data") or {}) | _base64(plain)
    return obj


def _pod_status(spec: JsonObject) -> JsonObject:
    started = {"running": {"startedAt": "2025-01-01T00:00:00Z"}}
    statuses = [
        {
            "name": container.get("name", ""),
            "image": container.get("image", ""),
            "imageID": "",
            "ready": True,
            "restartCount": 0,
            "started": True,
            "state": started,
        }
        for container in spec.get("containers", [])
        if isinstance(container, dict)
    ]
    conditions = [
        {"type": name, "status": "True"}
        for name in ("Initialized", "Ready", "ContainersReady", "PodScheduled")
    ]
    return {
        "phase": "Running",
        "conditions": conditions,
        "hostIP": "192.0.2.10",
        "podIP": "192.0.2.20",
        "podIPs": [{"ip": "192.0.2.20"}],
        "startTime": "2025-01-01T00:00:00Z",
        "containerStatuses": statuses,
        "qosClass": "BestEffort",
    }


def _pod(name: str, image: str) -> JsonObject:
    container = {"name": name, "image": image, "ports": [{"containerPort": 80}], "stdin": True, "tty": False}
    return {"metadata": {"name": name, "labels": {"app": name}}, "spec": {"containers": [container]}}


def _deployment(name: str, image: str) -> JsonObject:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": name, "image": image}]}}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    return {"metadata": {"name": name, "labels": labels}, "spec": spec}


def _service(name: str, port: int, selector: dict[str, str]) -> JsonObject:
    spec = {"ports": [{"port": port, "protocol": "TCP", "targetPort": port}], "selector": selector}
    return {"metadata": {"name": name}, "spec": spec}


def _node() -> JsonObject:
    status = {
        "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
        "addresses": [{"type": "InternalIP", "address": "192.0.2.10"}],
        "capacity": {"cpu": "2", "memory": "4Gi", "pods": "110"},
        "nodeInfo": {
            "kubeletVersion": "none (stand-in)",
            "operatingSystem": "linux",
            "architecture": "amd64",
        },
    }
    return {"metadata": {"name": "node1", "labels": {"kubernetes.io/hostname": "node1"}}, "status": status}


def _event(pod: str, namespace: str, uid: str) -> JsonObject:
    about = {"kind": "Pod", "namespace": namespace, "name": pod, "uid": uid, "apiVersion": "v1"}
    seen = {"firstTimestamp": "2025-01-01T00:00:00Z", "lastTimestamp": "2025-01-01T00:00:00Z", "count": 1}
    event = {"metadata": {"name": f"{pod}.1"}, "involvedObject": about, "type": "Normal", "reason": "Started"}
    return (
        event
        | seen
        | {"message": f"Started container {pod}", "source": {"component": "kubelet", "host": "node1"}}
    )


def _base64(values: dict[str, str]) -> dict[str, str]:
    return {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
