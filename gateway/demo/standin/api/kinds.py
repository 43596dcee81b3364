"""The table of resources the stand-in serves.

What discovery lists, what the router accepts and how names are spelled all come from here, so they
cannot disagree. Objects of every kind are stored alike; only pods have live subresources.
"""

from typing import Final

import msgspec

STANDARD_VERBS: Final = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


class Kind(msgspec.Struct, frozen=True):
    """One resource. plural is what paths say; category `all` is what `kubectl get all` asks for."""

    group: str
    version: str
    kind: str
    plural: str
    singular: str
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = STANDARD_VERBS
    subresources: tuple[tuple[str, str, tuple[str, ...]], ...] = ()  # (name, kind it carries, verbs)

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version


_STATUS_VERBS: Final = ("get", "patch", "update")
_CONNECT: Final = ("create", "get")
_POD_SUBRESOURCES: Final = (
    ("attach", "PodAttachOptions", _CONNECT),
    ("exec", "PodExecOptions", _CONNECT),
    ("log", "Pod", ("get",)),
    ("portforward", "PodPortForwardOptions", _CONNECT),
    ("status", "Pod", _STATUS_VERBS),
)

KINDS: Final[tuple[Kind, ...]] = (
    Kind("", "v1", "ConfigMap", "configmaps", "configmap", short_names=("cm",)),
    Kind("", "v1", "Event", "events", "event", short_names=("ev",)),
    Kind(
        "",
        "v1",
        "Namespace",
        "namespaces",
        "namespace",
        namespaced=False,
        short_names=("ns",),
        subresources=(("status", "Namespace", _STATUS_VERBS), ("finalize", "Namespace", ("update",))),
    ),
    Kind(
        "",
        "v1",
        "Node",
        "nodes",
        "node",
        namespaced=False,
        short_names=("no",),
        subresources=(("status", "Node", _STATUS_VERBS),),
    ),
    Kind(
        "",
        "v1",
        "Pod",
        "pods",
        "pod",
        short_names=("po",),
        categories=("all",),
        subresources=_POD_SUBRESOURCES,
    ),
    Kind("", "v1", "Secret", "secrets", "secret"),
    Kind("", "v1", "ServiceAccount", "serviceaccounts", "serviceaccount", short_names=("sa",)),
    Kind("", "v1", "Service", "services", "service", short_names=("svc",), categories=("all",)),
    Kind(
        "apiextensions.k8s.io",
        "v1",
        "CustomResourceDefinition",
        "customresourcedefinitions",
        "customresourcedefinition",
        namespaced=False,
        short_names=("crd", "crds"),
        verbs=("get", "list", "watch"),
    ),
    Kind(
        "apps",
        "v1",
        "Deployment",
        "deployments",
        "deployment",
        short_names=("deploy",),
        categories=("all",),
        subresources=(("scale", "Scale", _STATUS_VERBS), ("status", "Deployment", _STATUS_VERBS)),
    ),
    Kind(
        "apps",
        "v1",
        "ReplicaSet",
        "replicasets",
        "replicaset",
        short_names=("rs",),
        categories=("all",),
        subresources=(("scale", "Scale", _STATUS_VERBS), ("status", "ReplicaSet", _STATUS_VERBS)),
    ),
    Kind(
        "authentication.k8s.io",
        "v1",
        "SelfSubjectReview",
        "selfsubjectreviews",
        "selfsubjectreview",
        namespaced=False,
        verbs=("create",),
    ),
    Kind(
        "authorization.k8s.io",
        "v1",
        "SelfSubjectAccessReview",
        "selfsubjectaccessreviews",
        "selfsubjectaccessreview",
        namespaced=False,
        verbs=("create",),
    ),
    Kind(
        "authorization.k8s.io",
        "v1",
        "SelfSubjectRulesReview",
        "selfsubjectrulesreviews",
        "selfsubjectrulesreview",
        namespaced=False,
        verbs=("create",),
    ),
)

_BY_PATH: Final = {(kind.group, kind.version, kind.plural): kind for kind in KINDS}


def carried_group_version(kind: Kind, carried: str) -> tuple[str, str]:
    """Group and version of what a subresource carries: Scale has its own, the others the kind's."""
    return ("autoscaling", "v1") if carried == "Scale" else (kind.group, kind.version)


def find_kind(group: str, version: str, plural: str) -> Kind | None:
    """The kind a path names, or None."""
    return _BY_PATH.get((group, version, plural))


def kinds_of(group: str, version: str) -> tuple[Kind, ...]:
    return tuple(kind for kind in KINDS if (kind.group, kind.version) == (group, version))


def group_versions() -> tuple[tuple[str, str], ...]:
    """Every (group, version) once, in the order of the table."""
    return tuple(dict.fromkeys((kind.group, kind.version) for kind in KINDS))
