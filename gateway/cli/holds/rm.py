"""`kubetape holds rm ID`: a hold ends."""

import time
from pathlib import Path

import click

from gateway.cli.directory import directory_option
from gateway.cli.holds.opening import FILES, os_user
from gateway.cli.keys.opening import check_data_dir
from storage.ansi import printable
from storage.retention.holds import describe_scope, from_ns
from storage.retention.holds_file import BadHolds, read_holds, remove_hold


@click.command("rm")
@click.argument("id")
@click.option("--reason", metavar="TEXT", required=True, help="Why it may end: who released it.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@directory_option
def rm(id: str, reason: str, yes: bool, data_dir: Path) -> None:
    """Lift a legal hold: from now on retention may delete what only it held.

    ID as `holds ls` shows it. The change, with its reason, is noted in DIR/holds.log.jsonl.

    Example: kubetape holds rm h-3f9a2b1c --reason "case 17 closed, released by J. Doe"
    """
    check_data_dir(data_dir)
    if not 0 < len(reason.strip()) <= 1000 or not reason.isprintable():
        raise click.UsageError("--reason takes one line of 1 to 1000 characters")
    hold = next((hold for hold in read_holds(FILES, data_dir) if hold.id == id), None)
    if hold is None:
        raise BadHolds(f"there is no hold {id}; kubetape holds ls shows those in force")
    what = f"{hold.id} on {describe_scope(hold.scope)}, made by {hold.by}: {hold.reason}"
    if not yes:
        click.confirm(f"lift {printable(what)}?", abort=True, err=True)
    at = from_ns(time.time_ns())
    remove_hold(FILES, data_dir, id, at=at, by=os_user(), reason=reason.strip())
    click.echo(f"lifted: {printable(what)}", err=True)
