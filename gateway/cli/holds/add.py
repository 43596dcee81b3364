"""`kubetape holds add`: from now on something must not be deleted."""

import re
import secrets
import time
from pathlib import Path
from typing import Final

import click

from gateway.cli.directory import directory_option
from gateway.cli.holds.opening import FILES, os_user
from gateway.cli.keys.opening import check_data_dir
from storage.ansi import printable
from storage.errors import StorageError
from storage.index import INDEX_DIRECTORY
from storage.query import FieldMatch, Query, parse_time
from storage.retention.holds import (
    Between,
    Everything,
    Hold,
    OfSession,
    OfUser,
    Scope,
    describe_scope,
    from_ns,
)
from storage.retention.holds_file import add_hold
from storage.search import Archive
from storage.sources import SegmentLogs

_SESSION: Final = re.compile(r"[0-9A-Z]{26}")
_MAX_REASON: Final = 1000


@click.command("add")
@click.option("--reason", metavar="TEXT", required=True, help="Why: a case number, who asked for it.")
@click.option("--session", metavar="ID", help="Everything recorded of one session; its whole id.")
@click.option("--user", metavar="NAME", help="Everything recorded of one user, by the exact name.")
@click.option("--since", metavar="TIME", help="Everything from then on: 15m, 1d12h, 2026-01-31.")
@click.option("--until", metavar="TIME", help="Everything before then; with --since: in between.")
@click.option("--all", "everything", is_flag=True, help="Everything.")
@directory_option
def add(
    reason: str,
    session: str | None,
    user: str | None,
    since: str | None,
    until: str | None,
    everything: bool,
    data_dir: Path,
) -> None:
    """Forbid that retention deletes what a session, a user or a time left in the log.

    When this command returns, nothing of it is deleted any more, until the hold is lifted. Whole segments are
    held; one that the index cannot tell about counts as held. Prints the id of the hold. The change is noted in
    DIR/holds.log.jsonl. Objects in S3 are held by their object lock, not by this.

    Example: kubetape holds add --user ann@example.com --reason "case 17, legal department"
    """
    check_data_dir(data_dir)
    scope = _scope(session, user, since, until, everything)
    if not 0 < len(reason.strip()) <= _MAX_REASON or not reason.isprintable():
        raise click.UsageError(f"--reason takes one line of 1 to {_MAX_REASON} characters")
    hold = Hold(f"h-{secrets.token_hex(4)}", from_ns(time.time_ns()), os_user(), reason.strip(), scope)
    add_hold(FILES, data_dir, hold)
    click.echo(hold.id)
    click.echo(f"held: {printable(describe_scope(scope))}", err=True)
    _warn_if_unknown(data_dir, scope)


def _scope(
    session: str | None, user: str | None, since: str | None, until: str | None, everything: bool
) -> Scope:
    given = [session is not None, user is not None, since is not None or until is not None, everything]
    if given.count(True) != 1:
        raise click.UsageError("say what to hold: one of --session, --user, --since/--until, --all")
    if session is not None:
        if _SESSION.fullmatch(session) is None:
            raise click.UsageError(
                "--session takes the whole id, 26 letters and digits: kubetape sessions ls --sessions"
            )
        return OfSession(session)
    if user is not None:
        if not 0 < len(user) <= _MAX_REASON:
            raise click.UsageError("--user takes a name")
        return OfUser(user)
    if everything:
        return Everything()
    now_ns = time.time_ns()
    begin = from_ns(parse_time(since, now_ns=now_ns)) if since is not None else None
    end = from_ns(parse_time(until, now_ns=now_ns)) if until is not None else None
    if begin is not None and end is not None and begin >= end:
        raise click.UsageError("--until is not after --since: that would hold nothing")
    return Between(begin, end)


def _warn_if_unknown(data_dir: Path, scope: Scope) -> None:
    """A misspelt name would hold nothing and look as if it did."""
    if isinstance(scope, OfSession):
        query, what = Query(fields=(FieldMatch("session", (scope.session,)),)), "session"
    elif isinstance(scope, OfUser):
        query, what = Query(fields=(FieldMatch("user", (scope.user,)),)), "user"
    else:
        return
    try:
        calls = Archive(data_dir / INDEX_DIRECTORY, SegmentLogs(data_dir)).calls(query, limit=1)
        known = any(
            scope == (OfSession(call.session) if what == "session" else OfUser(call.user)) for call in calls
        )
    except (StorageError, OSError) as error:  # the hold is in force whatever state the index is in
        click.echo(f"note: the index cannot be asked ({printable(str(error))})", err=True)
        return
    if not known:
        click.echo(f"note: the index knows no call of this {what}: check the spelling", err=True)
