"""Synthetic objects in the public shapes of the Kubernetes API; `record_samples` makes records of them.

For training the compression dictionary and for benchmarks. Nothing here comes from a cluster: names,
addresses and hashes are random, shapes follow the API reference (Pod, Deployment, Event, Table, Status, ...).
"""

import json
import random
from collections.abc import Callable

APPS = "web api auth cart checkout search payments ledger mailer ingest cache worker billing gateway users".split()
NAMESPACES = "default kube-system prod staging team-a team-b monitoring ingress-nginx argocd data".split()
IMAGES = "nginx:1.27 redis:7.4 postgres:16 python:3.12-slim busybox:1.36 envoyproxy/envoy:v1.31.2 golang:1.23".split()
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


AGE = (
    "CreationTimestamp is a timestamp representing the server time when this object was created. It is not guaranteed "
    "to be set in happens-before order across separate operations. Clients may not set this value. It is represented "
    "in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. Null for lists. More info: "
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata"
)
NAME = (
    "Name must be unique within a namespace. Is required when creating resources, although some resources may allow "
    "a client to request the generation of an appropriate name automatically. Name is primarily intended for creation "
    "idempotence and configuration definition. Cannot be updated. More info: "
    "https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names"
)
COLUMNS: dict[str, tuple[tuple[str, str, int], ...]] = {
    "pods": (
        ("Ready", "The aggregate readiness state of this pod for accepting traffic.", 0),
        ("Status", "The aggregate status of the containers in this pod.", 0),
        (
            "Restarts",
            "The number of times the containers in this pod have been restarted and when the last container in this "
            "pod has restarted.",
            0,
        ),
        ("Age", AGE, 0),
        (
            "IP",
            "podIP address allocated to the pod. Routable at least within the cluster. Empty if not yet allocated.",
            1,
        ),
        ("Node", "NodeName indicates in which node this pod is scheduled.", 1),
        ("Nominated Node", "nominatedNodeName is set only when this pod preempts other pods on the node.", 1),
        ("Readiness Gates", "If specified, all readiness gates will be evaluated for pod readiness.", 1),
    ),
    "deployments": (
        ("Ready", "Number of the pod with ready state", 0),
        (
            "Up-to-date",
            "Total number of non-terminated pods targeted by this deployment that have the desired template spec.",
            0,
        ),
        (
            "Available",
            "Total number of available pods (ready for at least minReadySeconds) targeted by this deployment.",
            0,
        ),
        ("Age", AGE, 0),
        ("Containers", "Names of each container in the template.", 1),
        ("Images", "Images referenced by each container in the template.", 1),
        ("Selector", "Label selector for pods.", 1),
    ),
    "services": (
        ("Type", "type determines how the Service is exposed. Defaults to ClusterIP.", 0),
        ("Cluster-IP", "clusterIP is the IP address of the service and is usually assigned randomly.", 0),
        ("External-IP", "externalIPs is a list of IP addresses for which nodes will also accept traffic.", 0),
        ("Port(s)", "The list of ports that are exposed by this service.", 0),
        ("Age", AGE, 0),
        ("Selector", "Route service traffic to pods with label keys and values matching this selector.", 1),
    ),
    "events": (
        ("Last Seen", "The time at which the most recent occurrence of this event was recorded.", 0),
        ("Type", "Type of this event (Normal, Warning), new types could be added in the future", 0),
        (
            "Reason",
            "This should be a short, machine understandable string that gives the reason for the transition into the "
            "object's current status.",
            0,
        ),
        ("Object", "The object that this event is about.", 0),
        ("Message", "A human-readable description of the status of this operation.", 0),
    ),
    "nodes": (
        ("Status", "The status of the node", 0),
        ("Roles", "The roles of the node", 0),
        ("Age", AGE, 0),
        ("Version", "Kubelet Version reported by the node.", 0),
        ("Internal-IP", "List of addresses reachable to the node.", 1),
        (
            "OS-Image",
            "OS Image reported by the node from /etc/os-release (e.g. Debian GNU/Linux 7 (wheezy)).",
            1,
        ),
        ("Kernel-Version", "Kernel Version reported by the node from 'uname -r'.", 1),
        ("Container-Runtime", "ContainerRuntime Version reported by the node through runtime remote API.", 1),
    ),
    "namespaces": (("Status", "The status of the namespace", 0), ("Age", AGE, 0)),
}


def table(rng: random.Random) -> dict[str, object]:
    columns = rng.choice(list(COLUMNS.values()))
    rows = []
    for _ in range(rng.randint(1, 12)):
        name = f"{rng.choice(APPS)}-{digits(rng, BASE, 10)}-{digits(rng, BASE, 5)}"
        meta: dict[str, object] = metadata(rng, name, rng.choice(NAMESPACES), "kubelet")
        cells = [
            name,
            "1/1",
            rng.choice(["Running", "CrashLoopBackOff", "Completed", "Active", "Ready"]),
            "0",
            "5d3h",
        ]
        cells += [f"10.0.{rng.randint(0, 255)}.{rng.randint(0, 255)}", "<none>", "<none>", "<none>"]
        rows.append(
            {
                "cells": cells[: len(columns) + 1],
                "object": {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": meta},
            }
        )
    names = (("Name", NAME, 0), *columns)
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": str(rng.randint(10_000, 90_000_000))},
        "columnDefinitions": [
            {
                "name": name,
                "type": "string",
                "format": "name" if name == "Name" else "",
                "description": description,
                "priority": priority,
            }
            for name, description, priority in names
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
