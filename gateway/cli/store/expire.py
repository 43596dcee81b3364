"""`kubetape store expire`: what retention would delete, and why not the others; or do it."""

from pathlib import Path

import click
import msgspec

from gateway.cli.holds.opening import FILES
from gateway.cli.keys.opening import check_data_dir
from gateway.cli.output import Column, View, render, rfc3339
from gateway.cli.sessions.filters import data_dir_option, output_options, style_from
from gateway.config import load_settings
from gateway.keys.opening import open_key_ring
from gateway.retention.offline import plan, run
from gateway.retention.settings import RetentionSettings
from storage.ansi import printable
from storage.retention.decide import Choice

Planned = tuple[str, Choice]


@click.command("expire")
@click.option("--dry-run", is_flag=True, help="Only show; works beside a running gateway.")
@click.option(
    "-c",
    "--config",
    envvar="KUBETAPE_CONFIG",
    show_envvar=True,
    type=click.Path(path_type=Path),
    help="The gateway's configuration: its record.retention and whether it exports.",
)
@click.option("--max-age-days", type=float, help="Instead of the configuration's maxAgeDays.")
@click.option("--max-bytes", type=int, help="Instead of the configuration's maxBytes.")
@click.option(
    "--require-export/--no-require-export", default=None, help="Instead of the configuration's requireExport."
)
@output_options
@data_dir_option
def expire(
    dry_run: bool,
    config: Path | None,
    max_age_days: float | None,
    max_bytes: int | None,
    require_export: bool | None,
    output_format: str,
    no_headers: bool,
    relative: bool,
    color: str,
    data_dir: Path,
    key: tuple[Path, ...],
) -> None:
    """Apply retention once: delete the segments that are due, each with a signed tombstone in the log's tree.

    Nothing is deleted that is under a legal hold, that no signed checkpoint covers, or that is the newest of its
    log. A running gateway does this every minute by itself. --dry-run shows, segment by segment, what is due
    (DUE) and everything that stands against it (KEPT BECAUSE).

    Example: kubetape store expire --dry-run --max-age-days 30
    """
    check_data_dir(data_dir)
    settings, exports = _settings(config, max_age_days, max_bytes, require_export)
    keys = open_key_ring(data_dir, key, use_kms=False)
    if dry_run:
        style = style_from(output_format, no_headers, relative, color)
        planned = plan(FILES, data_dir, settings, exports=exports, keys=keys)
        for line in render(planned, _VIEW, style):
            click.echo(line)
        return
    report = run(FILES, data_dir, settings, exports=exports, keys=keys)
    for log in report.logs:
        for stem in log.deleted:
            click.echo(f"deleted {stem}")
        for stem in (*log.waiting, *log.kept):
            click.echo(f"not deleted yet {stem}")
    for problem in report.problems:
        click.echo(f"warning: {printable(problem)}", err=True)
    if report.problems:
        raise click.exceptions.Exit(1)


def _settings(
    config: Path | None, max_age_days: float | None, max_bytes: int | None, require_export: bool | None
) -> tuple[RetentionSettings, bool]:
    """Retention as configured, with flags on top, and whether export is configured."""
    settings, exports = RetentionSettings(), False
    if config is not None:
        whole = load_settings(config)
        settings, exports = whole.record.retention, whole.export.s3 is not None
    given = {"maxAgeDays": max_age_days, "maxBytes": max_bytes, "requireExport": require_export}
    changes = {name: value for name, value in given.items() if value is not None}
    try:
        settings = msgspec.convert(msgspec.to_builtins(settings) | changes, RetentionSettings)
    except msgspec.ValidationError as error:
        raise click.UsageError(str(error)) from error
    if settings.max_age_days is None and settings.max_bytes is None:
        raise click.UsageError("there is no limit: give --config FILE, --max-age-days or --max-bytes")
    return settings, exports


def _data(planned: Planned) -> dict[str, object]:
    log, choice = planned
    return {
        "log": log,
        "segment": choice.facts.name.stem,
        "ended": rfc3339(choice.facts.ended_ns),
        "delete": choice.delete,
        "due": choice.reason or None,
        "kept_because": list(choice.against),
    }


_VIEW: View[Planned] = View(
    (
        Column("LOG", lambda planned: planned[0]),
        Column("SEGMENT", lambda planned: planned[1].facts.name.stem),
        Column("ACTION", lambda planned: "delete" if planned[1].delete else "keep"),
        Column("DUE", lambda planned: planned[1].reason or "-"),
        Column("KEPT BECAUSE", lambda planned: "; ".join(planned[1].against) or "-"),
    ),
    data=_data,
    name=lambda planned: planned[1].facts.name.stem,
)
