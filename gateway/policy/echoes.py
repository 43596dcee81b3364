"""What else shows an object than reading it: the answer to a write, and some of its subresources. Pure.

A rule that hides something from `get` is about every answer that shows it. kube-apiserver answers a write with the
object, a dry run too, and `pods/status` with the whole pod; whoever may not read a value must not get it so either.
"""

from typing import Final

from gateway.policy.resources import Resource

_READS_OF: Final = {
    "create": ("get",),
    "update": ("get",),
    "patch": ("get",),
    "delete": ("get",),
    "deletecollection": ("get", "list"),
    "list": ("get",),
    "watch": ("get", "list"),
}
"""A verb -> what else it does to whoever reads its answer. A list shows what `get` shows, one after the other."""

_SAME_OBJECT: Final = frozenset(("approval", "ephemeralcontainers", "finalize", "resize", "status"))
"""Subresources that are answered with the object itself."""


def verbs_shown_by(verb: str) -> tuple[str, ...]:
    """The verb itself first, then what its answer amounts to."""
    return (verb, *_READS_OF.get(verb, ()))


def resources_shown_by(resource: Resource) -> tuple[Resource, ...]:
    """The resource itself first, then whose object its answer is."""
    if resource.subresource in _SAME_OBJECT:
        return (resource, Resource(resource.group, resource.resource, ""))
    return (resource,)
