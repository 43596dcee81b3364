"""SQL text for DuckDB, made from the columns of storage.lake.rows. Pure; runs nothing.

Every column is given its type, so that an empty lake has the same tables as a full one, and a file of an
older version reads with NULL where it has no such column. The trap: DuckDB takes a path for a pattern, but only
when there is no file of exactly that name; an escaped pattern would not pass its check of allowed paths.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from storage.lake.rows import PARTITION_COLUMNS, columns_of

DUCKDB_TYPES: Final = {
    "string": "VARCHAR",
    "boolean": "BOOLEAN",
    "int": "INTEGER",
    "bigint": "BIGINT",
    "timestamp": "TIMESTAMP",
    "date": "DATE",
    "array<string>": "VARCHAR[]",
}
ORDER: Final = {
    "api_calls": ("ts", "user", "rec_seq", "event_id"),
    "stream_events": ("ts", "user", "event_id", "seq"),
    "control_events": ("ts", "user", "event_id"),
}
"""Within one Parquet file: by time and person, and the rest so that the order is always the same."""


def name(identifier: str) -> str:
    """An identifier in quotes: some columns have names that SQL knows."""
    return '"' + identifier.replace('"', '""') + '"'


def text(value: str) -> str:
    """A string literal."""
    return "'" + value.replace("'", "''") + "'"


def _paths(paths: Sequence[Path]) -> str:
    return "[" + ", ".join(text(str(path)) for path in paths) + "]"


def select_list(table: str, *, partitions: bool = True) -> str:
    columns = columns_of(table) if partitions else columns_of(table)[: -len(PARTITION_COLUMNS)]
    return ", ".join(name(column.name) for column in columns)


def _types(table: str) -> str:
    typed = (f"{text(column.name)}: {text(DUCKDB_TYPES[column.type])}" for column in columns_of(table))
    return "{" + ", ".join(typed) + "}"


def rows_source(table: str, paths: Sequence[Path]) -> str:
    """A query over row files; at least one."""
    return (
        f"SELECT {select_list(table)} FROM read_json({_paths(paths)}, format = 'newline_delimited', "
        f"compression = 'zstd', hive_partitioning = false, columns = {_types(table)})"
    )


def parts_source(table: str, paths: Sequence[Path]) -> str:
    """A query over Parquet files in their partition directories; at least one."""
    types = {column.name: DUCKDB_TYPES[column.type] for column in columns_of(table)}
    hive = ", ".join(f"{text(column)}: {types[column]}" for column in PARTITION_COLUMNS)
    return (
        f"SELECT {select_list(table)} FROM read_parquet({_paths(paths)}, hive_partitioning = true, "
        f"hive_types = {{{hive}}})"
    )


def empty_source(table: str) -> str:
    typed = ", ".join(
        f"CAST(NULL AS {DUCKDB_TYPES[column.type]}) AS {name(column.name)}" for column in columns_of(table)
    )
    return f"SELECT {typed} WHERE false"


def source(table: str, rows: Sequence[Path], parts: Sequence[Path]) -> str:
    """A query over all of a table."""
    sources = [rows_source(table, rows)] if rows else []
    if parts:
        sources.append(parts_source(table, parts))
    return " UNION ALL ".join(sources) or empty_source(table)


def partition_is(cluster: str, dt: str, hr: int) -> str:
    return f"cluster = {text(cluster)} AND dt = DATE {text(dt)} AND hr = {hr:d}"


def write_part(table: str, query: str, target: Path) -> str:
    """Write a query over `table` as one sorted Parquet file."""
    order = ", ".join(f"{name(column)} NULLS FIRST" for column in ORDER[table])
    return (
        f"COPY (SELECT {select_list(table, partitions=False)} FROM ({query}) ORDER BY {order}) "
        f"TO {text(str(target))} (FORMAT parquet, COMPRESSION zstd)"
    )
