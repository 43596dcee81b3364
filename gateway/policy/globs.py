"""Globs: lists of patterns with one sign, `*`, and `!` for "but not". Pure, linear time, never raises.

`*` is any run of characters, also none, also slashes and dots. A pattern is for the whole value and case-sensitive.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeAlias

MatchesOne: TypeAlias = Callable[[str], bool]


class Globs:
    """A list of patterns. A value matches if a positive one does, or there is none, and no negative one does."""

    __slots__ = ("_exact", "_negative", "_positive", "has_negative", "has_positive", "is_everything")

    def __init__(self, patterns: Sequence[str]) -> None:
        positive = [pattern for pattern in patterns if not pattern.startswith("!")]
        self._exact: Final = frozenset(pattern for pattern in positive if "*" not in pattern)
        self._positive: Final = tuple(compile_glob(pattern) for pattern in positive if "*" in pattern)
        self._negative: Final = tuple(compile_glob(p[1:]) for p in patterns if p.startswith("!"))
        self.has_positive: Final = bool(positive)
        self.has_negative: Final = bool(self._negative)
        self.is_everything: Final = "*" in positive and not self._negative

    def match(self, value: str) -> bool:
        if self.has_positive and value not in self._exact and not any(one(value) for one in self._positive):
            return False
        return not any(one(value) for one in self._negative)

    def match_any(self, values: Iterable[str]) -> bool:
        """Whether one of the values is wanted and none of them is excluded. No values: only negatives can match."""
        values = tuple(values)
        if self.has_positive and not any(self._wants(value) for value in values):
            return False
        return not any(one(value) for one in self._negative for value in values)

    def _wants(self, value: str) -> bool:
        return value in self._exact or any(one(value) for one in self._positive)


def compile_glob(pattern: str) -> MatchesOne:
    """One pattern, without `!`."""
    if "*" not in pattern:
        return pattern.__eq__
    first, *middle, last = pattern.split("*")
    if not any(middle):
        if not first and not last:
            return _anything
        least = len(first) + len(last)
        return lambda value: len(value) >= least and value.startswith(first) and value.endswith(last)
    return lambda value: _in_order(value, first, middle, last)


def problem_of(patterns: Sequence[str], *, may_be_absent: bool = False) -> tuple[int, str] | None:
    """What is wrong with a list of patterns: its index and why. may_be_absent: `!*` says that there is no value."""
    for at, pattern in enumerate(patterns):
        if not pattern.removeprefix("!") and pattern:
            return at, "a `!` excludes nothing: write what it excludes behind it"
        if pattern in patterns[:at]:
            return at, f"{pattern!r} stands here twice"
    negative = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    for at, pattern in enumerate(patterns):
        if not pattern.startswith("!") and pattern in negative:
            return at, f"{pattern!r} is both wanted and excluded: it never matches"
    if "*" in negative and not may_be_absent:
        return list(patterns).index("!*"), "`!*` excludes everything: this never matches"
    return None


def _anything(value: str) -> bool:
    return True


def _in_order(value: str, first: str, middle: Sequence[str], last: str) -> bool:
    """Leftmost places are enough: what is found early leaves most room for the rest."""
    if not value.startswith(first):
        return False
    at = len(first)
    end = len(value) - len(last)
    for piece in middle:
        found = value.find(piece, at, max(end, at))
        if found < 0:
            return False
        at = found + len(piece)
    return at <= end and value.endswith(last)
