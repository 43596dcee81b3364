"""Globs: one sign, whole values, and what is taken out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.globs import Globs, compile_glob, problem_of


@pytest.mark.parametrize(
    ("pattern", "value", "matches"),
    [
        ("a", "a", True),
        ("a", "A", False),
        ("a", "ab", False),
        ("*", "", True),
        ("*", "a/b.c\n", True),
        ("prod-*", "prod-", True),
        ("prod-*", "xprod-a", False),
        ("*-prod", "eu-prod", True),
        ("*-prod", "eu-prod-1", False),
        ("a*a", "a", False),
        ("a*a", "aa", True),
        ("a*b*c", "aXbYc", True),
        ("a*b*c", "acb", False),
        ("a*b*c", "xabc", False),
        ("a*bc*c", "abc", False),
        ("*b*", "abc", True),
        ("a**c", "abc", True),
        ("a*bb*a*c", "abbc", False),
        ("a?c", "abc", False),
        ("a?c", "a?c", True),
    ],
)
def test_a_pattern_is_for_the_whole_value(pattern: str, value: str, matches: bool) -> None:
    assert compile_glob(pattern)(value) is matches


@given(st.lists(st.sampled_from("ab*"), max_size=8), st.text("ab", max_size=10))
def test_a_pattern_means_what_a_backtracking_matcher_says(pattern: list[str], value: str) -> None:
    def match(p: str, v: str) -> bool:
        if not p:
            return not v
        if p[0] == "*":
            return match(p[1:], v) or (bool(v) and match(p, v[1:]))
        return bool(v) and p[0] == v[0] and match(p[1:], v[1:])

    text = "".join(pattern)
    assert compile_glob(text)(value) is match(text, value)


def test_positives_are_or_ed_and_negatives_taken_out() -> None:
    globs = Globs(["prod-*", "dev", "!prod-eu"])
    assert [globs.match(value) for value in ("prod-us", "dev", "prod-eu", "x")] == [True, True, False, False]
    assert (globs.has_positive, globs.has_negative, globs.is_everything) == (True, True, False)


def test_only_negatives_match_all_the_rest() -> None:
    globs = Globs(["!a"])
    assert (globs.match("b"), globs.match("a"), globs.has_positive) == (True, False, False)


def test_of_several_values_one_must_be_wanted_and_none_excluded() -> None:
    globs = Globs(["a", "b*", "!c"])
    assert globs.match_any(("x", "bb"))
    assert not globs.match_any(("a", "c"))
    assert not globs.match_any(("x",))
    assert not globs.match_any(())
    assert Globs(["!c"]).match_any(())


@pytest.mark.parametrize(
    ("patterns", "problem"),
    [
        (["a", "!b"], None),
        ([""], None),
        (["!"], (0, "a `!` excludes nothing: write what it excludes behind it")),
        (["a", "a"], (1, "'a' stands here twice")),
        (["a", "!a"], (0, "'a' is both wanted and excluded: it never matches")),
        (["a", "!*"], (1, "`!*` excludes everything: this never matches")),
    ],
)
def test_lists_that_cannot_be_meant_are_named(patterns: list[str], problem: tuple[int, str] | None) -> None:
    assert problem_of(patterns) == problem


def test_where_a_value_may_be_absent_excluding_everything_says_so() -> None:
    assert problem_of(["!*"], may_be_absent=True) is None
