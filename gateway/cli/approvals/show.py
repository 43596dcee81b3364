"""`kubetape approvals show`: the exact request; with --wait, its decision."""

import click
import msgspec

from gateway.cli import EXIT_DENIED, EXIT_FAILED, EXIT_TIMED_OUT
from gateway.cli.console.client import Client
from gateway.cli.console.options import Named, api_id, console_options, seconds_of
from gateway.cli.console.request_text import approval_text
from gateway.cli.console.waiting import wait_until
from gateway.cli.output import encode_json, encode_yaml
from gateway.cli.sessions.filters import output_options, style_from
from gateway.console.documents import ApprovalDocument


@click.command("show")
@click.argument("approval_id", metavar="ID", callback=api_id)
@click.option(
    "--wait", is_flag=True, help="Until it is decided; exit code 4 when denied, 8 when it took too long."
)
@click.option(
    "--timeout", default="10m", show_default=True, metavar="DURATION", help="With --wait: at most so long."
)
@output_options
@console_options
def show(
    named: Named,
    approval_id: str,
    wait: bool,
    timeout: str,
    output_format: str,
    no_headers: bool,
    relative: bool,
    color: str,
) -> None:
    """Show the exact request that waits: method, target, command, body, what it would change, who asked, time left.

    ID: the whole id, or at least the first 4 of the 8 characters that are shown.

    Example: kubetape approvals show 8F3K --wait
    """
    client = Client(named)
    timeout_s = seconds_of(timeout, "--timeout")
    approval = wait_until(
        lambda: client.get(f"/api/v1/approvals/{approval_id}", ApprovalDocument),
        lambda one: one.state != "pending",
        timeout_s if wait else 0,
    )
    style = style_from(output_format, no_headers, relative, color)
    if output_format in ("json", "jsonl"):
        click.echo(encode_json(approval, pretty=output_format == "json"))
    elif output_format == "yaml":
        click.echo(encode_yaml(msgspec.to_builtins(approval)))
    elif output_format == "name":
        click.echo(approval.id)
    else:
        for line in approval_text(approval, style):
            click.echo(line)
    if wait:
        raise click.exceptions.Exit(_exit_code(approval))


def _exit_code(approval: ApprovalDocument) -> int:
    codes = {
        "approved": 0,
        "used": 0,
        "denied": EXIT_DENIED,
        "pending": EXIT_TIMED_OUT,
        "expired": EXIT_TIMED_OUT,
    }
    return codes.get(approval.state, EXIT_FAILED)
