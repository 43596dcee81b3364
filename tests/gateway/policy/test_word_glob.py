"""Globs over one text."""

import pytest

from gateway.policy.word_glob import matches_glob


@pytest.mark.parametrize(
    ("text", "pattern", "expected"),
    [
        ("", "", True),
        ("", "*", True),
        ("abc", "abc", True),
        ("abc", "a?c", True),
        ("a/b/c", "a*c", True),
        ("abcabd", "*abd", True),
        ("abc", "abcd", False),
        ("abcd", "abc", False),
        ("abc", "*d", False),
        ("a*c", "a*c", True),
        ("[a]", "[a]", True),
        ("a", "[a]", False),
        ("abc", "abc**", True),
    ],
)
def test_a_star_is_any_text_and_a_question_mark_one_character(
    text: str, pattern: str, expected: bool
) -> None:
    assert matches_glob(text, pattern) is expected


def test_many_stars_do_not_take_long() -> None:
    assert not matches_glob("a" * 2000, "*a" * 30 + "b")
