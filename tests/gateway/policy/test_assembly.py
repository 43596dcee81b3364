"""What the rules that matched make together: the strictest hold, streams, budgets."""

from gateway.policy.model import Action
from tests.kit.policies import facts, policy, rules

POD = "GET /api/v1/namespaces/dev/pods/web"
DELETE = "DELETE /api/v1/namespaces/dev/pods/web"
EXEC = "GET /api/v1/namespaces/dev/pods/web/exec?command=ls"
SRE = "{approvers: {groups: [sre]}}"


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
