"""The question of an access review -> the calls it is about. Pure.

A wildcard verb asks about every verb the API server knows. A wildcard anywhere else is no finite number of calls:
there are none then. The trap: an empty name or namespace means "any"; rules read an empty name as one that cannot be
told, an empty namespace as the whole cluster.
Source: k8s.io/api authorization/v1; k8s.io/apiserver authorization/authorizer.
"""

from typing import Final

import msgspec

from gateway.policy.model import JsonObject
from gateway.policy.resources import is_cluster_scoped
from protocol.apicall import Call

_METHODS: Final = {
    "get": "GET",
    "list": "GET",
    "watch": "GET",
    "proxy": "GET",
    "create": "POST",
    "update": "PUT",
    "patch": "PATCH",
    "delete": "DELETE",
    "deletecollection": "DELETE",
}
VERBS: Final = (
    *(
        verb for verb in _METHODS if verb != "proxy"
    ),  # a verb of long ago; now a subresource, which is asked about
    "approve",
    "attest",
    "bind",
    "escalate",
    "impersonate",
    "sign",
    "use",
)
"""What the API server's own authorizers know, beside verbs that extensions invent."""
PATH_VERBS: Final = ("get", "head", "options", "post", "put", "patch", "delete")


class BadReview(ValueError):
    """The question cannot be read. The text is fit for the client."""


class Attributes(msgspec.Struct, frozen=True):
    """ResourceAttributes of authorization.k8s.io, as far as rules look at them."""

    namespace: str = ""
    verb: str = ""
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    name: str = ""


def asked_calls(review: JsonObject) -> tuple[Call, ...]:
    """The calls an access review is about; none when it asks for what cannot be proven. Raises BadReview."""
    spec = _object(review, "spec")
    asked = [key for key in ("resourceAttributes", "nonResourceAttributes") if spec.get(key) is not None]
    if len(asked) != 1:
        raise BadReview("exactly one of resourceAttributes and nonResourceAttributes has to be given")
    attributes = _object(spec, asked[0])
    if asked == ["nonResourceAttributes"]:
        path, verb = _text(attributes, "path"), _text(attributes, "verb")
        if "*" in path:
            return ()
        return tuple(path_call(path, one) for one in (PATH_VERBS if verb == "*" else (verb,)))
    about = Attributes(**{name: _text(attributes, name) for name in Attributes.__struct_fields__})
    if "*" in (about.group, about.resource, about.subresource, about.namespace, about.name):
        return ()
    verbs = ("*", *VERBS) if about.verb == "*" else (about.verb,)
    return tuple(resource_call(verb, about) for verb in verbs)


def namespace_of(review: JsonObject) -> str:
    """Which namespace a rules review is about. Raises BadReview."""
    return _text(_object(review, "spec"), "namespace")


def resource_call(verb: str, about: Attributes) -> Call:
    """The call these attributes describe, with this verb."""
    namespace = about.namespace
    if is_cluster_scoped(about.group, about.resource):  # kubectl sends the current namespace along
        is_namespace = about.resource == "namespaces" and about.group == ""
        namespace = about.name if is_namespace else ""
    version = about.version if about.version not in ("", "*") else "v1"
    scope = f"/namespaces/{namespace}" if namespace and about.resource != "namespaces" else ""
    parts = (part for part in (about.resource, about.name, about.subresource) if part)
    path = f"/{f'apis/{about.group}' if about.group else 'api'}/{version}{scope}/{'/'.join(parts)}"
    return Call(
        method=_METHODS.get(verb, "POST"),
        verb=verb,
        is_resource=True,
        path=path,
        target=path.encode("utf-8", "backslashreplace"),
        group=about.group,
        version=version,
        resource=about.resource,
        subresource=about.subresource,
        namespace=namespace,
        name=about.name,
        watch=verb == "watch",
    )


def path_call(path: str, verb: str) -> Call:
    """The call on a path that is no resource. verb: the lower-case method."""
    target = path.encode("utf-8", "backslashreplace")
    return Call(method=verb.upper(), verb=verb, is_resource=False, path=path, target=target)


def _object(found: JsonObject, key: str) -> JsonObject:
    value = found.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadReview(f"{key} is not an object")
    return value


def _text(found: JsonObject, key: str) -> str:
    value = found.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadReview(f"{key} is not a string")
    return value
