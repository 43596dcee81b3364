"""`resources:` patterns: pods, pods/exec, pods/*, */scale, deployments.apps, *.apps, *, and `!` before any. Pure.

As in RBAC, `pods` is not `pods/exec`, and `*` alone is everything, with all subresources.
"""

import re
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from gateway.policy.globs import compile_glob

_PATTERN: Final = re.compile(r"!?([a-z0-9*-]+)(?:\.([A-Za-z0-9.*-]+))?(?:/([a-z0-9*/-]+))?")

_CLUSTER_SCOPED: Final = {
    "": ("componentstatuses", "namespaces", "nodes", "persistentvolumes"),
    "admissionregistration.k8s.io": (
        "mutatingadmissionpolicies",
        "mutatingadmissionpolicybindings",
        "mutatingwebhookconfigurations",
        "validatingadmissionpolicies",
        "validatingadmissionpolicybindings",
        "validatingwebhookconfigurations",
    ),
    "apiextensions.k8s.io": ("customresourcedefinitions",),
    "apiregistration.k8s.io": ("apiservices",),
    "certificates.k8s.io": ("certificatesigningrequests",),
    "flowcontrol.apiserver.k8s.io": ("flowschemas", "prioritylevelconfigurations"),
    "metrics.k8s.io": ("nodes",),
    "networking.k8s.io": ("ingressclasses",),
    "node.k8s.io": ("runtimeclasses",),
    "rbac.authorization.k8s.io": ("clusterrolebindings", "clusterroles"),
    "scheduling.k8s.io": ("priorityclasses",),
    "storage.k8s.io": ("csidrivers", "csinodes", "storageclasses", "volumeattachments"),
}
"""Resources of Kubernetes itself that are in no namespace. Whatever is not in here may be in one: other groups have
namespaced resources of the same names."""


def is_cluster_scoped(group: str, resource: str) -> bool:
    """Whether it is known that such objects are in no namespace."""
    return resource in _CLUSTER_SCOPED.get(group, ())


class Resource(NamedTuple):
    """What a pattern is compared with."""

    group: str
    resource: str
    subresource: str


class Resources:
    """A list of patterns; positives are or-ed, negatives taken out."""

    __slots__ = ("_negative", "_positive")

    def __init__(self, patterns: Sequence[str]) -> None:
        self._positive: Final = tuple(_compile(p) for p in patterns if not p.startswith("!"))
        self._negative: Final = tuple(_compile(p[1:]) for p in patterns if p.startswith("!"))

    def match(self, resource: Resource) -> bool:
        if self._positive and not any(one(resource) for one in self._positive):
            return False
        return not any(one(resource) for one in self._negative)


def problem_of_resource(pattern: str) -> str:
    """What is wrong with one pattern, or ""."""
    if _PATTERN.fullmatch(pattern):
        return ""
    if pattern.lower() != pattern:
        return f"{pattern!r} is no resource: they are lower-case plurals, such as {pattern.lower()}s"
    return f"{pattern!r} is no resource: write pods, pods/exec, pods/*, deployments.apps, *.apps or *"


def _compile(pattern: str) -> Callable[[Resource], bool]:
    found = _PATTERN.fullmatch(pattern)
    if found is None:
        raise AssertionError("patterns are checked before they are compiled")
    name, group, subresource = found.groups()
    if pattern == "*":
        return lambda resource: True
    matches_name = compile_glob(name)
    matches_group = compile_glob("*" if group is None else group)
    matches_subresource = compile_glob(subresource or "")
    if subresource is not None:
        return lambda resource: (
            resource.subresource != ""
            and matches_subresource(resource.subresource)
            and matches_name(resource.resource)
            and matches_group(resource.group)
        )
    return lambda resource: (
        resource.subresource == "" and matches_name(resource.resource) and matches_group(resource.group)
    )
