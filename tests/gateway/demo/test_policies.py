"""The policy files of the demo: their own tests pass, alone and beside the packs that are loaded with them."""

from importlib.resources import files

from gateway.demo.tour import PACKS
from gateway.policy.load import load_policy
from gateway.policy.testing import run_tests
from gateway.policy_packs import read_packs

POLICIES = files("gateway.demo") / "policies"
FILES = {name: (POLICIES / name).read_bytes() for name in ("payments.yaml", "stricter.yaml")}


def test_the_tests_in_each_file_pass() -> None:
    for name, text in FILES.items():
        results = list(run_tests(load_policy({name: text})))
        assert results
        assert [(one.case.name, one.failures) for one in results if one.failures] == []


def test_they_fit_together_with_the_packs() -> None:
    policy = load_policy({**FILES, **read_packs(PACKS)})
    assert any("follow-payments" in bundle for bundle in policy.grants)
