"""Whatever the text of a policy file is, loading it ends in a policy or in problems; and decisions never raise."""

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.policy.decide import Policy
from gateway.policy.load import load_policy
from gateway.policy.model import Verdict
from gateway.policy.problems import BadPolicy, Problem
from tests.gateway.policy.test_policy_docs import PAGE
from tests.kit.policies import facts

EXAMPLE = PAGE.partition("```yaml\n")[2].partition("```")[0]
SIGNS = ("null", "~", "!!x", "&a", "*a", "[", "]", "{", "}", "''", "1", "1e999")
WORDS = st.sampled_from([*EXAMPLE.split(), *SIGNS])
REQUESTS = (
    "GET /api/v1/namespaces/prod-eu/pods/web",
    "DELETE /api/v1/pods",
    "GET /healthz",
    "POST /api/v1/namespaces/a/pods/b/exec?command=ls",
    "PATCH /apis/apps/v1/namespaces/a/deployments/b",
)


def load(content: bytes) -> tuple[Policy | None, tuple[Problem, ...]]:
    try:
        return load_policy({"f.yaml": content}), ()
    except BadPolicy as error:
        return None, error.problems


@given(st.lists(st.tuples(st.integers(0, len(EXAMPLE)), st.integers(0, 12), WORDS), min_size=1, max_size=4))
@settings(max_examples=300, deadline=None)
def test_a_damaged_file_is_a_policy_or_a_list_of_problems(damage: list[tuple[int, int, str]]) -> None:
    text = EXAMPLE
    for at, length, word in damage:
        text = text[:at] + word + text[at + length :]
    policy, problems = load(text.encode())
    assert (policy is None) == bool(problems)
    assert all("\n" not in problem.message for problem in problems)
    if policy is not None:
        for request in REQUESTS:
            assert isinstance(policy.decide(facts(request)), Verdict)


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_bytes_are_problems_and_nothing_else(content: bytes) -> None:
    policy, problems = load(content)
    assert policy is None
    assert problems


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["metadata", "spec", "kind", "apiVersion", "labels"]), JSON))
@settings(max_examples=200, deadline=None)
def test_no_object_makes_a_decision_raise(body: dict[str, object]) -> None:
    policy = load_policy({"f.yaml": EXAMPLE.encode()})
    for request in REQUESTS:
        verdict = policy.decide(facts(request, groups=("developers",), body=body, old=body))
        assert "could not be evaluated" not in verdict.reason
