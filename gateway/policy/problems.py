"""What is wrong with policy files: every problem with its place, all of them at once."""

from typing import Final

import msgspec

MAX_PROBLEMS: Final = 100
"""A reader who has this many to mend runs the check again."""


class Problem(msgspec.Struct, frozen=True, order=True):
    """One mistake. line, column: from 1; 0 where it cannot be told."""

    file: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{place}: {self.message}"


class BadPolicy(Exception):
    """These files are no policy; `problems` says why, in the order of the text."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems: Final = tuple(sorted(set(problems))[:MAX_PROBLEMS])
        super().__init__("\n".join(str(problem) for problem in self.problems))
