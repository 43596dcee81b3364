"""`kubetape policy replay`: a policy over recorded traffic; which calls end differently?

Bounded: what is shown is at most --limit calls of each kind, everything is counted. Nothing is sent anywhere.
"""

import sys
from pathlib import Path
from typing import Final

import click

from gateway.cli import EXIT_FAILED
from gateway.cli.output import Style, detect_style
from gateway.cli.policy.opening import open_policy, pack_option
from gateway.cli.policy.recorded import RecordedCall, Skipped, recorded_calls
from gateway.cli.policy.replay_views import Line, Report, report_lines
from gateway.cli.progress import Progress
from gateway.cli.sessions.filters import FilterCommand, filter_options, query_from, record_option
from gateway.cli.sessions.opening import Library, with_library
from gateway.policy.decide import Policy
from gateway.policy.replaying import Replayed, Then, replay
from storage.query import Query

NOTHING: Final = "(no rule)"
_PATH: Final = click.Path(exists=True, path_type=Path)


@click.command("replay", cls=FilterCommand)
@click.argument("filter", nargs=-1)
@click.option(
    "--policy", "paths", type=_PATH, multiple=True, help="Policy file or directory; may be repeated."
)
@pack_option
@click.option(
    "--against", type=_PATH, multiple=True, help="Compare with this policy, not with what was decided."
)
@filter_options
@click.option("--limit", type=click.IntRange(1, 100_000), default=200, show_default=True, help="Calls shown.")
@click.option("--fail-on-change", is_flag=True, help="Exit 1 when a call flips.")
@click.option("-o", "--output", type=click.Choice(["table", "json", "jsonl"]), default="table")
@record_option
def replay_command(
    filter: tuple[str, ...],
    paths: tuple[Path, ...],
    packs: tuple[str, ...],
    against: tuple[Path, ...],
    limit: int,
    fail_on_change: bool,
    output: str,
    data_dir: str,
    key: tuple[Path, ...],
    **flags: str | None,
) -> None:
    """Run a policy over recorded calls and list those that would end differently.

    Compared with what was decided then, or with --against. What depends on something no record holds (claims of a
    token, the object as it was in the cluster, grants) is listed apart, never guessed. FILTER and the flags narrow the
    calls, as in `sessions ls`. Exit codes: 0, 1 with --fail-on-change when a call flips, 3 for files that are no policy.

    Example: kubetape policy replay --policy policies/ --since 7d --user ann
    """
    policy = open_policy(paths, packs)
    other = open_policy(against) if against else None
    query = query_from(filter, flags)
    report = with_library(
        data_dir, key, lambda library: _replay(library, query, policy, other, Report(limit))
    )
    for line in report_lines(report, _style(output)):
        click.echo(line)
    if fail_on_change and report.flipped:
        sys.exit(EXIT_FAILED)


def _style(output: str) -> Style:
    return detect_style(output, headers=True, colour="auto", relative_to_ns=None)


def _replay(library: Library, query: Query, policy: Policy, against: Policy | None, report: Report) -> Report:
    with Progress("replaying", "calls") as progress:
        for call in recorded_calls(library.source, library.archive, query):
            report.calls += 1
            progress.show(report.calls)
            if isinstance(call, Skipped):
                report.skipped[call.why] += 1
                continue
            then = Then(call.verdict.action, call.verdict.rules, call.verdict.policy_sha256)
            _add(report, call, replay(policy, against, call.facts, call.known, then))
    return report


def _add(report: Report, call: RecordedCall, replayed: Replayed) -> None:
    if replayed.doubts:
        report.untold += 1
        report.missing.update({(doubt.rule, doubt.missing) for doubt in replayed.doubts})
        _keep(report.untold_lines, report, call, replayed)
    elif replayed.flips:
        report.flipped += 1
        report.by_rule[_by(replayed)] += 1
        _keep(report.flips, report, call, replayed)
    else:
        report.same += 1


def _keep(lines: list[Line], report: Report, call: RecordedCall, replayed: Replayed) -> None:
    if len(lines) < report.limit:
        lines.append(Line(call, replayed))


def _by(replayed: Replayed) -> tuple[str, str]:
    """The flip in a word, and the rule that decides now."""
    old, new = replayed.old, replayed.new
    if old is None or new is None:
        raise AssertionError("a flip has both")
    return f"{old.action} -> {new.action}", new.by or NOTHING
