"""One file, read strictly."""

import pytest

from gateway.policy.problems import MAX_PROBLEMS, BadPolicy, Problem
from gateway.policy.reading import MAX_FILE_BYTES, Source
from tests.kit.policies import HEAD


def read(content: str | bytes) -> list[str]:
    encoded = content.encode() if isinstance(content, str) else content
    return [str(problem) for problem in Source("f.yaml", encoded).problems]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "f.yaml:1:1: a policy file begins with `apiVersion: kubetape/v1` and `kind: Policy`"),
        ("- a", "f.yaml:1:1: a policy file begins with"),
        ("a: [", "f.yaml:2:1: not valid YAML: did not find"),
        (b"\xff\xfe\xfa", "f.yaml: not valid YAML"),
        ("a: &x 1\nb: *x", "f.yaml:1:4: YAML aliases are not accepted: write it out"),
        ("a: !!binary x", "f.yaml:1:4: not valid YAML: tags are not accepted"),
        ("a: !x {}", "f.yaml:1:4: not valid YAML: tags are not accepted"),
        ("a: 1\na: 2", "f.yaml:2:1: key 'a' appears twice"),
        ("[" * 100, "f.yaml: not valid YAML"),
        (HEAD + "rules: {}", "f.yaml:4:8: `rules` is a list: begin each entry with `- `"),
        (HEAD + "rules:\n- 3", "f.yaml:5:3: Expected `object`, got `int`"),
        (HEAD + "ruels: []", "f.yaml:4:1: unknown key 'ruels'; did you mean 'rules'?"),
        (HEAD + "rules: [{action: allow}]", "f.yaml:4:9: Object missing required field `name`"),
        (
            HEAD.replace("v1", "v2"),
            "f.yaml:1:13: Invalid enum value 'kubetape/v2'; did you mean 'kubetape/v1'?",
        ),
        (
            HEAD + "rules: [{name: 'a b', action: allow}]",
            "f.yaml:4:16: a name is at most 63 letters, digits, dots, dashes and underscores",
        ),
        (HEAD + 'rules: [{name: "a\\n", action: allow}]', "f.yaml:4:16: a name is at most 63 letters"),
        (HEAD + 'rules: [{name: a, action: {deny: "a\\n"}}]', "f.yaml:4:34: this is one line of text"),
        (
            HEAD + "tests: [{as: {user: a}, request: get /, expect: deny}]",
            "f.yaml:4:34: a request is written METHOD /path",
        ),
        (
            HEAD + "rules: [{name: a, action: {hold: {approvers: {users: [b]}, wait: 5 min}}}]",
            "f.yaml:4:66: a duration is written 90s, 5m or 1h30m",
        ),
        (
            HEAD + "rules: [{name: a, action: {allow: {}}}]",
            "f.yaml:4:28: unknown key 'allow': allow stands alone here, with nothing in it",
        ),
        (HEAD + "default: no", "f.yaml:4:10: Expected `str`, got `bool` (put it in quotes)"),
        (b"#" * (MAX_FILE_BYTES + 1), "f.yaml: larger than 1048576 bytes: split it"),
    ],
)
def test_a_mistake_has_its_place(content: str | bytes, problem: str) -> None:
    (found, *_) = read(content)
    assert found.startswith(problem)


def test_a_mistake_in_one_rule_does_not_hide_the_next() -> None:
    text = (
        HEAD
        + "rules:\n- {name: 'a b', action: allow}\n- {name: b, actoin: deny}\n- {name: c, action: deny}\n"
    )
    assert [line.split(": ")[0] for line in read(text)] == ["f.yaml:5:10", "f.yaml:6:13"]


def test_only_a_file_that_was_read_has_parts() -> None:
    with pytest.raises(AssertionError):
        Source("f.yaml", b"[").position(())


def test_problems_are_sorted_and_bounded() -> None:
    many = [Problem("f", line, 1, "x") for line in range(300, 0, -1)]
    error = BadPolicy([*many, Problem("f", 1, 1, "x")])
    assert [problem.line for problem in error.problems] == list(range(1, MAX_PROBLEMS + 1))
    assert str(error).startswith("f:1:1: x\nf:2:1: x\n")
