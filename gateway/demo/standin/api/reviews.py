"""`auth can-i` and `auth whoami`: there is no RBAC here, so a known identity may do everything.

Except what a namespace named `forbidden` holds, so that a client can be seen to get a "no".
"""

from gateway.demo.standin.replies import JsonObject
from gateway.demo.standin.settings import Identity


def review(kind: str, body: JsonObject, identity: Identity) -> JsonObject:
    """The review object with its status filled in."""
    spec = body.get("spec") or {}
    meta = {"metadata": {"creationTimestamp": None}, "spec": spec}
    if kind == "SelfSubjectReview":
        user = {"username": identity.user, "groups": list(identity.groups)}
        return (
            {"kind": kind, "apiVersion": "authentication.k8s.io/v1"} | meta | {"status": {"userInfo": user}}
        )
    status: JsonObject
    if kind == "SelfSubjectRulesReview":
        every = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
        paths = {"verbs": ["*"], "nonResourceURLs": ["*"]}
        status = {"resourceRules": [every], "nonResourceRules": [paths], "incomplete": False}
    else:
        attributes = spec.get("resourceAttributes") or {}
        allowed = attributes.get("namespace") != "forbidden"
        status = {"allowed": allowed}
        if not allowed:
            status["reason"] = "the stand-in refuses whatever is in the namespace `forbidden`"
    return {"kind": kind, "apiVersion": "authorization.k8s.io/v1"} | meta | {"status": status}
