"""Tests that stand in policy files."""

import pytest

from gateway.policy.load import load_policy
from gateway.policy.testing import run_tests
from tests.kit.policies import policy

RULES = (
    "rules:\n"
    "- {name: a, match: {groups: [dev], time: {from: 09:00, to: 17:00}}, action: allow}\n"
    "- {name: m, match: {labels: {x: [y]}}, action: {mask: {paths: ['data.*']}}}\n"
    "- {name: s, match: {verbs: [delete]}, action: deny, mode: shadow}\n"
    "- {name: r, match: {verbs: [list]}, action: {record: metadata}}\n"
    "- {name: mfa, match: {claims: {mfa: ['!*']}, issuers: ['https://*']}, action: deny}\n"
    "grants:\n"
    "- {name: g, approvers: {users: [bob]}, maxDuration: 1h, rules: [{name: all, action: allow}]}\n"
)
POD = "/api/v1/namespaces/a/pods/b"


def failures(test: str) -> list[str]:
    made = policy(RULES + f"tests:\n- {{{test}}}\n")
    (result,) = run_tests(made)
    assert (result.case.file, result.case.line) == ("p.yaml", 13)
    return list(result.failures)


@pytest.mark.parametrize(
    "test",
    [
        f"as: {{user: u, groups: [dev]}}, request: GET {POD}, expect: allow, rule: a",
        f"as: {{user: u, groups: [dev]}}, request: GET {POD}, expect: deny, at: '2026-01-05T18:00:00+00:00'",
        f"as: {{user: u}}, request: GET {POD}, expect: deny",
        f"as: {{user: u}}, request: GET {POD}, expect: allow, grants: [g], rule: p/g/all",
        f"as: {{user: u, groups: [dev]}}, request: GET {POD}, expect: allow, old: {{metadata: {{labels: {{x: y}}}}}}, masks: [m]",
        f"as: {{user: u, groups: [dev]}}, request: GET {POD}, expect: allow, old: {{metadata: {{labels: {{x: z}}}}}}, masks: []",
        f"as: {{user: u, groups: [dev]}}, request: DELETE {POD}, expect: allow, shadow: [p/s]",
        "as: {user: u, groups: [dev]}, request: GET /api/v1/pods, expect: allow, scope: metadata",
        f"as: {{user: u, groups: [dev], issuer: 'https://i', claims: {{mfa: true}}}}, request: GET {POD}, expect: allow",
        f"as: {{user: u, groups: [dev], issuer: 'https://i'}}, request: GET {POD}, expect: deny, rule: mfa, name: no mfa",
    ],
)
def test_a_test_that_is_right_passes(test: str) -> None:
    assert failures(test) == []


def test_a_test_that_is_wrong_says_what_the_policy_says() -> None:
    asked = "as: {user: u, groups: [dev]}, request: DELETE " + POD
    assert failures(f"{asked}, expect: hold, old: {{}}") == [
        "expected hold, the policy says allow (by p/a)",
    ]
    assert failures(f"as: {{user: u}}, request: GET {POD}, expect: allow, old: {{}}") == [
        "expected allow, the policy says deny: no rule allows this"
    ]
    assert failures(
        f"{asked}, expect: allow, rule: mfa, masks: [m], shadow: [], scope: metadata, old: {{}}"
    ) == [
        "expected the rule p/mfa to match; it was p/a",
        "expected masks of p/m; it was none",
        "expected in shadow none; it was p/s",
        "expected the recording scope metadata; it was full",
    ]


def test_masks_of_other_files_add_up_and_are_no_concern_of_a_test() -> None:
    rule = "rules: [{name: m, match: {resources: [pods]}, action: {mask: {paths: [spec.x]}}}]"
    case = "tests: [{as: {user: u}, request: GET /api/v1/namespaces/a/pods/p, expect: deny, masks: [m]}]"
    head = "apiVersion: kubetape/v1\nkind: Policy\nmetadata: {name: %s}\n"
    files = {
        "a.yaml": f"{head % 'a'}{rule}\n{case}\n".encode(),
        "b.yaml": f"{head % 'b'}{rule}\n".encode(),
    }
    (result,) = run_tests(load_policy(files))
    assert len(result.verdict.masks) == 2
    assert result.failures == ()
