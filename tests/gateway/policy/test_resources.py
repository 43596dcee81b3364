"""Resource patterns, by the habits of RBAC."""

import pytest

from gateway.policy.resources import Resource, Resources, is_cluster_scoped, problem_of_resource

POD = Resource("", "pods", "")
EXEC = Resource("", "pods", "exec")
DEPLOYMENT = Resource("apps", "deployments", "")
SCALE = Resource("apps", "deployments", "scale")


@pytest.mark.parametrize(
    ("patterns", "matching"),
    [
        (["pods"], {POD}),
        (["pods/exec"], {EXEC}),
        (["pods/*"], {EXEC}),
        (["*"], {POD, EXEC, DEPLOYMENT, SCALE}),
        (["*/*"], {EXEC, SCALE}),
        (["*/scale"], {SCALE}),
        (["deployments"], {DEPLOYMENT}),
        (["deployments.apps"], {DEPLOYMENT}),
        (["deployments.batch"], set()),
        (["deployments.apps/scale"], {SCALE}),
        (["deployments.batch/scale"], set()),
        (["*.apps"], {DEPLOYMENT}),
        (["*", "!pods/*"], {POD, DEPLOYMENT, SCALE}),
        (["!pods"], {EXEC, DEPLOYMENT, SCALE}),
    ],
)
def test_a_pattern_names_resources_as_rbac_does(patterns: list[str], matching: set[Resource]) -> None:
    resources = Resources(patterns)
    assert {r for r in (POD, EXEC, DEPLOYMENT, SCALE) if resources.match(r)} == matching


@pytest.mark.parametrize("pattern", ["pods", "!pods/exec", "deployments.apps/scale", "*.k8s.io", "*", "a-b*"])
def test_patterns_that_can_be_meant(pattern: str) -> None:
    assert problem_of_resource(pattern) == ""


def test_other_patterns_are_named() -> None:
    assert problem_of_resource("Pod") == "'Pod' is no resource: they are lower-case plurals, such as pods"
    assert "write pods" in problem_of_resource("pods exec")


def test_a_pattern_that_was_not_checked_is_a_bug() -> None:
    with pytest.raises(AssertionError):
        Resources(["pods exec"])


def test_only_known_resources_are_in_no_namespace_for_certain() -> None:
    assert is_cluster_scoped("", "nodes")
    assert not is_cluster_scoped("management.cattle.io", "nodes")
    assert not is_cluster_scoped("", "pods")
