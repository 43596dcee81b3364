"""Counts the work of each operation, and compares it with what was counted when the baseline was made.

python -m benchmarks.work                  count everything, show what changed; exit 1 if anything is worse
python -m benchmarks.work get              only operations whose names begin so
python -m benchmarks.work --share 0.1      a tenth of the units: the same figures, a little less exact
python -m benchmarks.work --update         what is counted now is the baseline, for this version of Python
python -m benchmarks.work get --functions  which functions are called how often, most first
"""

import argparse
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Final

import msgspec

from benchmarks.report import environment
from benchmarks.work.baseline import Baseline, compare, missing, table, update, verdict
from benchmarks.work.operations import WORKS
from benchmarks.work.running import Counted, count_work

PYTHON: Final = f"{sys.version_info.major}.{sys.version_info.minor}"
BASELINES: Final = Path(__file__).parent.parent / "baselines"
LIBRARIES: Final = ("trio", "h2", "hpack", "hyperframe", "msgspec")
"""Whose code is counted with ours."""
EXIT_WORSE, EXIT_NO_BASELINE, EXIT_UNKNOWN_NAME = 1, 3, 4
FUNCTIONS_SHOWN: Final = 60
UNITS: Final = {name: work.unit for name, work in WORKS.items()}


def read_baseline(path: Path) -> Baseline | None:
    return msgspec.json.decode(path.read_bytes(), type=Baseline) if path.exists() else None


def write_baseline(path: Path, baseline: Baseline) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(baseline), indent=1) + b"\n")


def libraries() -> dict[str, str]:
    return {name: version(name) for name in LIBRARIES}


def count_all(names: list[str], share: float) -> dict[str, Counted]:
    counted: dict[str, Counted] = {}
    for name in names:
        if sys.stderr.isatty():
            print(f"\r\033[Kcounting {name}", end="", file=sys.stderr, flush=True)
        counted[name] = count_work(WORKS[name], share)
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
    return counted


def show_functions(name: str, counted: Counted) -> None:
    calls = {
        f"{Path(code.co_filename).parent.name}/{Path(code.co_filename).name}:{code.co_firstlineno} {code.co_qualname}": count
        for code, count in counted.calls.items()
    }
    print(f"{name}: calls per {WORKS[name].unit}")
    for function, count in sorted({**calls, **counted.builtins}.items(), key=lambda one: -one[1])[
        :FUNCTIONS_SHOWN
    ]:
        print(f"{count / counted.units:8.2f}  {function}")


def check(path: Path, counted: dict[str, Counted]) -> int:
    """Print what changed; returns the exit code."""
    baseline = read_baseline(path)
    figures = {name: one.figures for name, one in counted.items()}
    if baseline is None or missing(baseline, figures):
        names = ", ".join(missing(baseline, figures)) if baseline else "all"
        print(
            f"no baseline for Python {PYTHON}: {names}; make one with `make gate-update`",
            file=sys.stderr,
        )
        return EXIT_NO_BASELINE
    changes = compare(baseline, figures, UNITS)
    print(table(changes))
    if baseline.libraries != libraries():
        print(f"counted with {libraries()}, the baseline with {baseline.libraries}")
    print(verdict(changes) or f"nothing is worse than at {baseline.commit}")
    return EXIT_WORSE if any(change.is_worse for change in changes) else 0


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("operation", nargs="*", help="words that names begin with; default: all operations")
    parser.add_argument("--share", type=float, default=1.0, help="of the units of a full run")
    parser.add_argument("--update", action="store_true", help="rewrite the baseline")
    parser.add_argument("--functions", action="store_true", help="list the functions instead")
    parser.add_argument("--baseline", type=Path, default=BASELINES / f"work-{PYTHON}.json", metavar="FILE")
    arguments = parser.parse_args()
    names = [name for name in WORKS if name.startswith(" ".join(arguments.operation))]
    if not names:
        print(f"no such operation; there are: {', '.join(WORKS)}", file=sys.stderr)
        return EXIT_UNKNOWN_NAME
    counted = count_all(names, arguments.share)
    if arguments.functions:
        for name, one in counted.items():
            show_functions(name, one)
        return 0
    if arguments.update:
        figures = {name: one.figures for name, one in counted.items()}
        old = read_baseline(arguments.baseline)
        commit = environment()["commit"]
        new = update(old, figures, commit=commit, python=PYTHON, libraries=libraries())
        write_baseline(arguments.baseline, new)
        if old is not None:
            print(table(compare(old, figures, UNITS)))
        print(f"wrote {arguments.baseline}", file=sys.stderr)
        return 0
    return check(arguments.baseline, counted)


if __name__ == "__main__":
    sys.exit(main())
