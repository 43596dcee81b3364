"""Request -> Reply: where each path goes. Upgrades are the server's business, not this one's."""

from gateway.demo.standin.api.discovery import discovery_reply, version_info
from gateway.demo.standin.api.kinds import find_kind
from gateway.demo.standin.api.objects import serve_object
from gateway.demo.standin.api.openapi import openapi_reply
from gateway.demo.standin.api.watches import pod_log, watch_objects
from gateway.demo.standin.cluster import Cluster, Request
from gateway.demo.standin.replies import Failure, Reply, bad_request, json_reply, no_such_path


def answer(request: Request, cluster: Cluster) -> Reply:
    """The reply to a request without upgrade. Raises Failure."""
    if request.target.resource:
        return _answer_resource(request, cluster)
    return _answer_path(request, cluster)


def _answer_path(request: Request, cluster: Cluster) -> Reply:
    path = request.target.path
    if request.method not in ("GET", "HEAD"):
        raise Failure(
            405, "MethodNotAllowed", "the server does not allow this method on the requested resource"
        )
    accept = request.header(b"accept")
    bare = path.rstrip("/")
    if bare == "/version":
        return json_reply(version_info(cluster.settings.minor))
    if bare in ("/healthz", "/livez", "/readyz"):
        return Reply(200, b"ok", ((b"content-type", b"text/plain; charset=utf-8"),))
    if bare.startswith("/openapi/"):
        return openapi_reply(bare)
    if bare.split("/")[1:2] in (["api"], ["apis"]):
        return discovery_reply(bare, accept, cluster.settings.aggregated_discovery)
    if path == "/":
        return json_reply({"paths": ["/api", "/apis", "/healthz", "/openapi/v2", "/openapi/v3", "/version"]})
    raise no_such_path()


def _answer_resource(request: Request, cluster: Cluster) -> Reply:
    target = request.target
    kind = find_kind(target.group, target.version, target.resource)
    if kind is None or not target.path.startswith("/api"):
        raise no_such_path()
    if target.namespace and not kind.namespaced and kind.kind != "Namespace":
        raise no_such_path()
    if target.subresource:
        verbs = next((verbs for name, _, verbs in kind.subresources if name == target.subresource), None)
        if verbs is None:
            raise no_such_path()
    else:
        verbs = kind.verbs
    if target.verb not in verbs or request.method == "HEAD":
        raise Failure(
            405, "MethodNotAllowed", "the server does not allow this method on the requested resource"
        )
    if target.subresource == "log":
        return pod_log(request, cluster)
    if target.subresource in ("exec", "attach", "portforward"):
        cluster.pod(target)
        raise bad_request("Upgrade request required")
    _check_acceptable(request)
    if target.verb == "watch":
        return watch_objects(request, cluster, kind)
    return serve_object(request, cluster, kind)


def _check_acceptable(request: Request) -> None:
    accept = request.header(b"accept")
    if accept and not any(known in accept for known in ("json", "*/*", "application/*")):
        why = "only the following media types are accepted: application/json"
        raise Failure(406, "NotAcceptable", why)
