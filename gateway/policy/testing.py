"""Runs the tests that stand in policy files: the same `decide` as in the data path, on facts from the file."""

from collections.abc import Iterator
from typing import NamedTuple

from gateway.policy.cases import Case
from gateway.policy.decide import Policy
from gateway.policy.model import Verdict


class Result(NamedTuple):
    """How a test ended. failures: one line each; none: it passed."""

    case: Case
    verdict: Verdict
    failures: tuple[str, ...]


def run_tests(policy: Policy) -> Iterator[Result]:
    """In the order of the files."""
    for case in policy.tests:
        verdict = policy.decide(case.facts)
        yield Result(case, verdict, tuple(_failures(case, verdict)))


def _failures(case: Case, verdict: Verdict) -> Iterator[str]:
    if verdict.action.value != case.expect:
        why = f": {verdict.reason}" if verdict.reason else ""
        by = f" (by {', '.join(verdict.rules)})" if verdict.rules else ""
        yield f"expected {case.expect}, the policy says {verdict.action.value}{by}{why}"
    if case.rule is not None and case.rule not in verdict.rules:
        yield f"expected the rule {case.rule} to match; it was {_list(verdict.rules)}"
    # Masks add up over all files: a test speaks of those of its own, and of those it names.
    named, own = case.masks or (), f"{case.policy}/"
    masks = {mask.rule for mask in verdict.masks if mask.rule.startswith(own) or mask.rule in named}
    if case.masks is not None and set(case.masks) != masks:
        yield f"expected masks of {_list(case.masks)}; it was {_list(sorted(masks))}"
    if case.shadow is not None and set(case.shadow) != set(verdict.shadow):
        yield f"expected in shadow {_list(case.shadow)}; it was {_list(verdict.shadow)}"
    if case.scope is not None and case.scope != verdict.scope.value:
        yield f"expected the recording scope {case.scope}; it was {verdict.scope.value}"


def _list(names: tuple[str, ...] | list[str]) -> str:
    return ", ".join(names) or "none"
