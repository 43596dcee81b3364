"""Decisions: what counts, what beats what, what a doubt does, and that nothing is ever raised."""

import pytest

from gateway.policy import decide as decide_module
from gateway.policy.decide import Policy, decide
from gateway.policy.hints import MAX_HINT_CHARACTERS
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


def test_of_several_holds_the_strictest_counts() -> None:
    made = rules(
        f"{{name: one, action: {{hold: {SRE}}}}}",
        "{name: request, action: {hold: {approvers: {groups: [sre]}, scope: request, reason: look}}}",
        "{name: two, action: {hold: {approvers: {groups: [sre], quorum: 2}}}}",
    )
    hold = made.decide(facts(POD)).hold
    assert hold is not None
    assert hold.rule == "p/two"
    hold = (
        rules(
            "{name: one, action: {hold: " + SRE + "}}",
            "{name: r, action: {hold: {approvers: {users: [b]}, scope: request, reason: look, wait: 1m30s}}}",
        )
        .decide(facts(POD))
        .hold
    )
    assert hold is not None
    assert (hold.rule, hold.wait_s, hold.reason) == ("p/r", 90, "look")


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


def test_objects_are_needed_only_by_rules_that_can_be_about_the_call() -> None:
    label = "{name: l, match: {labels: {team: [a]}, namespaces: [dev]}, action: allow}"
    name = "{name: n, match: {names: [web]}, action: allow}"
    both = "{name: b, match: {verbs: [update]}, when: 'oldObject.spec == object.spec', action: allow}"
    create = "POST /api/v1/namespaces/dev/pods"
    assert rules(label, name).needs(facts(POD)) == Needs(old_object=True)
    assert rules(label).needs(facts("GET /api/v1/namespaces/prod/pods/web")) == Needs()
    assert rules(label).needs(facts("GET /api/v1/namespaces/dev/pods")) == Needs()
    assert rules(name).needs(facts(create)) == Needs(object=True)
    assert rules(both).needs(facts("PUT /api/v1/namespaces/dev/pods/web")) == Needs(True, True)
    assert rules("{name: a, action: allow}").needs(facts(create)) == Needs()
    assert rules("{name: a, when: 'call.tty', action: allow}").needs(facts(EXEC)) == Needs()


# --- streams and budgets ------------------------------------------------------------------------------

FORWARD = "GET /api/v1/namespaces/dev/pods/web/portforward"


def test_ports_are_what_allowing_rules_open_less_what_others_do_not() -> None:
    web = "{name: web, match: {ports: [80, 443]}, action: allow}"
    ssh = "{name: ssh, match: {ports: [22]}, action: allow}"
    limit = "{name: limit, action: {ports: [22, 80]}}"
    anything = "{name: any, action: allow}"
    assert rules(web).decide(facts(FORWARD)).streams.ports == (80, 443)
    assert rules(web, ssh).decide(facts(FORWARD)).streams.ports == (22, 80, 443)
    assert rules(web, ssh, limit).decide(facts(FORWARD)).streams.ports == (22, 80)
    assert rules(web, anything).decide(facts(FORWARD)).streams.ports is None
    assert rules(anything, limit).decide(facts(FORWARD)).streams.ports == (22, 80)
    assert rules(web).decide(facts(f"{FORWARD}?ports=22")).action is Action.DENY


def test_rules_for_streams_add_up() -> None:
    made = rules(
        "{name: a, action: allow}",
        "{name: c, description: careful, action: {commands: [{pattern: 'rm -rf', do: deny}, "
        "{pattern: drop, do: hold, hold: "
        + SRE
        + "}], files: {direction: up, names: ['*.sh'], maxBytes: 5}}}",
    )
    streams = made.decide(facts(EXEC)).streams
    deny, hold = streams.commands
    assert (deny.rule, deny.pattern, deny.action, deny.reason, deny.hold) == (
        "p/c",
        "rm -rf",
        "deny",
        "careful",
        None,
    )
    assert hold.hold is not None
    assert hold.hold.reason == "careful"
    assert (streams.files[0].names, streams.files[0].max_bytes) == (("*.sh",), 5)


def test_budgets_come_from_rules_and_from_the_list() -> None:
    made = policy(
        "rules:\n- {name: a, action: allow}\n"
        "- {name: b, action: {budget: {deletes: 5, bytesOut: 10, action: freeze}}}\n"
        "budgets:\n- {name: c, match: {groups: [agents]}, secretsRead: 3, hold: " + SRE + "}\n"
    )
    budgets = made.decide(facts(DELETE, groups=("agents",))).budgets
    assert [(b.rule, b.counter, b.limit, b.per, b.action) for b in budgets] == [
        ("p/b", "deletes", 5, "session", "freeze"),
        ("p/b", "bytesOut", 10, "session", "freeze"),
        ("p/c", "secretsRead", 3, "session", "hold"),
    ]
    assert len(made.decide(facts(DELETE)).budgets) == 2


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


# --- hints --------------------------------------------------------------------------------------------


def test_a_denial_says_what_would_be_allowed() -> None:
    made = rules(
        "{name: a, match: {groups: [dev], verbs: [get, list], resources: [pods], namespaces: ['dev-*', '!dev-x']}, action: allow}",
        "{name: b, match: {groups: [ops], verbs: [delete], resources: [pods]}, action: allow}",
        "{name: c, match: {groups: [dev], resources: [services], names: [web], time: {days: [mon]}}, action: allow}",
        "{name: d, match: {groups: [dev], paths: [/version]}, action: allow}",
        "{name: e, match: {groups: [dev], apiGroups: [batch], verbs: [list]}, when: 'call.follow', action: allow}".replace(
            "call.follow", "call.follow"
        ),
    )
    dev = ("dev",)
    assert (
        made.decide(facts(DELETE, groups=dev)).hint == "you may get, list pods in namespaces dev-*, not dev-x"
    )
    about_nodes = made.decide(facts("GET /api/v1/nodes", groups=dev)).hint
    assert "do anything to services named web (under conditions)" in about_nodes
    assert about_nodes.endswith("do anything to paths /version; and more")
    assert made.decide(facts(DELETE, groups=("nobody",))).hint == ""
    jobs = made.decide(facts("DELETE /apis/batch/v1/namespaces/a/jobs/b", groups=dev)).hint
    assert jobs == "you may list API groups batch (under conditions)"
    everything = rules("{name: a, match: {verbs: [get]}, action: allow}").decide(facts(DELETE)).hint
    assert everything == "you may get everything"


def test_a_hint_is_bounded() -> None:
    names = ", ".join(f"service-{number}-{'x' * 50}" for number in range(9))
    made = rules(f"{{name: a, match: {{verbs: [get], names: [{names}]}}, action: allow}}")
    hint = made.decide(facts(DELETE)).hint
    assert len(hint) <= MAX_HINT_CHARACTERS
    assert hint.endswith("...")


def test_a_denial_names_the_grants_that_would_help_those_who_may_ask(granting: Policy) -> None:
    asked = granting.decide(facts(EXEC, groups=("dev",))).hint
    assert asked == "you may ask for the grant debug; you may get pods"
    assert "ask" in granting.decide(facts(EXEC, user="bob")).hint
    assert "ask" not in granting.decide(facts(EXEC)).hint
    no_use = facts("GET /api/v1/nodes", groups=("dev",))
    assert "ask" not in granting.decide(no_use).hint


def test_anybody_may_ask_where_nobody_is_named() -> None:
    made = policy(
        "grants:\n- {name: g, approvers: {users: [bob]}, maxDuration: 1h, rules: [{name: a, action: allow}]}"
    )
    assert made.decide(facts(POD)).hint == "you may ask for the grant g"
    assert made.decide(facts(POD, grants=(grant("other"),))).hint == "you may ask for the grant g"


def test_no_grant_helps_against_a_rule_that_denies() -> None:
    made = policy(
        "rules: [{name: d, action: deny}]\n"
        "grants:\n- {name: g, approvers: {users: [bob]}, maxDuration: 1h, rules: [{name: a, action: allow}]}"
    )
    verdict = made.decide(facts(POD))
    assert (verdict.reason, verdict.hint) == ("a rule denies this", "")


# --- never raises, stays small ------------------------------------------------------------------------


def test_what_cannot_be_decided_is_denied() -> None:
    made = rules("{name: a, match: {users: [ann], labels: {a: [b]}}, action: allow}")
    broken = Facts(None, facts(POD).call, "")  # type: ignore[arg-type]
    verdict = made.decide(broken)
    assert (verdict.action, verdict.mode) == (Action.DENY, Mode.ENFORCE)
    assert verdict.reason == "the policy could not be evaluated (AttributeError)"
    assert made.needs(broken) == Needs(True, True)


def test_the_index_is_bounded_however_many_kinds_of_calls_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decide_module, "MAX_INDEX_ENTRIES", 3)
    made = rules("{name: a, match: {users: [ann]}, action: allow}")
    for number in range(10):
        asked = facts(f"GET /apis/x/v1/kind{number}s", user="ann" if number % 2 else "eve")
        assert made.decide(asked).action is (Action.ALLOW if number % 2 else Action.DENY)
        assert len(made._index) <= 3
        assert len(made._by_call) <= 3
