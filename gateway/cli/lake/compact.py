"""`kubetape lake compact`: row files -> Parquet files, one per table, cluster and hour."""

from pathlib import Path

import click

from gateway.cli.lake.opening import data_dir_rows, store_rows
from gateway.cli.lake.options import limits_from, resource_options, since_ns, store_from, store_options
from gateway.cli.progress import Progress
from gateway.cli.sessions.filters import data_dir_option
from gateway.lake.compact import compact as compact_rows
from gateway.lake.files import LAKE_DIRECTORY


@click.command("compact")
@data_dir_option
@store_options
@click.option(
    "--to",
    "target",
    type=click.Path(path_type=Path, file_okay=False),
    help="Directory of the Parquet files; default: lake/ in the data directory.",
)
@click.option("--anew", is_flag=True, help="Throw away what is there and begin again.")
@resource_options
def compact(
    data_dir: Path,
    key: tuple[Path, ...],
    store: str | None,
    since: str | None,
    target: Path | None,
    anew: bool,
    memory: int,
    timeout: float,
) -> None:
    """Make Parquet files of the rows: one per table, cluster and hour, sorted by time and user.

    Doing it again adds what is new and nothing twice; row files are not touched. `kubetape lake query` uses
    what is in lake/. For Athena, Trino or Spark copy the directory to a bucket when it is done.

    \b
    Example: kubetape lake compact --data-dir ./kubetape-data
             kubetape lake compact --store s3://audit/prod --to ./lake
    """
    if store is not None and target is None:
        raise click.UsageError("with --store, --to DIR says where the Parquet files go")
    limits = limits_from(memory, timeout)
    lake_dir = target or data_dir / LAKE_DIRECTORY
    rows = data_dir_rows(data_dir, key) if store is None else store_rows(store_from(store), since_ns(since))
    with rows as found, Progress("compacting rows") as progress:
        done = compact_rows(found.files, lake_dir, limits=limits, anew=anew, progress=progress.show)
    click.echo(
        f"compacted {done.files} row files into {done.parts} Parquet files "
        f"({done.rows} rows, {done.bytes} bytes) in {lake_dir}"
    )
