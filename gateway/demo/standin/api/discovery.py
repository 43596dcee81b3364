"""/version, /api and /apis: how clients learn what is served, in the old form and the aggregated one.

The answer is chosen by Accept: a client that asks for `as=APIGroupDiscoveryList;v=v2` gets it, with
exactly that Content-Type, by which client-go tells the two apart. Source: KEP-3352, apiserver
endpoints/discovery/aggregated.
"""

from typing import Final

from gateway.demo.standin.api.kinds import KINDS, Kind, carried_group_version, group_versions, kinds_of
from gateway.demo.standin.replies import JsonObject, Reply, json_reply, no_such_path

AGGREGATED: Final = b"application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


def version_info(minor: str) -> JsonObject:
    """What /version says. The build metadata says that this is no Kubernetes."""
    return {
        "major": "1",
        "minor": minor,
        "gitVersion": f"v1.{minor}.0+standin",
        "gitCommit": "0" * 40,
        "gitTreeState": "clean",
        "buildDate": "2025-01-01T00:00:00Z",
        "goVersion": "none",
        "compiler": "none",
        "platform": "stand-in API server, not Kubernetes",
    }


def discovery_reply(path: str, accept: str, aggregated: bool) -> Reply:
    """Answer /api, /apis, /api/v1, /apis/G, /apis/G/V. Raises Failure 404 for others."""
    parts = path.strip("/").split("/")
    if len(parts) == 1:
        if aggregated and _wants_aggregated(accept):
            groups = [""] if parts == ["api"] else [group for group, _ in group_versions() if group]
            return json_reply(_aggregated_list(groups), 200, AGGREGATED)
        return json_reply(_api_versions() if parts == ["api"] else _group_list())
    if parts[0] == "api":
        return json_reply(_resource_list("", parts[1]))
    if len(parts) == 2:
        return json_reply(_group(parts[1]))
    return json_reply(_resource_list(parts[1], parts[2]))


def _wants_aggregated(accept: str) -> bool:
    for clause in accept.split(","):
        parameters = {part.strip() for part in clause.split(";")}
        if {"application/json", "as=APIGroupDiscoveryList", "v=v2", "g=apidiscovery.k8s.io"} <= parameters:
            return True
    return False


def _aggregated_list(groups: list[str]) -> JsonObject:
    items = []
    for group in groups:
        versions = []
        for found_group, version in group_versions():
            if found_group == group:
                resources = [_aggregated_resource(kind) for kind in kinds_of(group, version)]
                versions.append({"version": version, "freshness": "Current", "resources": resources})
        items.append({"metadata": {"name": group} if group else {}, "versions": versions})
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": items,
    }


def _aggregated_resource(kind: Kind) -> JsonObject:
    resource: JsonObject = {
        "resource": kind.plural,
        "responseKind": {"group": kind.group, "version": kind.version, "kind": kind.kind},
        "scope": "Namespaced" if kind.namespaced else "Cluster",
        "singularResource": kind.singular,
        "verbs": list(kind.verbs),
    }
    if kind.short_names:
        resource["shortNames"] = list(kind.short_names)
    if kind.categories:
        resource["categories"] = list(kind.categories)
    if kind.subresources:
        resource["subresources"] = [_aggregated_subresource(kind, *found) for found in kind.subresources]
    return resource


def _aggregated_subresource(kind: Kind, name: str, carried: str, verbs: tuple[str, ...]) -> JsonObject:
    group, version = carried_group_version(kind, carried)
    carries = {"group": group, "version": version, "kind": carried}
    return {"subresource": name, "responseKind": carries, "verbs": list(verbs)}


def _api_versions() -> JsonObject:
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}


def _group_list() -> JsonObject:
    groups = [_group_entry(group) for group, _ in group_versions() if group]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def _group(group: str) -> JsonObject:
    if group not in {kind.group for kind in KINDS if kind.group}:
        raise no_such_path()
    return {"kind": "APIGroup", "apiVersion": "v1"} | _group_entry(group)


def _group_entry(group: str) -> JsonObject:
    versions = [
        {"groupVersion": f"{group}/{version}", "version": version}
        for found, version in group_versions()
        if found == group
    ]
    return {"name": group, "versions": versions, "preferredVersion": versions[0]}


def _resource_list(group: str, version: str) -> JsonObject:
    kinds = kinds_of(group, version)
    if not kinds:
        raise no_such_path()
    resources: list[JsonObject] = []
    for kind in kinds:
        entry: JsonObject = {
            "name": kind.plural,
            "singularName": kind.singular,
            "namespaced": kind.namespaced,
            "kind": kind.kind,
            "verbs": list(kind.verbs),
        }
        if kind.short_names:
            entry["shortNames"] = list(kind.short_names)
        if kind.categories:
            entry["categories"] = list(kind.categories)
        resources.append(entry)
        for name, carried, verbs in kind.subresources:
            carried_group, carried_version = carried_group_version(kind, carried)
            resources.append(
                {
                    "name": f"{kind.plural}/{name}",
                    "singularName": "",
                    "namespaced": kind.namespaced,
                    "group": carried_group,
                    "version": carried_version,
                    "kind": carried,
                    "verbs": list(verbs),
                }
            )
    group_version = f"{group}/{version}" if group else version
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": group_version,
        "resources": resources,
    }
