"""can-i and whoami: answered here where the cluster would speak of the gateway's role, with the objects clients expect."""

import json

import pytest

from gateway.errors import Refusal
from gateway.policy.decide import decide as observe
from gateway.policy.load import load_policy
from gateway.policy.model import Facts, JsonObject
from gateway.policy.self_review import Decide
from gateway.principal import Principal
from gateway.self_review import AskCluster, answer_self_review
from gateway.self_review_answers import add_reason
from gateway.upstream.request import IdentityMode
from protocol.apicall import parse_call
from protocol.events import BodyChunk, EndOfBody, ResponseHead

POLICY = load_policy(
    {
        "p.yaml": b"""
apiVersion: kubetape/v1
kind: Policy
metadata: {name: p}
rules:
  - name: read
    match: {verbs: [get], resources: [pods]}
    action: allow
  - name: version
    match: {paths: [/version]}
    action: allow
  - name: never
    match: {verbs: [delete]}
    action: {deny: "no deletes"}
  - name: ask
    match: {verbs: [create]}
    action: {hold: {approvers: {groups: [sre]}}}
"""
    }
)
ANN = Principal(
    "ann",
    ("dev", "ops"),
    "oidc",
    "c1",
    uid="u1",
    extra=(("scopes", ("a", "b")),),
)
SHARED, IMPERSONATE = IdentityMode.SHARED, IdentityMode.IMPERSONATE
ACCESS = b"/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
RULES = b"/apis/authorization.k8s.io/v1beta1/selfsubjectrulesreviews"
SUBJECT = b"/apis/authentication.k8s.io/v1/selfsubjectreviews"


def ask(
    target: bytes,
    body: JsonObject | None = None,
    *,
    decide: Decide = POLICY.decide,
    mode: IdentityMode = SHARED,
    principal: Principal = ANN,
) -> dict[str, object] | AskCluster:
    call = parse_call(b"POST", target)
    facts = Facts(principal, call, "10.0.0.1", at_ns=1_767_225_600_000_000_000, object=body)
    found = answer_self_review(facts, decide, mode)
    if isinstance(found, AskCluster):
        return found
    head, chunk, end = found
    assert isinstance(head, ResponseHead)
    assert isinstance(chunk, BodyChunk)
    assert isinstance(end, EndOfBody)
    assert head.status == 201
    assert dict(head.headers)[b"content-length"] == b"%d" % len(chunk.data)
    answer: dict[str, object] = json.loads(chunk.data)
    return answer


def about(verb: str, resource: str = "pods") -> JsonObject:
    return {"spec": {"resourceAttributes": {"verb": verb, "resource": resource, "namespace": "d"}}}


@pytest.mark.parametrize("mode", [SHARED, IMPERSONATE])
def test_what_policy_denies_is_answered_here_in_the_words_of_the_api(mode: IdentityMode) -> None:
    review = about("delete")
    answer = ask(ACCESS, review, mode=mode)
    assert isinstance(answer, dict)
    assert (answer["kind"], answer["apiVersion"]) == ("SelfSubjectAccessReview", "authorization.k8s.io/v1")
    assert answer["spec"] == review["spec"]
    status = answer["status"]
    assert isinstance(status, dict)
    assert (status["allowed"], status["denied"]) == (False, True)
    assert "p/never: no deletes" in status["reason"]


def test_what_nothing_allows_is_not_called_denied() -> None:
    answer = ask(ACCESS, about("list"))
    assert isinstance(answer, dict)
    status = answer["status"]
    assert isinstance(status, dict)
    assert status["allowed"] is False
    assert "denied" not in status


def test_what_policy_allows_is_asked_of_the_cluster_too() -> None:
    assert ask(ACCESS, about("get")) == AskCluster()


def test_what_is_held_is_asked_of_the_cluster_and_gets_a_note() -> None:
    assert ask(ACCESS, about("create")) == AskCluster("kubetape policy p/ask: needs approval by sre")


@pytest.mark.parametrize("target", [ACCESS, RULES])
def test_in_observe_mode_the_cluster_answers(target: bytes) -> None:
    assert ask(target, about("delete"), decide=observe) == AskCluster()


def test_a_question_that_makes_no_sense_or_cannot_be_read_is_refused() -> None:
    with pytest.raises(Refusal) as refused:
        ask(ACCESS, {})
    assert refused.value.answer.code == 400
    with pytest.raises(Refusal) as refused:
        ask(ACCESS, None)
    assert refused.value.answer.code == 415


def test_rules_are_examples_under_one_credential_and_the_clusters_word_under_impersonation() -> None:
    review: JsonObject = {"spec": {"namespace": "d"}}
    assert ask(RULES, review, mode=IMPERSONATE) == AskCluster()
    answer = ask(RULES, review)
    assert isinstance(answer, dict)
    assert answer["apiVersion"] == "authorization.k8s.io/v1beta1"
    status = answer["status"]
    assert isinstance(status, dict)
    assert status["incomplete"] is True
    assert {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]} in status["resourceRules"]
    assert status["nonResourceRules"] == [{"verbs": ["get"], "nonResourceURLs": ["/version"]}]
    assert answer["spec"] == review["spec"]


def test_rules_of_somebody_who_may_nothing_are_empty() -> None:
    deny_all = load_policy(
        {
            "p.yaml": b"apiVersion: kubetape/v1\nkind: Policy\nmetadata: {name: p}\nrules:\n"
            b"  - {name: r, match: {users: [bob]}, action: allow}\n"
        }
    )
    answer = ask(RULES, {}, decide=deny_all.decide)
    assert isinstance(answer, dict)
    status = answer["status"]
    assert isinstance(status, dict)
    assert (status["resourceRules"], status["nonResourceRules"]) == ([], [])
    assert answer["spec"] == {}


@pytest.mark.parametrize("decide", [observe, POLICY.decide])
def test_whoami_is_the_person_and_not_the_role(decide: Decide) -> None:
    answer = ask(SUBJECT, None, decide=decide)
    assert answer == {
        "kind": "SelfSubjectReview",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {"creationTimestamp": "2026-01-01T00:00:00Z"},
        "status": {
            "userInfo": {
                "username": "ann",
                "uid": "u1",
                "groups": ["dev", "ops"],
                "extra": {"scopes": ["a", "b"]},
            }
        },
    }
    assert ask(SUBJECT, None, decide=decide, mode=IMPERSONATE) == AskCluster()


def test_whoami_leaves_out_what_is_not_known() -> None:
    answer = ask(SUBJECT, principal=Principal("bob", (), "token", "c2"))
    assert isinstance(answer, dict)
    assert answer["status"] == {"userInfo": {"username": "bob"}}


def test_other_calls_are_none_of_its_business() -> None:
    assert ask(b"/api/v1/namespaces/d/pods", {}) == AskCluster()


@pytest.mark.parametrize(
    ("theirs", "reason"),
    [({"allowed": True}, "ours"), ({"allowed": True, "reason": "RBAC: x"}, "ours; RBAC: x")],
)
def test_our_reason_stands_in_front_of_theirs(theirs: dict[str, object], reason: str) -> None:
    found = json.loads(add_reason(json.dumps({"kind": "K", "status": theirs}).encode(), "ours"))
    assert found == {"kind": "K", "status": {"allowed": True, "reason": reason}}


@pytest.mark.parametrize("answer", [b"k8s\x00", b"[]", b'{"status":"Failure"}', b'{"a":"\xff"}', b""])
def test_an_answer_that_is_no_review_stays_as_it_is(answer: bytes) -> None:
    assert add_reason(answer, "ours") == answer
