"""What a policy would have said, and what cannot be told: only where it could change what happens."""

from gateway.policy.hindsight import (
    CLAIMS,
    GRANT,
    OLD_OBJECT,
    SENT,
    Doubt,
    Known,
    decide_in_hindsight,
    not_held,
)
from gateway.policy.model import Action
from tests.kit.policies import facts, grant, policy, rules

POD = "GET /api/v1/namespaces/dev/pods/web"
PUT = "PUT /api/v1/namespaces/dev/pods/web"
CREATE = "POST /api/v1/namespaces/dev/pods"
DELETE = "DELETE /api/v1/namespaces/dev/pods/web"
ALLOW = "{name: a, action: allow}"
ALL_KNOWN, NO_BODY = Known(), Known(body=False)
GRANTS = (
    "rules: [{name: h, match: {verbs: [delete]}, action: {hold: {approvers: {users: [b]}}}}]\n"
    "grants:\n- {name: g, approvers: {users: [b]}, maxDuration: 1h, lifts: [h], "
    "rules: [{name: get, match: {verbs: [get]}, action: allow}]}\n"
)


def told(*lines: str, request: str = POD, known: Known = ALL_KNOWN) -> Action | tuple[Doubt, ...]:
    found = decide_in_hindsight(rules(*lines), facts(request), known)
    return found.doubts if found.verdict is None else found.verdict.action


def test_what_needs_nothing_else_is_as_in_the_data_path() -> None:
    assert told(ALLOW) is Action.ALLOW
    assert told(ALLOW, "{name: d, match: {namespaces: [dev]}, action: deny}") is Action.DENY
    assert told("{name: a, match: {verbs: [list]}, action: allow}") is Action.DENY
    assert told("{name: a, match: {namespaces: [prod]}, action: allow}") is Action.DENY
    listing = "GET /api/v1/namespaces/dev/pods"
    assert told("{name: a, match: {names: [web]}, action: allow}", request=listing) is Action.DENY
    assert told(ALLOW, "{name: d, match: {names: [web]}, action: deny}", request=listing) is Action.DENY


def test_claims_are_in_no_record() -> None:
    assert told("{name: a, match: {claims: {mfa: [ok]}}, action: allow}") == (Doubt("p/a", CLAIMS),)
    condition = "{name: d, when: \"principal.claims['mfa'] == 'no'\", action: deny}"
    assert told(ALLOW, condition) == (Doubt("p/d", CLAIMS),)
    both = "{name: a, match: {claims: {mfa: [ok]}, namespaces: [prod]}, action: allow}"
    assert told(both) is Action.DENY, "what rules it out otherwise is known"


def test_objects_in_the_cluster_are_in_no_record() -> None:
    label = "{name: d, match: {labels: {tier: [db]}}, action: deny}"
    assert told(ALLOW, label) == (Doubt("p/d", OLD_OBJECT),)
    assert told(ALLOW, label, request="GET /api/v1/namespaces/dev/pods") is Action.DENY
    assert told(ALLOW, label, request=CREATE, known=NO_BODY) == (Doubt("p/d", SENT),)


def test_what_was_sent_may_be_gone() -> None:
    condition = "{name: d, match: {verbs: [create]}, when: object.spec.hostPID == true, action: deny}"
    body: dict[str, object] = {"spec": {"hostPID": False}}
    made = rules(ALLOW, condition)
    assert told(ALLOW, condition, request=CREATE, known=NO_BODY) == (Doubt("p/d", SENT),)
    found = decide_in_hindsight(made, facts(CREATE, body=body), Known())
    assert found.verdict is not None
    assert found.verdict.action is Action.ALLOW
    named = "{name: d, match: {names: [db]}, action: deny}"
    assert told(ALLOW, named, request=CREATE, known=NO_BODY) == (Doubt("p/d", SENT),)
    assert told(ALLOW, named, request=PUT, known=NO_BODY) is Action.ALLOW
    options = "{name: d, match: {verbs: [delete]}, when: has(request.options.orphan), action: deny}"
    assert told(ALLOW, options, request=DELETE, known=NO_BODY) == (Doubt("p/d", SENT),)
    assert told(ALLOW, options, request=DELETE) is Action.ALLOW


def test_a_doubt_counts_only_where_it_could_change_what_happens() -> None:
    unknown = "match: {claims: {a: [b]}}"
    deny, hold = "{name: d, action: deny}", "{name: h, action: {hold: {approvers: {users: [b]}}}}"
    assert told(deny, f"{{name: a, {unknown}, action: allow}}") is Action.DENY
    assert told(ALLOW, f"{{name: b, {unknown}, action: allow}}") is Action.ALLOW
    assert told(hold, f"{{name: b, {unknown}, action: allow}}") is Action.HOLD
    assert told(hold, f"{{name: d, {unknown}, action: deny}}") == (Doubt("p/d", CLAIMS),)
    assert told(f"{{name: d, {unknown}, action: deny}}") is Action.DENY
    assert told(ALLOW, f"{{name: m, {unknown}, action: {{record: metadata}}}}") is Action.ALLOW
    assert told(ALLOW, f"{{name: s, {unknown}, action: deny, mode: shadow}}") is Action.ALLOW


def test_rules_in_shadow_and_lifted_ones_decide_nothing() -> None:
    assert told(ALLOW, "{name: d, action: deny, mode: shadow}") is Action.ALLOW
    made = policy(GRANTS + "default: allow")
    found = decide_in_hindsight(made, facts(DELETE, grants=(grant("g"),)), Known())
    assert found.verdict is not None
    assert found.verdict.action is Action.ALLOW


def test_whether_a_grant_was_held_is_known_only_sometimes() -> None:
    made = policy(GRANTS)
    asked = facts(POD)
    assert decide_in_hindsight(made, asked, Known()).doubts == (Doubt("p/g/get", GRANT),)
    assert decide_in_hindsight(made, facts(DELETE), Known()).doubts == (Doubt("p/h", GRANT),)
    for known in (Known(all_grants=True), Known(not_held=frozenset({"g"}))):
        found = decide_in_hindsight(made, asked, known)
        assert found.verdict is not None
        assert found.verdict.action is Action.DENY
        held = decide_in_hindsight(made, facts(DELETE), known)
        assert held.verdict is not None
        assert held.verdict.action is Action.HOLD
    found = decide_in_hindsight(made, facts(POD, grants=(grant("g"),)), Known())
    assert found.verdict is not None
    assert found.verdict.action is Action.ALLOW


def test_the_verdict_of_then_shows_which_grants_were_not_held() -> None:
    made = policy(GRANTS)
    assert not_held(made, facts(POD), Known(), ()) == {"g"}
    assert not_held(made, facts(POD), Known(), ("p/g/get",)) == frozenset()
    assert not_held(made, facts(DELETE), Known(), ("p/h",)) == {"g"}
    assert not_held(made, facts(DELETE), Known(), ()) == frozenset()
    of_claims = policy(GRANTS.replace("verbs: [get]", "claims: {a: [b]}"))
    assert not_held(of_claims, facts(POD), Known(), ()) == frozenset()
    other = policy(GRANTS.replace("verbs: [get]", "namespaces: [x]"))
    assert not_held(other, facts(POD), Known(), ()) == frozenset()


def test_anybody_may_ask_what_he_may_do() -> None:
    review = "POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    assert told("{name: a, match: {verbs: [get]}, action: allow}", request=review) is Action.ALLOW
    assert told("{name: d, action: deny}", request=review) is Action.DENY
