"""The shipped policies: their own tests pass, they fit together, and they leave ordinary work alone."""

import re
from pathlib import Path

import pytest

from gateway.policy.lint import find_openings
from gateway.policy.load import load_policy
from gateway.policy.model import Action
from gateway.policy.testing import run_tests
from gateway.policy_packs import pack_names, read_packs
from tests.kit.policies import HEAD, facts

NAMES = pack_names()
OPEN = (HEAD + "default: allow\n").encode()
PAGE = (Path(__file__).parents[3] / "docs" / "policy-packs.md").read_text()
DEPLOYMENT: dict[str, object] = {
    "spec": {"template": {"spec": {"containers": [{"name": "web", "image": "web:1"}]}}}
}


@pytest.mark.parametrize("name", NAMES)
def test_the_tests_in_a_pack_pass_alone(name: str) -> None:
    results = list(run_tests(load_policy(read_packs([name]))))
    assert len(results) >= 15
    assert [(one.case.name, one.failures) for one in results if one.failures] == []


@pytest.mark.parametrize("name", NAMES)
def test_every_rule_of_a_pack_is_named_by_one_of_its_tests(name: str) -> None:
    made = load_policy(read_packs([name]))
    named: set[str | None] = set()
    for case in made.tests:
        named |= {case.rule, *(case.masks or ()), *(case.shadow or ())}
    of_streams = {"protect-prod/typed-deletes", "protect-prod/volumes"}
    budgets = {"protect-prod/few-deletes", "read-only-agents/not-everything"}
    assert {rule.id for rule in made.rules} - named - of_streams - budgets == set()


def test_all_packs_load_together() -> None:
    assert len(load_policy(read_packs(NAMES)).rules) > 40


def test_no_escape_bars_every_way_of_a_policy_that_allows_everything() -> None:
    assert len(find_openings(load_policy({"o.yaml": OPEN}))) > 15
    assert find_openings(load_policy({"o.yaml": OPEN, **read_packs(["no-escape"])})) == ()


@pytest.mark.parametrize(
    "request_line",
    [
        "GET /api/v1/namespaces/a/pods",
        "GET /api/v1/nodes/n",
        "GET /api/v1/secrets",
        "GET /apis/rbac.authorization.k8s.io/v1/clusterroles",
        "POST /apis/apps/v1/namespaces/a/deployments",
        "PATCH /apis/apps/v1/namespaces/a/deployments/web",
        "PATCH /apis/apps/v1/namespaces/a/deployments/web/scale",
        "DELETE /api/v1/namespaces/a/pods/web-0",
        "POST /api/v1/namespaces/a/configmaps",
        "GET /api/v1/namespaces/kube-system/pods",
        "GET /version",
    ],
)
def test_no_escape_leaves_ordinary_work_alone(request_line: str) -> None:
    made = load_policy({"o.yaml": OPEN, **read_packs(["no-escape"])})
    assert made.decide(facts(request_line, body=DEPLOYMENT)).action is Action.ALLOW


def test_agents_change_nothing_even_where_everything_is_allowed() -> None:
    made = load_policy({"o.yaml": OPEN, **read_packs(["read-only-agents"])})
    for request_line in ("POST /api/v1/namespaces/a/pods", "DELETE /api/v1/namespaces/a/pods/web-0"):
        asked = facts(request_line, groups=("agents",), body=DEPLOYMENT)
        assert made.decide(asked).action is Action.DENY
        assert made.decide(facts(request_line, body=DEPLOYMENT)).action is Action.ALLOW


def test_a_grant_for_production_lifts_its_holds_and_no_denial() -> None:
    from tests.kit.policies import grant

    made = load_policy({"o.yaml": OPEN, **read_packs(["protect-prod"])})
    deploy = "PATCH /apis/apps/v1/namespaces/prod/deployments/web"
    assert made.decide(facts(deploy, body={})).action is Action.HOLD
    held = (grant("work-in-prod"),)
    assert made.decide(facts(deploy, body={}, grants=held)).action is Action.ALLOW
    assert made.decide(facts("DELETE /api/v1/namespaces/prod", grants=held)).action is Action.DENY


def test_the_page_names_every_rule_of_every_pack_and_its_examples_are_good() -> None:
    for name in NAMES:
        for rule in load_policy(read_packs([name])).rules:
            assert f"`{rule.id.removeprefix(name + '/')}`" in PAGE, rule.id
    for text in re.findall(r"```yaml\n(apiVersion.*?)```", PAGE, re.DOTALL):
        results = list(run_tests(load_policy({"page.yaml": text.encode()})))
        assert results
        assert [one.failures for one in results if one.failures] == []
