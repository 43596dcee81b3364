"""`kubetape bench`: what recording costs, measured side by side with other ways to the same API server.

The measuring lives in the package `benchmarks`, which nothing else of the gateway knows: it is imported by name
when it is used, so that the data path can never come to depend on it (tests/test_imports.py).
"""

import contextlib
import importlib
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, Final

import click

GROUPS: Final = ("idle", "calls", "watch", "exec", "transfers", "kubectl", "load")
WAYS: Final = ("direct", "kubectl proxy", "haproxy", "kubetape")
DURABILITIES: Final = ("strict", "balanced", "relaxed")


@click.command("bench")
@click.option(
    "--kubeconfig",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Measure on this cluster (its current context). Default: a built-in stand-in API server.",
)
@click.option("--yes", is_flag=True, help="Do not ask before a cluster of yours is used.")
@click.option(
    "--image",
    metavar="IMAGE",
    help="On your cluster: run a pod of this image (it needs sh, cat, wc, tar, nc: busybox) for exec, copies and "
    "port-forward. Without it they are left out.",
)
@click.option("--quick", is_flag=True, help="About a minute, one run, small samples: a look, not a claim.")
@click.option(
    "--runs", type=click.IntRange(1, 50), metavar="N", help="Runs to take medians of. Default: 5; quick: 1."
)
@click.option("--only", multiple=True, type=click.Choice(GROUPS), help="Only this kind of work (repeatable).")
@click.option(
    "--way", multiple=True, type=click.Choice(WAYS), help="Only this way, besides direct (repeatable)."
)
@click.option(
    "--durability",
    multiple=True,
    type=click.Choice(DURABILITIES),
    help="Of kubetape (repeatable). Default: all three; quick: balanced.",
)
@click.option("--mib", type=click.IntRange(1, 4096), default=256, show_default=True, help="Size of a copy.")
@click.option(
    "--json",
    "json_file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write everything measured there.",
)
@click.option(
    "--plot", type=click.Path(file_okay=False, path_type=Path), metavar="DIR", help="Draw SVG files there."
)
@click.option(
    "--document",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Put the tables into a Markdown file that has a place for them (docs/performance.md).",
)
@click.option("--targets", is_flag=True, help="Show the project's targets, met or missed.")
@click.option("--check", is_flag=True, help="The same, and exit with 1 when one is missed.")
@click.option(
    "--read",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Measure nothing: show (or plot, or check) a file written before.",
)
@click.option(
    "--compare",
    nargs=2,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="OLD NEW",
    help="Measure nothing: say what changed between two files, and what is beyond noise.",
)
def bench(read: Path | None, compare: tuple[Path, Path] | None, **flags: Any) -> None:
    """Measure direct, kubectl proxy, HAProxy and kubetape in turn: latency, CPU, memory, throughput.

    On a cluster of yours it works in a namespace of its own, kubetape-bench-..., which is deleted afterwards, also
    after Ctrl-C. While it runs, a `kubectl proxy` listens on a port of this machine without asking who comes.

    \b
    Example:
      kubetape bench --quick
      kubetape bench --json after.json --targets
      kubetape bench --compare before.json after.json
      kubetape bench --kubeconfig ~/.kube/config --image busybox
    """
    if read and compare:
        raise click.UsageError("--read and --compare are two different questions")
    try:
        if compare:
            _compare(*compare)
        else:
            result = _module("result").read_result(read) if read else _measure(flags)
            _show(result, flags)
    except SystemExit as stop:  # BenchmarkFailed: its text is for a person
        if isinstance(stop.code, str):
            raise click.ClickException(stop.code) from None
        raise


def _measure(flags: dict[str, Any]) -> Any:
    _check_writable(flags["json_file"])
    kubeconfig: Path | None = flags["kubeconfig"]
    if kubeconfig and not flags["yes"]:
        question = f"Measure on the cluster of {kubeconfig}, in a namespace of its own?"
        if not sys.stdin.isatty():
            raise click.UsageError(f"{question} Say so with --yes")
        click.confirm(question, abort=True, err=True)
    plan = _plan(flags)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _as_interrupt)
    result = _module("command").measure(plan, kubeconfig, flags["image"], _progress())
    if flags["json_file"]:
        _module("result").write_result(flags["json_file"], result)
        _say(f"wrote {flags['json_file']}")
    return result


def _check_writable(file: Path | None) -> None:
    """Before a quarter of an hour is spent on what goes there."""
    if file is not None and not os.access(file if file.exists() else file.parent, os.W_OK):
        raise click.UsageError(f"{file} cannot be written: name a file in a directory that can be")


def _plan(flags: dict[str, Any]) -> Any:
    plans = _module("plan")
    plan = plans.Plan(mib=flags["mib"])
    plan = plans.quick(plan) if flags["quick"] else plan
    chosen = {
        "runs": flags["runs"],
        "groups": tuple(group for group in plan.groups if group in flags["only"]),  # in their own order
        "ways": flags["way"],
        "durabilities": flags["durability"],
    }
    return importlib.import_module("msgspec").structs.replace(
        plan, **{name: value for name, value in chosen.items() if value}
    )


def _show(result: Any, flags: dict[str, Any]) -> None:
    """Files first: a reader of stdout may have seen enough (| head)."""
    if flags["plot"]:
        for path in _module("plots").write_plots(result, flags["plot"]):
            _say(f"drew {path}")
    if flags["document"]:
        _module("document").rewrite(flags["document"], result)
        _say(f"wrote the tables of {flags['document']}")
    for line in _module("table").render(result):
        click.echo(line)
    if not (flags["targets"] or flags["check"]):
        return
    click.echo()
    missed = 0
    for line, is_missed in _module("targets").judge(result):
        click.echo(line)
        missed += is_missed
    if flags["check"] and missed:
        raise click.ClickException(f"{missed} targets are missed")


def _compare(old: Path, new: Path) -> None:
    read = _module("result").read_result
    for line in _module("change").compare(read(old), read(new)):
        click.echo(line)


def _module(name: str) -> Any:
    try:
        return importlib.import_module(f"benchmarks.side_by_side.{name}")
    except ModuleNotFoundError as missing:
        raise click.ClickException(
            f"the benchmarks are not installed here ({missing.name} is missing)"
        ) from None


def _say(line: str) -> None:
    """Progress, for a person: a reader of stderr that is gone must not end a measurement."""
    with contextlib.suppress(OSError):
        click.echo(line, err=True)


def _progress() -> Callable[[str], None]:
    """The same with the seconds since now."""
    begun = time.monotonic()
    return lambda line: _say(f"[{time.monotonic() - begun:4.0f} s] {line}")


def _as_interrupt(number: int, frame: FrameType | None) -> None:
    """SIGTERM cleans up like Ctrl-C."""
    raise KeyboardInterrupt
