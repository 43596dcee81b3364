"""What a person asks about himself (`kubectl auth can-i`), decided as the calls themselves would be. Pure.

A question names fewer things than a request does: no command line, body or labels. A rule that depends on those
counts against the person, so "yes" is promised only where it is certain. The trap: a wildcard resource or path cannot
be proven, for rules may name resources nobody here has heard of; it is answered "no", and says why.
Source: k8s.io/api authorization/v1.
"""

from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

import msgspec

from gateway.policy.asked_calls import Attributes, asked_calls, path_call, resource_call
from gateway.policy.denying import denying_rule
from gateway.policy.model import Action, Facts, JsonObject, Verdict
from protocol.apicall import Call

Decide: TypeAlias = Callable[[Facts], Verdict]

ACCESS_REVIEW: Final = "selfsubjectaccessreviews"
RULES_REVIEW: Final = "selfsubjectrulesreviews"
SUBJECT_REVIEW: Final = "selfsubjectreviews"

_GROUPS: Final = {
    ACCESS_REVIEW: "authorization.k8s.io",
    RULES_REVIEW: "authorization.k8s.io",
    SUBJECT_REVIEW: "authentication.k8s.io",
}
NOT_PROVABLE: Final = "kubetape answers for one resource at a time: ask without a wildcard"
_PROBED: Final = (
    (
        "",
        "pods pods/log pods/exec pods/attach pods/portforward pods/eviction services services/proxy configmaps",
    ),
    (
        "",
        "secrets serviceaccounts serviceaccounts/token events persistentvolumeclaims endpoints namespaces nodes",
    ),
    ("apps", "deployments deployments/scale statefulsets statefulsets/scale daemonsets replicasets"),
    ("batch", "jobs cronjobs"),
    ("networking.k8s.io", "ingresses networkpolicies"),
    ("autoscaling", "horizontalpodautoscalers"),
    ("policy", "poddisruptionbudgets"),
    ("rbac.authorization.k8s.io", "roles rolebindings clusterroles clusterrolebindings"),
)
_PROBED_VERBS: Final = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")
_PROBED_PATHS: Final = (
    "/version",
    "/healthz",
    "/livez",
    "/readyz",
    "/api",
    "/apis",
    "/openapi/v3",
    "/metrics",
)


class Judgement(msgspec.Struct, frozen=True):
    """The answer to an access review. is_explicit: a rule denies it, not merely none allows it."""

    action: Action
    reason: str = ""
    is_explicit: bool = False


class AllowedRule(msgspec.Struct, frozen=True):
    """Some resources of one group and what may be done with each of them."""

    group: str
    resources: tuple[str, ...]
    verbs: tuple[str, ...]


class AllowedRules(msgspec.Struct, frozen=True):
    """The answer to a rules review, as far as it can be told."""

    resources: tuple[AllowedRule, ...]
    paths: tuple[str, ...]  # that may be read


def review_kind(call: Call) -> str:
    """ACCESS_REVIEW, RULES_REVIEW, SUBJECT_REVIEW, or "" for a call that is none of them."""
    is_one = call.verb == "create" and not call.subresource and _GROUPS.get(call.resource) == call.group
    return call.resource if is_one and call.group else ""


def judge(review: JsonObject, facts: Facts, decide: Decide) -> Judgement:
    """Answer an access review. facts: of the review itself, for who asks, from where and when. Raises BadReview."""
    calls = asked_calls(review)
    if not calls:
        return Judgement(Action.DENY, NOT_PROVABLE)
    held: Judgement | None = None
    for call in calls:
        verdict = decide(_about(facts, call))
        if verdict.action is Action.DENY:
            return Judgement(Action.DENY, _denial(verdict), bool(denying_rule(verdict)))
        if verdict.action is Action.HOLD and held is None:
            held = Judgement(Action.HOLD, _hold(verdict))
    return held or Judgement(Action.ALLOW)


def derive_rules(namespace: str, facts: Facts, decide: Decide) -> AllowedRules:
    """Ask about what clusters usually have, verb by verb: incomplete by nature. What is held is not among it."""
    found: list[AllowedRule] = []
    for group, resources in _PROBED:
        by_verbs: dict[tuple[str, ...], list[str]] = {}
        for resource in resources.split():
            verbs = tuple(_allowed_verbs(group, resource, namespace, facts, decide))
            by_verbs.setdefault(verbs, []).append(resource)
        found += [AllowedRule(group, tuple(names), verbs) for verbs, names in by_verbs.items() if verbs]
    paths = [path for path in _PROBED_PATHS if _is_allowed(path_call(path, "get"), facts, decide)]
    return AllowedRules(tuple(found), tuple(paths))


def _about(facts: Facts, call: Call) -> Facts:
    return msgspec.structs.replace(facts, call=call, object=None, old_object=None)


def _is_allowed(call: Call, facts: Facts, decide: Decide) -> bool:
    return decide(_about(facts, call)).action is Action.ALLOW


def _allowed_verbs(group: str, resource: str, namespace: str, facts: Facts, decide: Decide) -> Iterable[str]:
    name, _, subresource = resource.partition("/")
    about = Attributes(namespace=namespace, group=group, resource=name, subresource=subresource)
    verbs = ("get", "create") if subresource else _PROBED_VERBS
    return (verb for verb in verbs if _is_allowed(resource_call(verb, about), facts, decide))


def _denial(verdict: Verdict) -> str:
    rule = denying_rule(verdict)
    by = f"kubetape policy {rule}" if rule else "kubetape policy"
    hint = f"; {verdict.hint}" if verdict.hint else ""
    return f"{by}: {verdict.reason}{hint}"


def _hold(verdict: Verdict) -> str:
    terms = verdict.hold
    if terms is None:
        return "kubetape policy: needs approval"
    who = ", ".join((*terms.approvers.groups, *terms.approvers.users)) or "somebody"
    return f"kubetape policy {terms.rule}: needs approval by {who}"
