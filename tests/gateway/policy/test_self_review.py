"""auth can-i: what policy would say of the calls themselves, and never a yes that is not certain."""

import pytest

from gateway.policy.load import load_policy
from gateway.policy.model import (
    Action,
    Approvers,
    Facts,
    HoldTerms,
    JsonObject,
    Mode,
    Verdict,
)
from gateway.policy.self_review import (
    ACCESS_REVIEW,
    NOT_PROVABLE,
    RULES_REVIEW,
    SUBJECT_REVIEW,
    AllowedRule,
    Judgement,
    derive_rules,
    judge,
    review_kind,
)
from gateway.principal import Principal
from protocol.apicall import parse_call

POLICY = load_policy(
    {
        "dev.yaml": b"""
apiVersion: kubetape/v1
kind: Policy
metadata: {name: dev}
rules:
  - name: read
    match: {verbs: [get, list, watch], resources: [pods, pods/log, deployments.apps], namespaces: [dev]}
    action: allow
  - name: all-configmaps
    match: {resources: [configmaps], namespaces: [dev]}
    action: allow
  - name: version
    match: {paths: [/version], verbs: [get]}
    action: allow
  - name: some-pods
    match: {verbs: [delete], resources: [pods], namespaces: [dev], names: ["tmp-*"]}
    action: allow
  - name: scaling
    match: {verbs: [patch], resources: [deployments.apps/scale], namespaces: [dev]}
    action: {hold: {approvers: {groups: [sre], users: [ann]}}}
  - name: no-kube-system
    match: {namespaces: [kube-system]}
    action: {deny: "kube-system is off limits"}
"""
    }
)
REVIEW = parse_call(b"POST", b"/apis/authorization.k8s.io/v1/selfsubjectaccessreviews")
FACTS = Facts(Principal("dev", ("devs",), "oidc", "c1"), REVIEW, "10.0.0.1", at_ns=1)


def ask(**attributes: object) -> Judgement:
    return judge({"spec": {"resourceAttributes": attributes}}, FACTS, POLICY.decide)


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        (b"/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", ACCESS_REVIEW),
        (b"/apis/authorization.k8s.io/v1beta1/selfsubjectrulesreviews", RULES_REVIEW),
        (b"/apis/authentication.k8s.io/v1/selfsubjectreviews", SUBJECT_REVIEW),
        (b"/apis/authorization.k8s.io/v1/subjectaccessreviews", ""),
        (b"/apis/authorization.k8s.io/v1/selfsubjectreviews", ""),
        (b"/api/v1/namespaces", ""),
    ],
)
def test_only_reviews_of_oneself_are_recognised(target: bytes, kind: str) -> None:
    assert review_kind(parse_call(b"POST", target)) == kind
    assert review_kind(parse_call(b"GET", target)) == ""


def test_what_a_rule_allows_may_be_done() -> None:
    assert ask(verb="get", resource="pods", namespace="dev", name="p") == Judgement(Action.ALLOW)


def test_what_no_rule_allows_is_no_explicit_denial() -> None:
    found = ask(verb="get", resource="secrets", namespace="dev")
    assert (found.action, found.is_explicit) == (Action.DENY, False)
    assert found.reason.startswith("kubetape policy: no rule allows this; you may ")


def test_what_a_rule_denies_is_denied_with_its_name_and_reason() -> None:
    found = ask(verb="get", resource="pods", namespace="kube-system")
    assert (found.action, found.is_explicit) == (Action.DENY, True)
    assert found.reason.startswith("kubetape policy dev/no-kube-system: kube-system is off limits")


def test_what_is_held_names_who_approves() -> None:
    found = ask(
        verb="patch", group="apps", resource="deployments", subresource="scale", namespace="dev", name="w"
    )
    assert found == Judgement(Action.HOLD, "kubetape policy dev/scaling: needs approval by sre, ann")


@pytest.mark.parametrize(
    ("terms", "reason"),
    [
        (None, "kubetape policy: needs approval"),
        (HoldTerms("p/r", Approvers()), "kubetape policy p/r: needs approval by somebody"),
    ],
)
def test_a_hold_that_names_nobody_still_says_so(terms: HoldTerms | None, reason: str) -> None:
    held = Verdict(Action.HOLD, Mode.ENFORCE, hold=terms)
    review: JsonObject = {"spec": {"nonResourceAttributes": {"verb": "*", "path": "/x"}}}
    assert judge(review, FACTS, lambda facts: held) == Judgement(Action.HOLD, reason)


def test_without_a_name_only_what_holds_for_every_name_is_promised() -> None:
    assert ask(verb="delete", resource="pods", namespace="dev").action is Action.DENY
    assert ask(verb="delete", resource="pods", namespace="dev", name="tmp-1").action is Action.ALLOW


def test_a_wildcard_verb_needs_every_verb() -> None:
    assert ask(verb="*", resource="configmaps", namespace="dev").action is Action.ALLOW
    assert ask(verb="*", resource="pods", namespace="dev").action is Action.DENY


def test_a_wildcard_resource_is_not_promised() -> None:
    assert ask(verb="get", resource="*", namespace="dev") == Judgement(Action.DENY, NOT_PROVABLE)


def test_paths_are_decided_too() -> None:
    for path, action in (("/version", Action.ALLOW), ("/metrics", Action.DENY)):
        review: JsonObject = {"spec": {"nonResourceAttributes": {"verb": "get", "path": path}}}
        assert judge(review, FACTS, POLICY.decide).action is action


def test_the_body_of_the_question_is_not_the_body_of_the_call_it_is_about() -> None:
    seen: list[Facts] = []

    def decide(facts: Facts) -> Verdict:
        seen.append(facts)
        return Verdict(Action.ALLOW, Mode.ENFORCE)

    review: JsonObject = {"spec": {"resourceAttributes": {"verb": "create", "resource": "pods"}}}
    facts = Facts(FACTS.principal, REVIEW, "10.0.0.1", at_ns=7, object=review)
    judge(review, facts, decide)
    assert [(one.object, one.principal, one.at_ns) for one in seen] == [(None, FACTS.principal, 7)]


def test_rules_are_derived_by_asking() -> None:
    found = derive_rules("dev", FACTS, POLICY.decide)
    read = ("get", "list", "watch")
    assert AllowedRule("", ("pods",), read) in found.resources
    assert AllowedRule("apps", ("deployments",), read) in found.resources
    assert AllowedRule("", ("pods/log",), ("get",)) in found.resources
    (configmaps,) = [rule for rule in found.resources if "configmaps" in rule.resources]
    assert "deletecollection" in configmaps.verbs
    assert not any("secrets" in rule.resources for rule in found.resources)
    assert found.paths == ("/version",)
    assert derive_rules("kube-system", FACTS, POLICY.decide).resources == ()
