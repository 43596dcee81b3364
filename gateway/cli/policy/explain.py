"""`kubetape policy explain`: what would happen to one request, and why."""

import sys
import time
from pathlib import Path

import click

from gateway.cli import EXIT_USAGE
from gateway.cli.output import encode_json
from gateway.cli.policy.opening import open_policy, paths_argument
from gateway.policy.cases import BadCase, compile_case
from gateway.policy.explain import IN_DOUBT, MATCHES, explain
from gateway.policy.syntax import CaseSpec, PersonSpec
from storage.ansi import printable


@click.command("explain")
@click.option("--as", "user", required=True, help="Who asks.")
@click.option("--group", "groups", multiple=True, help="A group of theirs; may be repeated.")
@click.option("--grant", "grants", multiple=True, help="A grant they hold; may be repeated.")
@click.option("--at", help="When, RFC 3339 (default: now).")
@click.option("-a", "--all", "show_all", is_flag=True, help="Also the rules that are about something else.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")
@click.argument("request_line", metavar="REQUEST")
@paths_argument
def explain_command(
    user: str,
    groups: tuple[str, ...],
    grants: tuple[str, ...],
    at: str | None,
    show_all: bool,
    output: str,
    request_line: str,
    paths: tuple[Path, ...],
) -> None:
    """Say what the policy does with one request ("METHOD /path"), and which rules say so.

    Rules that look at objects are in doubt here: there is none. Exit codes: 0, and 3 for files that are no policy.

    Example: kubetape policy explain --as ann --group dev "DELETE /api/v1/namespaces/prod/pods/web" policies/
    """
    policy = open_policy(paths)
    when = at or time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    person = PersonSpec(user, list(groups))
    spec = CaseSpec(request=request_line, expect="allow", as_=person, at=when, grants=list(grants))
    try:
        facts = compile_case(spec, policy="", file="", line=0).facts
    except BadCase as error:
        click.echo(f"error: {printable(str(error))}", err=True)
        sys.exit(EXIT_USAGE)
    verdict, rules = policy.decide(facts), explain(policy, facts)
    shown = [one for one in rules if show_all or one.answer in (MATCHES, IN_DOUBT)]
    if output == "json":
        click.echo(encode_json({"verdict": verdict, "rules": shown}, pretty=True))
        return
    why = f": {verdict.reason}" if verdict.reason else ""
    click.echo(printable(f"{verdict.action.value}{why}"))
    if verdict.hint:
        click.echo(printable(verdict.hint))
    for one in shown:
        click.echo(printable(f"  {one.kind:<5} {one.rule}{' (shadow)' if one.shadow else ''}: {one.answer}"))
