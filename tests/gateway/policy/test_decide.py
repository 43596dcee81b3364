"""Decisions: what counts, what beats what, what a doubt does, and that nothing is ever raised."""

import pytest

from gateway.policy import decide as decide_module
from gateway.policy.decide import Policy, decide
from gateway.policy.model import Action, Facts, Mode, Needs, Scope
from tests.kit.policies import NOON_NS, facts, grant, policy, rules

POD = "GET /api/v1/namespaces/dev/pods/web"
DELETE = "DELETE /api/v1/namespaces/dev/pods/web"
EXEC = "GET /api/v1/namespaces/dev/pods/web/exec?command=ls"
SRE = "{approvers: {groups: [sre]}}"


def test_without_policy_everything_is_allowed_and_the_mode_says_so() -> None:
    verdict = decide(facts("DELETE /api/v1/namespaces/prod"))
    assert (verdict.action, verdict.mode, verdict.rules) == (Action.ALLOW, Mode.OBSERVE, ())


def test_what_nothing_allows_is_denied() -> None:
    verdict = rules("{name: a, match: {verbs: [list]}, action: allow}").decide(facts(POD))
    assert (verdict.action, verdict.mode, verdict.rules) == (Action.DENY, Mode.ENFORCE, ())
    assert verdict.reason == "no rule allows this"
    assert len(verdict.policy_sha256) == 64


def test_a_file_may_allow_by_default() -> None:
    assert policy("default: allow").decide(facts(POD)).action is Action.ALLOW
    assert policy("default: deny").decide(facts(POD)).action is Action.DENY


def test_deny_beats_hold_beats_allow_and_all_are_named_strongest_first() -> None:
    allow = "{name: a, action: allow}"
    hold = f"{{name: h, match: {{verbs: [delete]}}, action: {{hold: {SRE}}}}}"
    deny = "{name: d, match: {users: [eve]}, action: {deny: go away}}"
    mask = "{name: m, action: {mask: {detectors: [jwt]}}}"
    made = rules(mask, allow, hold, deny)
    assert made.decide(facts(POD)).rules == ("p/a", "p/m")
    held = made.decide(facts(DELETE))
    assert (held.action, held.rules) == (Action.HOLD, ("p/h", "p/a", "p/m"))
    assert held.hold is not None
    assert held.hold.approvers.groups == ("sre",)
    denied = made.decide(facts(DELETE, user="eve"))
    assert (denied.action, denied.reason) == (Action.DENY, "go away")
    assert (denied.rules, denied.hold) == (("p/d", "p/h", "p/a", "p/m"), None)
    assert [one.rule for one in denied.masks] == ["p/m"]


def test_masks_add_up_and_allow_nothing() -> None:
    one = "{name: one, action: {mask: {paths: ['data.*']}}}"
    two = "{name: two, action: {mask: {columns: [Data]}}}"
    assert rules(one, two).decide(facts(POD)).action is Action.DENY
    verdict = rules(one, two, "{name: a, action: allow}").decide(facts(POD))
    assert [mask.rule for mask in verdict.masks] == ["p/one", "p/two"]


def test_the_record_is_narrowed_only_for_sure_and_only_of_what_is_allowed() -> None:
    allow = "{name: a, action: allow}"
    narrow = "{name: n, match: {names: [web]}, action: {record: metadata}}"
    assert rules(allow, narrow).decide(facts(POD)).scope is Scope.METADATA
    assert rules(allow, narrow).decide(facts("GET /api/v1/namespaces/dev/pods")).scope is Scope.FULL
    assert rules(narrow).decide(facts(POD)).scope is Scope.FULL
    assert rules(narrow, f"{{name: h, action: {{hold: {SRE}}}}}").decide(facts(POD)).scope is Scope.FULL


def test_a_doubt_counts_for_every_rule_but_one_that_allows() -> None:
    listing = facts("GET /api/v1/pods")
    condition = "when: 'call.argv[9] == \"x\"'"
    for match in ("match: {namespaces: [prod]}", condition):
        assert rules(f"{{name: a, {match}, action: allow}}").decide(listing).action is Action.DENY
        allow = "{name: a, action: allow}"
        assert rules(allow, f"{{name: d, {match}, action: deny}}").decide(listing).action is Action.DENY
        held = rules(allow, f"{{name: h, {match}, action: {{hold: {SRE}}}}}").decide(listing)
        assert held.action is Action.HOLD
        masked = rules(allow, f"{{name: m, {match}, action: {{mask: {{detectors: [jwt]}}}}}}").decide(listing)
        assert masked.masks


def test_a_condition_that_is_false_is_no_match() -> None:
    made = rules("{name: a, when: 'call.verb == \"list\"', action: allow}")
    assert made.decide(facts(POD)).action is Action.DENY


def test_shadow_rules_are_named_and_do_nothing() -> None:
    made = rules("{name: a, action: allow}", "{name: s, action: deny, mode: shadow}")
    verdict = made.decide(facts(POD))
    assert (verdict.action, verdict.rules, verdict.shadow) == (Action.ALLOW, ("p/a",), ("p/s",))


# --- objects ------------------------------------------------------------------------------------------

PATCH = "PATCH /apis/apps/v1/namespaces/dev/deployments/web"
SMALL = (
    "{name: small, match: {verbs: [create, update, patch]}, when: 'object.spec.replicas < 5', action: allow}"
)


def test_a_body_that_could_not_be_read_is_not_allowed() -> None:
    body: dict[str, object] = {"spec": {"replicas": 3}}
    assert rules(SMALL).needs(facts(PATCH)) == Needs(object=True)
    assert rules(SMALL).decide(facts(PATCH, body=body)).action is Action.ALLOW
    assert rules(SMALL).decide(facts(PATCH)).action is Action.DENY


# --- grants -------------------------------------------------------------------------------------------


@pytest.fixture
def granting() -> Policy:
    return policy(
        "rules:\n"
        "- {name: read, match: {verbs: [get], resources: [pods]}, action: allow}\n"
        f"- {{name: held, match: {{verbs: [delete], groups: [dev]}}, action: {{hold: {SRE}}}}}\n"
        "grants:\n"
        "- name: debug\n"
        "  approvers: {groups: [sre]}\n"
        "  requesters: {groups: [dev], users: [bob]}\n"
        "  maxDuration: 1h\n"
        "  lifts: [held]\n"
        "  rules:\n"
        "  - {name: exec, match: {resources: [pods/exec]}, action: allow}\n"
        "  - {name: rm, match: {verbs: [delete], resources: [pods]}, action: allow}\n"
        "  budgets:\n"
        "  - {deletes: 2, action: freeze}\n"
    )


def test_the_rules_of_a_bundle_count_for_who_holds_it(granting: Policy) -> None:
    assert granting.decide(facts(EXEC)).action is Action.DENY
    verdict = granting.decide(facts(EXEC, grants=(grant("debug"),)))
    assert (verdict.action, verdict.rules, verdict.grants) == (Action.ALLOW, ("p/debug/exec",), ("g-1",))
    assert [(one.rule, one.per) for one in verdict.budgets] == [("p/debug", "grant")]


def test_a_grant_that_is_not_needed_is_not_what_the_verdict_rests_on(granting: Policy) -> None:
    verdict = granting.decide(facts(POD, grants=(grant("debug"),)))
    assert (verdict.grants, verdict.budgets) == ((), ())


def test_of_two_grants_the_one_that_lasts_counts(granting: Policy) -> None:
    grants = (
        grant("debug", id="long", expires_ns=NOON_NS + 9),
        grant("debug", id="short", expires_ns=NOON_NS + 5),
    )
    assert granting.decide(facts(EXEC, grants=grants)).grants == ("long",)


def test_an_expired_or_unknown_grant_gives_nothing(granting: Policy) -> None:
    for one in (grant("debug", expires_ns=NOON_NS), grant("other")):
        assert granting.decide(facts(EXEC, grants=(one,))).action is Action.DENY


def test_a_lift_takes_the_hold_away_and_allows_nothing_by_itself(granting: Policy) -> None:
    assert granting.decide(facts(DELETE, groups=("dev",))).action is Action.HOLD
    verdict = granting.decide(facts(DELETE, groups=("dev",), grants=(grant("debug"),)))
    assert (verdict.action, verdict.rules, verdict.grants) == (Action.ALLOW, ("p/debug/rm",), ("g-1",))
    other = "DELETE /api/v1/namespaces/dev/services/x"
    assert granting.decide(facts(other, groups=("dev",), grants=(grant("debug"),))).action is Action.DENY


# --- never raises, stays small ------------------------------------------------------------------------


def test_what_cannot_be_decided_is_denied() -> None:
    made = rules("{name: a, match: {users: [ann], labels: {a: [b]}}, action: allow}")
    broken = Facts(None, facts(POD).call, "")  # type: ignore[arg-type]
    verdict = made.decide(broken)
    assert (verdict.action, verdict.mode) == (Action.DENY, Mode.ENFORCE)
    assert verdict.reason == "the policy could not be evaluated (AttributeError)"
    assert made.needs(broken) == Needs(True, True)


def test_a_kind_of_call_that_no_api_can_have_is_decided_and_not_remembered() -> None:
    made = rules("{name: a, match: {verbs: [get]}, action: allow}")
    invented = f"/apis/{'g' * 300}/v1/{'r' * 300}"
    assert made.decide(facts(f"GET {invented}/one")).action is Action.ALLOW
    assert made.decide(facts(f"DELETE {invented}/one")).action is Action.DENY
    assert (len(made._index), len(made._by_call)) == (0, 0)


def test_the_index_is_bounded_however_many_kinds_of_calls_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decide_module, "MAX_INDEX_ENTRIES", 3)
    made = rules("{name: a, match: {users: [ann]}, action: allow}")
    for number in range(10):
        asked = facts(f"GET /apis/x/v1/kind{number}s", user="ann" if number % 2 else "eve")
        assert made.decide(asked).action is (Action.ALLOW if number % 2 else Action.DENY)
        assert len(made._index) <= 3
        assert len(made._by_call) <= 3
