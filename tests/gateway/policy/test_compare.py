"""What changes in meaning between two sets of files."""

import pytest

from gateway.policy.compare import Change, FieldChange, compare_policies
from gateway.policy.problems import BadPolicy
from tests.kit.policies import HEAD

RULE = "rules:\n- {name: a, match: {verbs: [get, list]}, action: allow}\n"
HOLD = "rules:\n- {name: h, action: {hold: {approvers: {groups: [x, y]}, wait: 5m}}}\n"
GRANT = HOLD + "grants:\n- {name: g, approvers: {users: [b]}, maxDuration: 1h, lifts: [h]}\n"
DETECTOR = "detectors: [{name: staff, re2: 'E[0-9]+'}]\n"


def changes(old: str, new: str) -> tuple[Change, ...]:
    return compare_policies({"p.yaml": (HEAD + old).encode()}, {"q.yaml": (HEAD + new).encode()})


def one_field(old: str, new: str) -> FieldChange:
    (change,) = changes(old, new)
    assert change.how == "changed"
    (field,) = change.fields
    return field


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (RULE, RULE.replace("get, list", "list, get")),
        (RULE, "# a comment\n" + RULE),
        (HOLD, HOLD.replace("5m", "300s")),
        (HOLD, HOLD.replace(", wait: 5m", "")),
        (HOLD, HOLD.replace("x, y", "y, x")),
        (GRANT, GRANT.replace("[h]", "[p/h]")),
        (GRANT, GRANT.replace("1h", "60m")),
        (RULE, RULE + "tests: [{as: {user: a}, request: GET /, expect: deny}]\n"),
        (
            RULE,
            RULE.replace("action", "mode: enforce, action"),
        ),
    ],
)
def test_what_means_the_same_is_no_change(old: str, new: str) -> None:
    assert changes(old, new) == ()


def test_rules_are_known_by_their_ids() -> None:
    (added,) = changes("", RULE)
    assert (added.what, added.id, added.how) == ("rule", "p/a", "added")
    assert added.fields == (
        FieldChange("action", None, "allow"),
        FieldChange("match.verbs", None, ["get", "list"]),
    )
    (removed,) = changes(RULE, "")
    assert (removed.how, removed.fields[0]) == ("removed", FieldChange("action", "allow", None))


def test_a_changed_rule_says_which_field() -> None:
    assert one_field(RULE, RULE.replace("get, list", "get")) == FieldChange(
        "match.verbs", ["get", "list"], ["get"]
    )
    assert one_field(HOLD, HOLD.replace("5m", "6m")) == FieldChange("action.hold.wait", None, "360s")


def test_labels_and_claims_are_compared_one_by_one() -> None:
    labels = "rules:\n- {name: a, match: {labels: {a.b/c: [x], d: [y]}}, action: allow}\n"
    assert one_field(labels, labels.replace("[x]", "[z]")) == FieldChange("match.labels.a.b/c", ["x"], ["z"])


def test_the_order_of_arguments_and_of_typed_commands_is_a_change() -> None:
    argv = "rules:\n- {name: a, match: {argv: [[ls, -l, /a]]}, action: allow}\n"
    assert one_field(argv, argv.replace("-l, /a", "/a, -l")).field == "match.argv"
    typed = "rules:\n- {name: c, action: {commands: [{pattern: a, do: deny}, {pattern: b, do: alert}]}}\n"
    swapped = "rules:\n- {name: c, action: {commands: [{pattern: b, do: alert}, {pattern: a, do: deny}]}}\n"
    assert one_field(typed, swapped).field == "action.commands"


def test_rules_and_budgets_of_grants_are_compared() -> None:
    with_rule = GRANT.replace("lifts: [h]", "lifts: [h], rules: [{name: r, action: allow}]")
    (added,) = changes(GRANT, with_rule)
    assert (added.what, added.id) == ("rule", "p/g/r")
    budget = GRANT.replace(
        "lifts: [h]", "lifts: [h], budgets: [{deletes: 3, hold: {approvers: {users: [b]}, wait: 1m}}]"
    )
    assert one_field(GRANT, budget).field == "budgets"
    assert changes(budget, budget.replace("wait: 1m", "wait: 60s")) == ()
    assert one_field(GRANT, GRANT.replace("1h", "2h")) == FieldChange("maxDuration", "3600s", "7200s")
    unlifting = GRANT.replace("lifts: [h]", "rules: [{name: r, action: allow}]")
    assert [one.id for one in changes(GRANT, unlifting)] == ["p/g/r", "g"]


def test_budgets_and_detectors_and_the_default_are_compared() -> None:
    budget = "budgets: [{name: few, deletes: 10, action: freeze}]\n"
    assert one_field(budget, budget.replace("10", "5")) == FieldChange("action.budget.deletes", 10, 5)
    assert one_field(DETECTOR, DETECTOR.replace("E", "F")) == FieldChange("re2", "E[0-9]+", "F[0-9]+")
    (default,) = changes("", "default: allow")
    assert default == Change("default", "default", "changed", (FieldChange("default", "deny", "allow"),))
    assert changes("default: allow", "default: deny")[0].fields[0].new == "deny"


def test_files_that_are_no_policy_are_not_compared() -> None:
    with pytest.raises(BadPolicy):
        changes("rulse: []", "")
