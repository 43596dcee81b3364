"""Synthetic records as a gateway writes them, from the public shapes of the Kubernetes API.

For training the compression dictionary and for benchmarks. Nothing here comes from a cluster: names,
addresses and hashes are random, shapes follow the API reference (Pod, Deployment, Event, Table, Status, ...).
Seeded: the same seed gives the same records.
"""

import json
import random
from collections.abc import Callable, Iterator

from storage.records import (
    CallRecord,
    ChannelChunk,
    Intent,
    Outcome,
    PrincipalRecord,
    RequestBody,
    ResponseBody,
    ResponseStarted,
    Timings,
    TunnelEnded,
    TunnelStarted,
    VerdictRecord,
    encode_record,
)

APPS = "web api auth cart checkout search payments ledger mailer ingest cache worker billing gateway users".split()
NAMESPACES = "default kube-system prod staging team-a team-b monitoring ingress-nginx argocd data".split()
IMAGES = "nginx:1.27 redis:7.4 postgres:16 python:3.12-slim busybox:1.36 envoyproxy/envoy:v1.31.2 golang:1.23".split()
VERBS = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
HEX = "0123456789abcdef"
BASE = "bcdfghjklmnpqrstvwxz2456789"

Sample = Callable[[random.Random], dict[str, object]]


def digits(rng: random.Random, alphabet: str, count: int) -> str:
    return "".join(rng.choices(alphabet, k=count))


def uid(rng: random.Random) -> str:
    return "-".join(digits(rng, HEX, count) for count in (8, 4, 4, 4, 12))


def when(rng: random.Random) -> str:
    return (
        f"2026-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}T{rng.randint(0, 23):02d}:"
        f"{rng.randint(0, 59):02d}:{rng.randint(0, 59):02d}Z"
    )


def metadata(
    rng: random.Random, name: str, namespace: str, manager: str, *, apply: bool = False
) -> dict[str, object]:
    labels = {"app": name.split("-")[0]}
    if rng.random() < 0.5:
        labels = {
            "app.kubernetes.io/name": name.split("-")[0],
            "app.kubernetes.io/instance": namespace,
            "app.kubernetes.io/managed-by": "Helm",
        }
    meta: dict[str, object] = {
        "name": name,
        "namespace": namespace,
        "uid": uid(rng),
        "resourceVersion": str(rng.randint(10_000, 90_000_000)),
        "creationTimestamp": when(rng),
        "labels": labels,
        "managedFields": [
            {
                "manager": manager,
                "operation": "Update",
                "apiVersion": "v1",
                "time": when(rng),
                "fieldsType": "FieldsV1",
                "fieldsV1": {
                    "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
                    "f:spec": {
                        "f:containers": {'k:{"name":"app"}': {".": {}, "f:image": {}, "f:resources": {}}},
                        "f:dnsPolicy": {},
                        "f:restartPolicy": {},
                    },
                },
            }
        ],
    }
    if apply:
        meta["annotations"] = {
            "kubectl.kubernetes.io/last-applied-configuration": json.dumps(
                {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"annotations": {}, "name": name}}
            ),
            "deployment.kubernetes.io/revision": str(rng.randint(1, 40)),
        }
    return meta


def container(rng: random.Random) -> dict[str, object]:
    return {
        "name": rng.choice(APPS),
        "image": rng.choice(IMAGES),
        "args": ["--port=8080", f"--log-level={rng.choice(['info', 'debug'])}"],
        "ports": [{"name": "http", "containerPort": rng.choice([80, 8080, 9090]), "protocol": "TCP"}],
        "env": [
            {"name": "POD_IP", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "status.podIP"}}},
            {"name": "LOG_LEVEL", "value": "info"},
        ],
        "resources": {
            "limits": {"cpu": "500m", "memory": f"{rng.choice([128, 256, 512])}Mi"},
            "requests": {"cpu": "100m", "memory": "128Mi"},
        },
        "volumeMounts": [
            {
                "name": "kube-api-access-" + digits(rng, BASE, 5),
                "readOnly": True,
                "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
            }
        ],
        "livenessProbe": {
            "httpGet": {"path": "/healthz", "port": "http", "scheme": "HTTP"},
            "initialDelaySeconds": 10,
            "timeoutSeconds": 1,
            "periodSeconds": 10,
            "successThreshold": 1,
            "failureThreshold": 3,
        },
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "imagePullPolicy": "IfNotPresent",
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }


def pod(rng: random.Random) -> dict[str, object]:
    app = rng.choice(APPS)
    replica_set = f"{app}-{digits(rng, BASE, 10)}"
    meta = metadata(
        rng, f"{replica_set}-{digits(rng, BASE, 5)}", rng.choice(NAMESPACES), "kube-controller-manager"
    )
    meta["generateName"] = replica_set + "-"
    meta["ownerReferences"] = [
        {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "name": replica_set,
            "uid": uid(rng),
            "controller": True,
            "blockOwnerDeletion": True,
        }
    ]
    conditions = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"]
    address = f"10.{rng.randint(0, 255)}.{rng.randint(0, 255)}.{rng.randint(1, 254)}"
    return {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": meta,
        "spec": {
            "volumes": [
                {
                    "name": "kube-api-access-" + digits(rng, BASE, 5),
                    "projected": {
                        "sources": [
                            {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                            {
                                "configMap": {
                                    "name": "kube-root-ca.crt",
                                    "items": [{"key": "ca.crt", "path": "ca.crt"}],
                                }
                            },
                        ],
                        "defaultMode": 420,
                    },
                }
            ],
            "containers": [container(rng) for _ in range(rng.choice([1, 1, 1, 2]))],
            "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 30,
            "dnsPolicy": "ClusterFirst",
            "serviceAccountName": "default",
            "serviceAccount": "default",
            "nodeName": f"ip-10-0-{rng.randint(0, 255)}-{rng.randint(0, 255)}.eu-west-1.compute.internal",
            "securityContext": {},
            "schedulerName": "default-scheduler",
            "tolerations": [
                {
                    "key": f"node.kubernetes.io/{why}",
                    "operator": "Exists",
                    "effect": "NoExecute",
                    "tolerationSeconds": 300,
                }
                for why in ("not-ready", "unreachable")
            ],
            "priority": 0,
            "enableServiceLinks": True,
            "preemptionPolicy": "PreemptLowerPriority",
        },
        "status": {
            "phase": rng.choice(["Running", "Running", "Pending", "Succeeded"]),
            "conditions": [
                {"type": kind, "status": "True", "lastProbeTime": None, "lastTransitionTime": when(rng)}
                for kind in conditions
            ],
            "hostIP": f"10.0.{rng.randint(0, 255)}.{rng.randint(1, 254)}",
            "podIP": address,
            "podIPs": [{"ip": address}],
            "startTime": when(rng),
            "containerStatuses": [
                {
                    "name": rng.choice(APPS),
                    "state": {"running": {"startedAt": when(rng)}},
                    "lastState": {},
                    "ready": True,
                    "restartCount": rng.randint(0, 5),
                    "image": rng.choice(IMAGES),
                    "imageID": "docker.io/library/app@sha256:" + digits(rng, HEX, 64),
                    "containerID": "containerd://" + digits(rng, HEX, 64),
                    "started": True,
                }
            ],
            "qosClass": rng.choice(["Burstable", "BestEffort", "Guaranteed"]),
        },
    }


def deployment(rng: random.Random) -> dict[str, object]:
    app, replicas = rng.choice(APPS), rng.randint(1, 9)
    return {
        "kind": "Deployment",
        "apiVersion": "apps/v1",
        "metadata": metadata(rng, app, rng.choice(NAMESPACES), "kubectl-client-side-apply", apply=True),
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": app}},
            "template": {
                "metadata": {"creationTimestamp": None, "labels": {"app": app}},
                "spec": {
                    "containers": [container(rng)],
                    "restartPolicy": "Always",
                    "terminationGracePeriodSeconds": 30,
                    "dnsPolicy": "ClusterFirst",
                    "securityContext": {},
                    "schedulerName": "default-scheduler",
                },
            },
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"},
            },
            "revisionHistoryLimit": 10,
            "progressDeadlineSeconds": 600,
        },
        "status": {
            "observedGeneration": rng.randint(1, 30),
            "replicas": replicas,
            "updatedReplicas": replicas,
            "readyReplicas": replicas,
            "availableReplicas": replicas,
            "conditions": [
                {
                    "type": "Available",
                    "status": "True",
                    "lastUpdateTime": when(rng),
                    "lastTransitionTime": when(rng),
                    "reason": "MinimumReplicasAvailable",
                    "message": "Deployment has minimum availability.",
                }
            ],
        },
    }


def service(rng: random.Random) -> dict[str, object]:
    app, address = rng.choice(APPS), f"172.20.{rng.randint(0, 255)}.{rng.randint(1, 254)}"
    return {
        "kind": "Service",
        "apiVersion": "v1",
        "metadata": metadata(rng, app, rng.choice(NAMESPACES), "kubectl-create"),
        "spec": {
            "ports": [{"name": "http", "protocol": "TCP", "port": 80, "targetPort": rng.choice([80, 8080])}],
            "selector": {"app": app},
            "clusterIP": address,
            "clusterIPs": [address],
            "type": rng.choice(["ClusterIP", "LoadBalancer"]),
            "sessionAffinity": "None",
            "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack",
            "internalTrafficPolicy": "Cluster",
        },
        "status": {"loadBalancer": {}},
    }


def config_map(rng: random.Random) -> dict[str, object]:
    keys = rng.sample(["LOG_LEVEL", "DATABASE_HOST", "CACHE_TTL", "FEATURES", "REGION", "ENDPOINT"], 3)
    return {
        "kind": "ConfigMap",
        "apiVersion": "v1",
        "metadata": metadata(rng, rng.choice(APPS) + "-config", rng.choice(NAMESPACES), "helm"),
        "data": {key: digits(rng, BASE, rng.randint(3, 30)) for key in keys},
    }


def event(rng: random.Random) -> dict[str, object]:
    reason, message = rng.choice(
        [
            ("Pulled", 'Container image "nginx:1.27" already present on machine'),
            ("Scheduled", "Successfully assigned default/web to node"),
            ("BackOff", "Back-off restarting failed container"),
            ("Killing", "Stopping container app"),
            ("Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 503"),
            ("SuccessfulCreate", "Created pod: web"),
        ]
    )
    namespace, name = (
        rng.choice(NAMESPACES),
        f"{rng.choice(APPS)}-{digits(rng, BASE, 10)}-{digits(rng, BASE, 5)}",
    )
    return {
        "kind": "Event",
        "apiVersion": "v1",
        "metadata": metadata(rng, f"{name}.{digits(rng, HEX, 16)}", namespace, "kubelet"),
        "involvedObject": {
            "kind": "Pod",
            "namespace": namespace,
            "name": name,
            "uid": uid(rng),
            "apiVersion": "v1",
            "resourceVersion": str(rng.randint(10_000, 90_000_000)),
            "fieldPath": "spec.containers{app}",
        },
        "reason": reason,
        "message": message,
        "source": {
            "component": "kubelet",
            "host": f"ip-10-0-0-{rng.randint(1, 254)}.eu-west-1.compute.internal",
        },
        "firstTimestamp": when(rng),
        "lastTimestamp": when(rng),
        "count": rng.randint(1, 50),
        "type": rng.choice(["Normal", "Warning"]),
        "eventTime": None,
        "reportingComponent": "kubelet",
        "reportingInstance": "",
    }


def node_lease(rng: random.Random) -> dict[str, object]:
    node = f"ip-10-0-{rng.randint(0, 255)}-{rng.randint(0, 255)}.eu-west-1.compute.internal"
    return {
        "kind": "Lease",
        "apiVersion": "coordination.k8s.io/v1",
        "metadata": metadata(rng, node, "kube-node-lease", "kubelet"),
        "spec": {
            "holderIdentity": node,
            "leaseDurationSeconds": 40,
            "renewTime": when(rng)[:-1] + ".123456Z",
        },
    }


def status(rng: random.Random) -> dict[str, object]:
    resource, name = rng.choice(["pods", "deployments.apps", "secrets", "services"]), rng.choice(APPS)
    code, reason, message = rng.choice(
        [
            (404, "NotFound", f'{resource} "{name}" not found'),
            (
                403,
                "Forbidden",
                f'{resource} "{name}" is forbidden: User "{name}@example.com" cannot get resource "{resource}" in '
                f'API group "" in the namespace "{rng.choice(NAMESPACES)}"',
            ),
            (409, "AlreadyExists", f'{resource} "{name}" already exists'),
            (
                409,
                "Conflict",
                f'Operation cannot be fulfilled on {resource} "{name}": the object has been modified; please apply '
                "your changes to the latest version and try again",
            ),
            (422, "Invalid", f'Deployment.apps "{name}" is invalid: spec.replicas: Invalid value: -1'),
        ]
    )
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "details": {"name": name, "kind": resource},
        "code": code,
    }


def success(rng: random.Random) -> dict[str, object]:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {"name": rng.choice(APPS), "kind": "pods", "uid": uid(rng)},
    }


def table(rng: random.Random) -> dict[str, object]:
    columns = [
        ("Name", "string"),
        ("Ready", "string"),
        ("Status", "string"),
        ("Restarts", "string"),
        ("Age", "string"),
    ]
    rows = []
    for _ in range(rng.randint(1, 12)):
        name = f"{rng.choice(APPS)}-{digits(rng, BASE, 10)}-{digits(rng, BASE, 5)}"
        rows.append(
            {
                "cells": [name, "1/1", rng.choice(["Running", "CrashLoopBackOff", "Completed"]), "0", "5d3h"],
                "object": {
                    "kind": "PartialObjectMetadata",
                    "apiVersion": "meta.k8s.io/v1",
                    "metadata": metadata(rng, name, rng.choice(NAMESPACES), "kubelet"),
                },
            }
        )
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": str(rng.randint(10_000, 90_000_000))},
        "columnDefinitions": [
            {
                "name": name,
                "type": kind,
                "format": "name" if name == "Name" else "",
                "description": "Name must be unique within a namespace. Is required when creating resources.",
                "priority": 0,
            }
            for name, kind in columns
        ],
        "rows": rows,
    }


def watch_event(rng: random.Random) -> dict[str, object]:
    shown: Sample = rng.choice([pod, deployment, event])
    return {"type": rng.choice(["ADDED", "MODIFIED", "DELETED"]), "object": shown(rng)}


def terminal_text(rng: random.Random) -> bytes:
    name = f"{rng.choice(APPS)}-{digits(rng, BASE, 10)}-{digits(rng, BASE, 5)}"
    return rng.choice(
        [
            f"\x1b[?2004hroot@{name}:/# ",
            f"drwxr-xr-x 1 root root {rng.randint(10, 9999)} May {rng.randint(1, 28)} 10:12 \x1b[01;34m{name}\x1b[0m\r\n",
            f"{rng.choice('abcdefghijklmnopqrstuvwxyz')}",
            "\r\n\x1b[?2004l\r",
            f"{when(rng)} INFO request served path=/healthz status=200 duration={rng.randint(1, 900)}ms\r\n",
            f"/usr/local/bin/python3: can't open file '/app/{name}.py': [Errno 2] No such file or directory\r\n",
        ]
    ).encode()


KNOWN: tuple[Sample, ...] = (
    pod,
    pod,
    deployment,
    service,
    config_map,
    event,
    status,
    success,
    table,
    table,
    watch_event,
)
"""What the dictionary is trained on."""
UNSEEN: tuple[Sample, ...] = (node_lease,)
"""Kinds it never saw."""
RESOURCES = {"Pod": "pods", "Deployment": "deployments", "Service": "services", "ConfigMap": "configmaps"}


def exchange(rng: random.Random, samples: tuple[Sample, ...] = KNOWN) -> Iterator[bytes]:
    """The encoded records of one API call: intent, perhaps a request body, response, outcome."""
    ident, shown = rng.randbytes(16), rng.choice(samples)(rng)
    method = rng.choice(["GET", "GET", "GET", "GET", "POST", "PATCH", "DELETE"])
    namespace, name = rng.choice(NAMESPACES), rng.choice(APPS)
    resource = RESOURCES.get(str(shown["kind"]) if "kind" in shown else "", "pods")
    path = f"/api/v1/namespaces/{namespace}/{resource}/{name}"
    user = f"{rng.choice(APPS)}@example.com"
    headers = (
        (b"accept", b"application/json;as=Table;v=v1;g=meta.k8s.io,application/json"),
        (b"accept-encoding", b"gzip"),
        (b"kubectl-command", b"kubectl get"),
        (b"kubectl-session", uid(rng).encode()),
        (b"user-agent", b"kubectl/v1.33.1 (linux/amd64) kubernetes/8adc0f0"),
    )
    session = digits(rng, "0123456789ABCDEFGHJKMNPQRSTVWXYZ", 26)
    at_ns = 1_780_000_000_000_000_000 + rng.randrange(10**16)
    yield encode_record(
        Intent(
            ident,
            at_ns,
            session,
            digits(rng, HEX, 12),
            f"10.1.{rng.randint(0, 255)}.{rng.randint(0, 255)}:{rng.randint(1024, 65535)}",
            rng.choice(["1.1", "2"]),
            method,
            path.encode(),
            headers,
            PrincipalRecord(
                user,
                ("system:authenticated", "developers"),
                "oidc",
                digits(rng, HEX, 32),
                "https://idp.example.com",
                user,
            ),
            CallRecord(VERBS[method], "", "v1", resource, "", namespace, name, path),
            VerdictRecord("allow", "enforce", ("developers-read",), "c0ffee" * 10 + "beef"),
            1 if method != "GET" else 2,
            path.encode(),
            (*headers, (b"audit-id", uid(rng).encode())),
            "impersonate",
            "kubectl/v1.33.1 (linux/amd64) kubernetes/8adc0f0",
            "kubectl get",
            uid(rng),
            "TLSv1.3",
        )
    )
    if method in ("POST", "PATCH"):
        yield encode_record(RequestBody(ident, 0, json.dumps(shown, separators=(",", ":")).encode()))
    response_headers = (
        (b"audit-id", uid(rng).encode()),
        (b"cache-control", b"no-cache, private"),
        (b"content-type", b"application/json"),
        (b"date", b"Mon, 04 May 2026 10:12:13 GMT"),
        (b"x-kubernetes-pf-flowschema-uid", uid(rng).encode()),
        (b"x-kubernetes-pf-prioritylevel-uid", uid(rng).encode()),
    )
    code = int(str(shown.get("code", 200)))
    yield encode_record(ResponseStarted(ident, rng.randint(500, 90_000), code, response_headers))
    body = json.dumps(shown, separators=(",", ":")).encode() + b"\n"
    yield encode_record(ResponseBody(ident, rng.randint(500, 90_000), 0, body))
    timings = Timings(*sorted(rng.randint(10, 90_000) for _ in range(7)))
    yield encode_record(
        Outcome(ident, rng.randint(500, 90_000), "completed", code, "", 0, len(body), timings)
    )


def terminal(rng: random.Random) -> Iterator[bytes]:
    """The encoded records of one short exec session."""
    ident = rng.randbytes(16)
    yield encode_record(
        TunnelStarted(ident, rng.randint(500, 90_000), "exec", "websocket", "v5.channel.k8s.io", True)
    )
    at_us = 90_000
    for _ in range(rng.randint(5, 30)):
        at_us += rng.randint(200, 900_000)
        from_client = rng.random() < 0.4
        yield encode_record(
            ChannelChunk(ident, at_us, 0 if from_client else 1, from_client, terminal_text(rng))
        )
    yield encode_record(TunnelEnded(ident, at_us, "client", 1000))


def records(seed: int, count: int, samples: tuple[Sample, ...] = KNOWN) -> list[bytes]:
    """`count` encoded records of mixed traffic, a fifth of the exchanges being terminals."""
    rng = random.Random(seed)
    out: list[bytes] = []
    while len(out) < count:
        out.extend(terminal(rng) if rng.random() < 0.2 else exchange(rng, samples))
    return out[:count]
