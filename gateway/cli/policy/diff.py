"""`kubetape policy diff`: what changes between two policies, in rules and in what they say to the tests of both."""

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from gateway.cli import EXIT_FAILED
from gateway.cli.output import encode_json
from gateway.cli.policy.opening import facts_from, load_files, read_files
from gateway.cli.policy.person import person_from, person_options
from gateway.policy.compare import Change, compare_policies
from gateway.policy.flips import CaseFlip, Outcome, flipped_cases
from gateway.policy.syntax import CaseSpec
from gateway.principal import Principal
from storage.ansi import printable

_SIGNS = {"added": "+", "removed": "-", "changed": "~"}
_PATH = click.Path(exists=True, path_type=Path)


@click.command("diff")
@person_options(required=False)
@click.option("--fail-on-change", is_flag=True, help="Exit 1 when anything changes.")
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table")
@click.argument("old", type=_PATH)
@click.argument("new", type=_PATH)
def diff(
    user: str | None,
    groups: tuple[str, ...],
    claims: tuple[str, ...],
    issuer: str,
    fail_on_change: bool,
    output: str,
    old: Path,
    new: Path,
) -> None:
    """Say what changes from OLD to NEW, each a policy file or a directory of them.

    Rules, grants and detectors by their names, field by field; then the tests in the files of both that end
    differently. With --as, that person asks in all of them. For an older revision: git archive REV policies | tar -x.
    Exit codes: 0, 1 with --fail-on-change when anything changes, 3 for files that are no policy.

    Example: kubetape policy diff --as ann --group dev /tmp/old/policies policies/
    """
    before, after = read_files([old]), read_files([new])
    old_policy, new_policy = load_files(before), load_files(after)
    person = _person(user, groups, claims, issuer)
    changes = compare_policies(before, after)
    flips = tuple(flipped_cases(old_policy, new_policy, person))
    if output == "json":
        click.echo(encode_json({"changes": changes, "tests": [_data(flip) for flip in flips]}, pretty=True))
    else:
        for line in (*_change_lines(changes), *_flip_lines(flips)):
            click.echo(printable(line))
    if fail_on_change and (changes or flips):
        sys.exit(EXIT_FAILED)


def _person(
    user: str | None, groups: tuple[str, ...], claims: tuple[str, ...], issuer: str
) -> Principal | None:
    if user is None:
        if groups or claims or issuer:
            raise click.UsageError("--group, --claim and --issuer are of somebody: give --as USER too")
        return None
    asking = person_from(user, groups, claims, issuer)
    return facts_from(CaseSpec(request="GET /", expect="allow", as_=asking)).principal


def _change_lines(changes: tuple[Change, ...]) -> Iterator[str]:
    for change in changes:
        yield f"{_SIGNS[change.how]} {change.what} {change.id}"
        for field in change.fields:
            yield f"    {field.field}: {_text(field.old)} -> {_text(field.new)}"
    if not changes:
        yield "no rule, grant or detector changes"


def _text(value: object) -> str:
    if value is None:
        return "(none)"
    return value if isinstance(value, str) else encode_json(value)


def _flip_lines(flips: tuple[CaseFlip, ...]) -> Iterator[str]:
    if flips:
        yield f"{len(flips)} {'test ends' if len(flips) == 1 else 'tests end'} differently:"
    for flip in flips:
        yield f"  {flip.case.file}:{flip.case.line} {flip.case.name}"
        yield f"    {say(flip.old)} -> {say(flip.new)}"


def say(outcome: Outcome) -> str:
    """An outcome in a line."""
    parts = [outcome.action]
    if outcome.approvers:
        parts.append(f"by {outcome.approvers}")
    if outcome.by:
        parts.append(f"({', '.join(outcome.by)})")
    if outcome.masks:
        parts.append(f"masks {', '.join(outcome.masks)}")
    if outcome.scope != "full":
        parts.append(f"records {outcome.scope}")
    if outcome.shadow:
        parts.append(f"shadow {', '.join(outcome.shadow)}")
    return " ".join(parts)


def _data(flip: CaseFlip) -> dict[str, object]:
    case = flip.case
    return {"file": case.file, "line": case.line, "name": case.name, "old": flip.old, "new": flip.new}
