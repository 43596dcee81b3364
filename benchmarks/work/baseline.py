"""What may not become more: figures of every operation, kept in a file, and what they are compared with.

Decides, measures nothing. A baseline belongs to a version of Python and to the versions of the libraries whose calls
are counted too. Fewer is never an offence, but a baseline should follow: else the next loss hides behind the last gain.
"""

from typing import Final

import msgspec

Figures = dict[str, float]
"""Name of a figure -> how many per unit of the operation."""

FIGURES: Final = {
    "steps": "a task of the event loop woke up",
    "calls": "a Python function was called, or a coroutine resumed",
    "builtins": "a function in C was called",
    "bytecodes": "an instruction of Python's machine",
    "system_calls": "the event loop entered the kernel",
    "records": "a record was appended to the log",
    "urgent_records": "one of them could not wait for company",
    "record_bytes": "the records, before compression",
}
TOLERANCE: Final = 0.01
"""Share by which a figure may grow unseen. Runs on a machine at load 12 differ by a twentieth of it; only the token is a
new one each time, and its length in HTTP/2's Huffman code makes 0.6 % of a GET's built-in calls."""
STREAM_TOLERANCE: Final = 0.03
"""The same where a unit is a megabyte: how far the log's thread is changes a branch here and there (1 % at load 12)."""
EXACT: Final = frozenset({"records", "urgent_records"})
ROUNDING: Final = 0.05
"""Per unit: what an operation's beginning and end add to a short run."""


class Baseline(msgspec.Struct, frozen=True):
    """Figures by operation. python: major.minor. libraries: name -> version."""

    commit: str
    python: str
    libraries: dict[str, str]
    operations: dict[str, Figures]


class Change(msgspec.Struct, frozen=True):
    """One figure then and now, for each unit."""

    operation: str
    unit: str
    figure: str
    before: float
    now: float

    @property
    def share(self) -> float:
        """By what share it grew; negative: shrank."""
        return self.now / self.before - 1 if self.before else float(self.now > 0)

    @property
    def is_worse(self) -> bool:
        return self.now > self.before * (1 + self._tolerance) + ROUNDING

    @property
    def is_better(self) -> bool:
        return self.now < self.before * (1 - self._tolerance) - ROUNDING

    @property
    def _tolerance(self) -> float:
        if self.figure in EXACT:
            return 0.0
        return STREAM_TOLERANCE if self.unit == "MB" else TOLERANCE


def compare(baseline: Baseline, now: dict[str, Figures], units: dict[str, str]) -> list[Change]:
    """Every figure that both know, in the order of `now`. units: of the operations."""
    return [
        Change(operation, units[operation], figure, before[figure], value)
        for operation, figures in now.items()
        if (before := baseline.operations.get(operation)) is not None
        for figure, value in figures.items()
        if figure in before
    ]


def missing(baseline: Baseline, now: dict[str, Figures]) -> list[str]:
    """Operations without a baseline: they are not guarded."""
    return [operation for operation in now if operation not in baseline.operations]


def update(
    old: Baseline | None, now: dict[str, Figures], *, commit: str, python: str, libraries: dict[str, str]
) -> Baseline:
    """What was counted now; operations that were not keep what they had, unless the libraries are others."""
    kept = old.operations if old is not None and old.libraries == libraries else {}
    return Baseline(commit, python, libraries, {**kept, **now})


def table(changes: list[Change]) -> str:
    """Every operation a row of calls, with the other figures that changed below it."""
    lines = [f"{'operation':26} {'per':8} {'figure':15} {'baseline':>10} {'now':>10} {'change':>8}"]
    for change in changes:
        if not (change.is_worse or change.is_better or change.figure == "calls"):
            continue
        mark = "WORSE" if change.is_worse else "better" if change.is_better else ""
        row = f"{change.operation:26} {change.unit:8} {change.figure:15}"
        lines.append(f"{row} {change.before:10.1f} {change.now:10.1f} {change.share:+8.1%} {mark}".rstrip())
    return "\n".join(lines)


def verdict(changes: list[Change]) -> str:
    """One line: what to do. Empty when there is nothing to do."""
    worse = [change for change in changes if change.is_worse]
    if worse:
        figures = ", ".join(
            f"{name} ({FIGURES[name]})" for name in dict.fromkeys(one.figure for one in worse)
        )
        return (
            f"{len(worse)} figures are worse: {figures}. See which functions are called with `python -m benchmarks.work "
            "OPERATION --functions`; if it is meant to be so, run `make gate-update` and say why in the commit"
        )
    if any(change.is_better for change in changes):
        return "less work than the baseline says: run `make gate-update`, so that it is not lost unseen"
    return ""
