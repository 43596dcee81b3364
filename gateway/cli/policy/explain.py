"""`kubetape policy explain`: what would happen to one request, and why."""

import time
from collections.abc import Iterator
from pathlib import Path

import click

from gateway.cli.output import encode_json
from gateway.cli.policy.opening import facts_from, open_policy, pack_option, paths_argument, usage_error
from gateway.cli.policy.person import person_from, person_options
from gateway.policy.explain import IN_DOUBT, MATCHES, Explained, explain
from gateway.policy.model import BudgetTerms, Facts, JsonObject, Verdict
from gateway.policy.syntax import CaseSpec
from gateway.strict_yaml import YamlMistake, read_document
from storage.ansi import printable


@click.command("explain")
@person_options(required=True)
@click.option("--grant", "grants", multiple=True, metavar="NAME", help="A grant they hold; may be repeated.")
@click.option("--at", metavar="TIME", help="When, RFC 3339 (default: now).")
@click.option("--source", default="127.0.0.1", metavar="ADDRESS", help="Where from.")
@click.option("--body", type=click.Path(exists=True, path_type=Path), help="What is sent: YAML or JSON.")
@click.option("--old", type=click.Path(exists=True, path_type=Path), help="The object in the cluster now.")
@pack_option
@click.option("-a", "--all", "show_all", is_flag=True, help="Also the rules that are about something else.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")
@click.argument("request_line", metavar="REQUEST")
@paths_argument
def explain_command(
    user: str,
    groups: tuple[str, ...],
    claims: tuple[str, ...],
    issuer: str,
    packs: tuple[str, ...],
    show_all: bool,
    output: str,
    paths: tuple[Path, ...],
    **asked: object,
) -> None:
    """Say what the policy does with one request ("METHOD /path"), and which rules say so.

    Rules that almost match are named with the first field that says no. Without --body and --old, rules that look at
    objects are in doubt: there is none. Exit codes: 0, 2 for a request that cannot be, 3 for files that are no policy.

    Example: kubetape policy explain --as ann --group dev "DELETE /api/v1/namespaces/prod/pods/web" policies/
    """
    policy = open_policy(paths, packs)
    facts = _facts(asked, user, groups, claims, issuer)
    verdict, rules = policy.decide(facts), explain(policy, facts)
    shown = [one for one in rules if show_all or one.is_near or one.answer in (MATCHES, IN_DOUBT)]
    if output == "json":
        click.echo(encode_json({"verdict": verdict, "rules": shown}, pretty=True))
        return
    for line in _lines(verdict, shown):
        click.echo(printable(line))


def _facts(
    asked: dict[str, object], user: str, groups: tuple[str, ...], claims: tuple[str, ...], issuer: str
) -> Facts:
    when = asked["at"] or time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    spec = CaseSpec(
        request=str(asked["request_line"]),
        expect="allow",
        as_=person_from(user, groups, claims, issuer),
        at=str(when),
        source=str(asked["source"]),
        grants=list(asked["grants"]),  # type: ignore[call-overload]
        body=_object(asked["body"]),
        old=_object(asked["old"]),
    )
    return facts_from(spec)


def _object(path: object) -> JsonObject | None:
    if not isinstance(path, Path):
        return None
    try:
        value = read_document(path.read_bytes()).value
    except YamlMistake as mistake:
        usage_error(f"{path}:{mistake.line}: {mistake.message}")
    return value if isinstance(value, dict) else usage_error(f"{path} holds no object")


def _lines(verdict: Verdict, rules: list[Explained]) -> Iterator[str]:
    yield f"{verdict.action.value}{f': {verdict.reason}' if verdict.reason else ''}"
    if verdict.hint:
        yield verdict.hint
    for one in rules:
        yield f"  {one.kind:<5} {one.rule}{' (shadow)' if one.shadow else ''}: {one.answer}"
    yield from _effects(verdict)


def _effects(verdict: Verdict) -> Iterator[str]:
    """What else the rules that match bring about, one line each."""
    if verdict.hold is not None:
        approvers = verdict.hold.approvers
        names = ", ".join([*approvers.users, *(f"group {name}" for name in approvers.groups)])
        yield f"held for {verdict.hold.wait_s} s: {approvers.quorum} of {names}; scope {verdict.hold.scope}"
    for mask in verdict.masks:
        hidden = ", ".join([*mask.paths, *mask.detectors, *(f"column {name}" for name in mask.columns)])
        yield f"masked by {mask.rule}: {hidden}"
    if verdict.scope.value != "full":
        yield f"recorded: {verdict.scope.value} only"
    for command in verdict.streams.commands:
        yield f"typed lines: {command.action} what matches {command.pattern} ({command.rule})"
    for file in verdict.streams.files:
        most = "" if file.max_bytes is None else f" at most {file.max_bytes} bytes"
        yield f"files {file.direction}: not {', '.join(file.names) or 'by name'}{most} ({file.rule})"
    if verdict.streams.ports is not None:
        yield f"ports: {', '.join(map(str, verdict.streams.ports)) or 'none'}"
    yield from map(_budget, verdict.budgets)


def _budget(terms: BudgetTerms) -> str:
    return f"budget: {terms.counter} {terms.limit} per {terms.per}, then {terms.action} ({terms.rule})"
