"""deploy/lake: the columns of every table of every engine are those of the program."""

import re
from pathlib import Path

import pytest

from storage.lake.rows import TABLES, columns_of

DEPLOY = Path(__file__).parents[3] / "deploy" / "lake"
TYPES = {
    "athena": {},
    "trino": {
        "string": "varchar",
        "int": "integer",
        "timestamp": "timestamp(6)",
        "array<string>": "array(varchar)",
    },
    "spark": {"timestamp": "timestamp_ntz"},
}
LOCATION = {
    "": "s3://BUCKET/PREFIX/v1/index/{table}/",
    "_parquet": "s3://BUCKET/LAKE/{table}/",
}
FORMAT = {
    "athena": {"": "org.apache.hive.hcatalog.data.JsonSerDe", "_parquet": "STORED AS PARQUET"},
    "trino": {"": "format = 'JSON'", "_parquet": "format = 'PARQUET'"},
    "spark": {"": "USING JSON", "_parquet": "USING PARQUET"},
}


def statements(engine: str) -> dict[str, str]:
    """Table -> its CREATE statement."""
    text = "\n".join(
        line for line in (DEPLOY / f"{engine}.sql").read_text().splitlines() if not line.startswith("--")
    )
    found = {}
    for statement in filter(str.strip, text.split(";\n")):
        match = re.search(r"CREATE (?:EXTERNAL )?TABLE (?:hive\.)?kubetape\.(\w+) \(", statement)
        assert match is not None, statement[:80]
        found[match[1]] = statement
    return found


def columns(statement: str) -> list[tuple[str, str]]:
    """(name, type) of all columns, in order, partition columns too."""
    return [
        (match[1], match[2].strip().lower())
        for match in re.finditer(r'^  [`"](\w+)[`"] (.+?)(?: WITH \(|,)?$', statement, re.MULTILINE)
    ]


@pytest.mark.parametrize("engine", sorted(TYPES))
@pytest.mark.parametrize("suffix", ["", "_parquet"])
@pytest.mark.parametrize("table", sorted(TABLES))
def test_the_columns_are_those_of_the_program(engine: str, table: str, suffix: str) -> None:
    statement = statements(engine)[table + suffix]
    types = TYPES[engine]
    assert columns(statement) == [
        (column.name, types.get(column.type, column.type)) for column in columns_of(table)
    ]


@pytest.mark.parametrize("engine", sorted(TYPES))
def test_there_is_a_table_for_rows_and_one_for_parquet_and_no_other(engine: str) -> None:
    found = statements(engine)
    assert set(found) == {table + suffix for table in TABLES for suffix in LOCATION}
    for suffix, location in LOCATION.items():
        for table in TABLES:
            assert f"'{location.format(table=table)}'" in found[table + suffix]
            assert FORMAT[engine][suffix] in found[table + suffix]


@pytest.mark.parametrize("engine", ["athena", "trino"])
def test_partitions_are_projected_as_object_keys_are_made(engine: str) -> None:
    for name, statement in statements(engine).items():
        assert "cluster=${cluster}/dt=${dt}/hr=${hr}/'" in statement, name
        assert "'yyyy-MM-dd'" in statement, name
        digits = "'projection.hr.digits' = '2'" if engine == "athena" else "partition_projection_digits = 2"
        assert digits in statement, name
