"""Files -> a policy, or every mistake with its place and what to do."""

import pytest

from gateway.policy import load
from gateway.policy.load import load_policy
from gateway.policy.model import Action, GrantTerms
from gateway.policy.problems import BadPolicy
from tests.kit.policies import HEAD, facts, policy, problems

SRE = "{approvers: {groups: [sre]}}"


def test_a_policy_without_files_is_none() -> None:
    with pytest.raises(BadPolicy, match="there is no policy file"):
        load_policy({})


def test_files_are_read_together() -> None:
    one = HEAD + f"rules:\n- {{name: h, action: {{hold: {SRE}}}}}\n"
    two = (
        HEAD.replace("name: p", "name: q")
        + "detectors: [{name: staff, re2: 'EMP-([0-9]+)', group: 1}]\n"
        + "grants:\n- {name: g, approvers: {users: [bob], quorum: 1}, maxDuration: 1h30m, lifts: [p/h], reason: why}\n"
    )
    mask = HEAD.replace("name: p", "name: r") + "rules:\n- {name: m, action: {mask: {detectors: [staff]}}}\n"
    made = load_policy({"b.yaml": two.encode(), "a.yaml": one.encode(), "c.yaml": mask.encode()})
    assert made.files == ("a.yaml", "b.yaml", "c.yaml")
    assert [rule.id for rule in made.rules] == ["p/h", "r/m"]
    assert [(d.name, d.pattern, d.group) for d in made.detectors] == [("staff", "EMP-([0-9]+)", 1)]
    terms = made.grants["g"]
    assert isinstance(terms, GrantTerms)
    assert (terms.max_duration_s, terms.lifts, terms.reason) == (5400, ("p/h",), "why")


def test_the_hash_is_over_names_and_contents_in_order() -> None:
    a, b = HEAD.encode(), HEAD.replace("name: p", "name: q").encode()
    one = load_policy({"a": a, "b": b}).sha256
    assert load_policy({"b": b, "a": a}).sha256 == one
    assert load_policy({"a": b, "b": a}).sha256 != one
    assert load_policy({"a": a, "c": b}).sha256 != one


def test_default_deny_of_one_file_beats_default_allow_of_another() -> None:
    allow = (HEAD + "default: allow").encode()
    deny = (HEAD.replace("name: p", "name: q") + "default: deny").encode()
    silent = HEAD.replace("name: p", "name: q").encode()
    asked = facts("GET /api")
    assert load_policy({"a": allow, "b": silent}).decide(asked).action is Action.ALLOW
    assert load_policy({"a": allow, "b": deny}).decide(asked).action is Action.DENY


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "rules:\n- {name: a, action: allow}\n- {name: a, action: deny}",
            ["3:10: there is another rule 'p/a': names are unique"],
        ),
        (
            "rules:\n- {name: a, match: {verbs: [gte]}, action: {mask: {detectors: [jtw]}}}",
            [
                "2:29: 'gte' is no verb; did you mean 'get'?",
                "2:64: there is no detector 'jtw'; did you mean 'jwt'?",
            ],
        ),
        (
            "rules:\n- name: a\n  when: |\n    true\n    && call.vreb == 'x'\n  action: allow",
            ["5:12: 'call.vreb' is no variable or function of a condition; did you mean 'call.verb'?"],
        ),
        (
            'rules:\n- name: a\n  when: "call.verb == \\"a\\" && x"\n  action: allow',
            ["3:9: 'x' is no variable or function of a condition (line 1, column 21 of the text)"],
        ),
        (
            "rules:\n- {name: a, when: 'object.x == 1', action: deny}",
            ["2:19: when it looks at `object`, say at which verbs: verbs: [create, update, patch]"],
        ),
        (
            "rules:\n- {name: a, when: 'oldObject.x == 1', action: deny}",
            ["2:19: when it looks at `oldObject`, say at which verbs: verbs: [update, patch, delete]"],
        ),
        (
            "detectors:\n- {name: jwt, re2: a}\n- {name: b, re2: '('}\n- {name: b, re2: c, group: 1}",
            [
                "2:10: 'jwt' is built in: take another name",
                "3:18: pattern of detector 'b' is not RE2: missing ): (",
                "4:10: there is another detector 'b': names are unique",
                "4:18: detector 'b' hides group 1, but its pattern has 0",
            ],
        ),
        (
            "grants:\n- {name: g, approvers: {}, maxDuration: 1s, lifts: [x]}",
            [
                "2:24: nobody could approve: name users or groups",
                "2:41: a grant lasts between 1m and 720h",
                "2:53: there is no hold rule 'p/x'",
            ],
        ),
        (
            "grants:\n- name: g\n  approvers: {users: [a]}\n  maxDuration: 1h\n  budgets: [{action: freeze}]",
            [
                "2:3: this grants nothing: give rules or lifts",
                "5:13: this limits nothing: give one of deletes, secretsRead, podsTouched, bytesOut, execMinutes",
            ],
        ),
        (
            "tests:\n- {as: {user: a}, request: 'GET /a//b', expect: allow}",
            [
                "2:28: the gateway refuses this request whatever the policy says: "
                "the path contains an empty or a dot segment"
            ],
        ),
        (
            "rules: [{name: abc, action: allow}]\ntests:\n"
            "- {as: {user: a}, request: GET /api, expect: allow, rule: abd, masks: [x], grants: [g]}",
            [
                "3:59: there is no rule 'p/abd'; did you mean 'p/abc'?",
                "3:71: there is no rule 'p/x'",
                "3:84: there is no grant 'g'",
            ],
        ),
    ],
)
def test_every_mistake_has_its_place(text: str, expected: list[str]) -> None:
    assert problems(text) == expected


def test_mistakes_of_all_files_are_reported_together() -> None:
    with pytest.raises(BadPolicy) as raised:
        load_policy({"b": b"[", "a": (HEAD + "rulse: []").encode()})
    assert [problem.file for problem in raised.value.problems] == ["a", "b"]


def test_two_files_with_the_name_of_one_policy_are_a_mistake() -> None:
    with pytest.raises(BadPolicy, match="there is another policy 'p'"):
        load_policy({"a": HEAD.encode(), "b": HEAD.encode()})


def test_there_is_a_most_of_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "MAX_RULES", 2)
    text = "rules:\n" + "".join(f"- {{name: r{number}, action: allow}}\n" for number in range(4))
    assert problems(text) == ["4:3: more than 2 rules", "5:3: more than 2 rules"]


def test_a_source_that_was_not_read_is_a_bug() -> None:
    with pytest.raises(AssertionError):
        load._file_of(load.Source("a", b"["))


def test_rules_of_bundles_have_three_names() -> None:
    made = policy(
        "grants:\n- {name: g, approvers: {users: [b]}, maxDuration: 1h, rules: [{name: a, action: allow}]}"
    )
    assert [rule.id for rule in made.rules] == ["p/g/a"]
    assert made.grants["g"].rules == ("p/g/a",)
