"""`kubetape sessions play ID`: a recorded terminal, as it was."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from gateway.cli.sessions.choosing import choose_stream
from gateway.cli.sessions.filters import record_option
from gateway.cli.sessions.opening import Library, with_library
from gateway.cli.sessions.player import Player
from gateway.cli.sessions.span import Span
from gateway.cli.sessions.terminal import Terminal
from protocol.events import Channel
from storage.cast import TerminalEvent, terminal_events
from storage.index_schema import CallRow
from storage.records import ChannelChunk, Resized
from storage.timeline import read_call


@click.command("play")
@click.argument("id")
@click.option(
    "--speed", type=click.FloatRange(0.01, 1000), default=1.0, show_default=True, help="2: twice as fast."
)
@click.option(
    "--idle-limit",
    type=Span(may_be_none=True),
    default="2s",
    show_default=True,
    help="Cut longer pauses to this; none: keep them.",
)
@click.option(
    "--seek", type=Span(), default="0", help="Begin here: 90s, 1m30s, 12.5; as AT of a search says."
)
@click.option("--raw", is_flag=True, help="Write recorded bytes as they are. They may attack your terminal.")
@record_option
def play(
    id: str, speed: float, idle_limit: int | None, seek: int, raw: bool, data_dir: str, key: tuple[Path, ...]
) -> None:
    """Replay exec, attach or logs in this terminal, with its timing.

    Keys: space pauses, . steps while paused, left and right go 5 seconds back and on, ] goes to the next
    marker (something was held, approved, denied, masked, typed or copied), q quits. What
    could attack the terminal (titles, clipboard, queries) is left out unless --raw. Into a pipe
    everything goes at once.

    Example: kubetape sessions play k3f9a2b1c04 --speed 4 --seek 1m30s
    """

    def use(library: Library) -> None:
        row = choose_stream(library.archive, id)
        _warn_of_small_window(library, row)

        def events() -> Iterator[TerminalEvent]:
            records = (record for _, record in read_call(library.source, library.archive, row))
            return terminal_events(records, neutralise=not raw)

        with Terminal() as terminal:
            player = Player(events, terminal, speed=speed, idle_limit_us=idle_limit, start_us=seek)
            is_over = player.run()
        _say_end(row, player.exit_code if is_over else None, is_over)

    with_library(data_dir, key, use)


def _warn_of_small_window(library: Library, row: CallRow) -> None:
    if not sys.stdout.isatty() or not row.tty:
        return
    for _, record in read_call(library.source, library.archive, row):
        if isinstance(record, Resized):
            window = shutil.get_terminal_size()
            if record.columns > window.columns or record.rows > window.lines:
                click.echo(
                    f"note: recorded in {record.columns}x{record.rows}, this terminal is"
                    f" {window.columns}x{window.lines}",
                    err=True,
                )
            return
        if isinstance(record, ChannelChunk) and record.channel == Channel.STDOUT:
            return


def _say_end(row: CallRow, exit_code: int | None, is_over: bool) -> None:
    if not is_over:
        return
    if exit_code is not None:
        click.echo(f"\n[exit code {exit_code}]", err=True)
    elif row.result == "unknown":
        click.echo("\n[the gateway ended here; what followed is unknown]", err=True)
    elif row.result == "live":
        click.echo("\n[still running; follow it with: kubetape sessions tail]", err=True)
