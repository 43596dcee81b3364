"""SQL text: names, strings and paths that cannot become anything else."""

from pathlib import Path

import duckdb
import pytest

from gateway.lake.statements import DUCKDB_TYPES, empty_source, name, partition_is, source, text
from storage.lake.rows import TABLES, columns_of

ODD = ["plain", "it's", 'a "name"', "star*", "what?", "[a-z]", "x[*]", "-- no", "ü", "a b;c"]


@pytest.mark.parametrize("odd", ODD)
def test_a_string_is_read_as_it_was_written(odd: str) -> None:
    assert duckdb.execute(f"SELECT {text(odd)} AS {name(odd)}").fetchall() == [(odd,)]
    assert duckdb.execute(f"SELECT 1 AS {name(odd)}").description[0][0] == odd


@pytest.mark.parametrize("table", sorted(TABLES))
def test_an_empty_table_has_every_column_with_its_type(table: str) -> None:
    described = duckdb.execute(f"DESCRIBE {empty_source(table)}").fetchall()
    assert [(row[0], row[1]) for row in described] == [
        (column.name, DUCKDB_TYPES[column.type]) for column in columns_of(table)
    ]


def test_every_type_of_a_column_has_one_in_duckdb() -> None:
    assert {column.type for table in TABLES for column in columns_of(table)} == set(DUCKDB_TYPES)


def test_a_source_without_files_is_the_empty_one() -> None:
    assert source("api_calls", [], []) == empty_source("api_calls")
    both = source("api_calls", [Path("/a")], [Path("/b")])
    assert ("read_json" in both, "read_parquet" in both, " UNION ALL " in both) == (True, True, True)


def test_a_partition_is_compared_as_text_day_and_number() -> None:
    assert partition_is("p'q", "2026-01-31", 5) == "cluster = 'p''q' AND dt = DATE '2026-01-31' AND hr = 5"
