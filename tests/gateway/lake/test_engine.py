"""DuckDB over row files: the three tables as they were made, and a database that does nothing else."""

import builtins
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path

import pytest
import zstandard

from gateway.lake.engine import Lake, Limits, open_lake
from gateway.lake.errors import LakeFailed, NoDuckDB
from gateway.lake.files import LakeFiles, local_rows, with_manifest
from gateway.lake.statements import DUCKDB_TYPES
from storage.errors import BadQuery
from storage.files import REAL_FILES
from storage.lake.rows import TABLES, columns_of
from storage.lake.rows_file import read_rows
from tests.kit.lake_files import make_rows, two_hours

EMPTY = LakeFiles((), {}, ())


@pytest.fixture(scope="module")
def rows_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_rows(tmp_path_factory.mktemp("it's [a] data dir*"), two_hours(), (12, 40))


@contextmanager
def lake_of(rows_dir: Path, limits: Limits | None = None) -> Iterator[Lake]:
    with open_lake(with_manifest(local_rows(rows_dir), rows_dir, rows_dir.parent / "lake"), limits) as lake:
        yield lake


def ask(lake: Lake, sql: str) -> list[tuple[object, ...]]:
    return list(lake.query(sql).rows)


# --- what is in it ----------------------------------------------------------------------------------


@pytest.mark.parametrize("table", sorted(TABLES))
def test_every_row_is_read_with_every_column(rows_dir: Path, table: str) -> None:
    expected = [
        row
        for file in local_rows(rows_dir)
        if file.table == table
        for row in read_rows(file.path, table, files=REAL_FILES)
    ]
    with lake_of(rows_dir) as lake:
        answer = lake.query(f"FROM {table} ORDER BY ALL")
        found = list(answer.rows)
    assert answer.columns == tuple(column.name for column in columns_of(table))
    wanted = {
        repr([value_of(getattr(row, column.name), column.type) for column in columns_of(table)])
        for row in expected
    }
    assert {repr(list(row)) for row in found} == wanted
    assert len(found) == len(expected) > 0


def value_of(value: object, kind: str) -> object:
    if value is None:
        return None
    if kind == "timestamp":
        return datetime.fromisoformat(str(value))
    if kind == "date":
        return date.fromisoformat(str(value))
    return list(value) if isinstance(value, tuple) else value


@pytest.mark.parametrize("table", sorted(TABLES))
def test_an_empty_lake_has_the_same_tables(rows_dir: Path, table: str) -> None:
    with open_lake(EMPTY) as empty, lake_of(rows_dir) as full:
        assert ask(empty, f"FROM {table}") == []
        assert ask(empty, f"DESCRIBE {table}") == ask(full, f"DESCRIBE {table}")
        types = [row[1] for row in ask(full, f"DESCRIBE {table}")]
    assert types == [DUCKDB_TYPES[column.type] for column in columns_of(table)]


def test_a_file_of_an_older_version_reads_with_nulls(tmp_path: Path) -> None:
    path = tmp_path / "rows/0/api_calls/1769853600000-000001-00000001-0badcafe.ndjson.zst"
    path.parent.mkdir(parents=True)
    path.write_bytes(zstandard.compress(b'{"event_id":"x","ts":"2026-01-31 10:00:00.5","gone":1}\n'))
    with lake_of(tmp_path / "rows") as lake:
        assert ask(lake, "SELECT event_id, ts, user, hr FROM api_calls") == [
            ("x", datetime(2026, 1, 31, 10, 0, 0, 500_000), None, None)
        ]


def test_a_long_answer_is_given_in_parts() -> None:
    with open_lake(EMPTY) as lake:
        answer = lake.query("SELECT range FROM range(5000)")
        assert answer.columns == ("range",)
        assert sum(1 for _ in answer.rows) == 5000


# --- what it must not do --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sql",
    [
        "COPY api_calls TO '/tmp/kubetape-test.csv'",
        "CREATE TABLE t (a int)",
        "ATTACH '/tmp/kubetape-test.db'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET threads = 1",
        "PRAGMA database_list",
        "EXPLAIN ANALYZE COPY api_calls TO '/tmp/kubetape-test.csv'",
        "EXPORT DATABASE '/tmp/kubetape-test'",
        "DROP VIEW api_calls",
        "CALL pragma_version()",
        "SELECT 1; SELECT 2",
        "",
        "-- nothing",
    ],
)
def test_anything_but_one_select_is_refused(rows_dir: Path, sql: str) -> None:
    with lake_of(rows_dir) as lake, pytest.raises(BadQuery, match="one SELECT is expected"):
        lake.query(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM glob('/etc/*')",
        "SELECT * FROM read_text('{rows}/../log/0/LOCK')",
        "SELECT * FROM read_json('https://example.com/x.json')",
        "SELECT * FROM read_parquet('s3://bucket/x.parquet')",
        "SELECT * FROM secret_rows",  # a variable of this program
        "SELECT getenv('HOME')",
        "SELECT * FROM enable_logging()",
    ],
)
def test_nothing_but_the_lake_can_be_read(rows_dir: Path, sql: str) -> None:
    secret_rows = [1]
    with lake_of(rows_dir) as lake, pytest.raises((BadQuery, LakeFailed)) as caught:
        ask(lake, sql.replace("{rows}", str(rows_dir).replace("'", "''")))
    assert "\n" not in str(caught.value)
    assert secret_rows == [1]


def test_the_settings_are_locked() -> None:
    with open_lake(EMPTY) as lake:
        settings = dict(
            ask(
                lake,
                "SELECT name, value FROM duckdb_settings() WHERE name IN ('enable_external_access', "
                "'lock_configuration', 'autoload_known_extensions', 'autoinstall_known_extensions', "
                "'python_enable_replacements')",
            )
        )
    assert settings == {
        "enable_external_access": "false",
        "lock_configuration": "true",
        "autoload_known_extensions": "false",
        "autoinstall_known_extensions": "false",
        "python_enable_replacements": "false",
    }


# --- bounds and errors --------------------------------------------------------------------------------


def test_a_question_without_end_is_ended() -> None:
    with open_lake(EMPTY, Limits(timeout_s=0.2)) as lake:
        with pytest.raises(LakeFailed, match=r"no answer within 0\.2 s"):
            ask(
                lake,
                "SELECT count(*) FROM range(10000000) a, range(10000000) b WHERE a.range * b.range % 7 = 3",
            )
        assert ask(lake, "SELECT 1") == [(1,)]


def test_an_answer_without_end_is_ended_while_it_is_read() -> None:
    with open_lake(EMPTY, Limits(timeout_s=0.2)) as lake:
        rows = lake.query("SELECT a.range FROM range(10000000) a, range(100000) b").rows
        with pytest.raises(LakeFailed, match="no answer within"):
            for _ in rows:
                pass


def test_a_question_that_wants_too_much_memory_is_refused() -> None:
    with open_lake(EMPTY, Limits(memory_mib=64, disk_mib=64)) as lake:
        with pytest.raises(LakeFailed, match="64 MiB of memory"):
            ask(lake, "SELECT string_agg(range::VARCHAR) FROM range(100000000)")


def test_time_without_limit_is_possible() -> None:
    with open_lake(EMPTY, Limits(timeout_s=0)) as lake:
        assert ask(lake, "SELECT 1") == [(1,)]


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("SELEC 1", "syntax error"),
        ("SELECT nosuch FROM api_calls", 'Referenced column "nosuch" not found'),
        ("SELECT * FROM nosuch", "nosuch does not exist"),
        ("SELECT 'x'::INT", "Could not convert"),
    ],
)
def test_a_question_that_cannot_be_understood_is_one_line(rows_dir: Path, sql: str, why: str) -> None:
    with lake_of(rows_dir) as lake, pytest.raises(BadQuery, match=why) as caught:
        ask(lake, sql)
    assert "\n" not in str(caught.value)
    assert "LINE 1" not in str(caught.value)


def test_ctrl_c_in_a_question_is_ctrl_c() -> None:
    with open_lake(EMPTY) as lake:
        rows = lake.query("SELECT a.range FROM range(10000000) a, range(100000) b").rows
        threading.Timer(0.1, lake._connection.interrupt).start()
        with pytest.raises(KeyboardInterrupt):
            for _ in rows:
                pass


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"garbage",
        zstandard.compress(b'{"event_id":"x"}\n')[:-4],
        zstandard.compress(b'{"event_id":"x"}\nno json\n'),
        zstandard.compress(b'{"ts":"yesterday"}\n'),
        zstandard.compress(b'{"hr":"ten"}\n'),
    ],
)
def test_a_garbled_file_is_no_mistake_in_the_question(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "rows/0/api_calls/1769853600000-000001-00000001-0badcafe.ndjson.zst"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    with (
        pytest.raises(LakeFailed, match="a file of the lake cannot be read"),
        lake_of(tmp_path / "rows") as lake,
    ):
        ask(lake, "SELECT ts, hr, event_id FROM api_calls")


def test_without_duckdb_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real_import = builtins.__import__

    def without(name: str, *arguments: object) -> object:
        if name == "duckdb":
            raise ImportError(name)
        return real_import(name, *arguments)  # type: ignore[arg-type]

    monkeypatch.delitem(sys.modules, "duckdb", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(NoDuckDB, match=r"pip install 'kubetape\[lake\]'"), open_lake(EMPTY):
        pass


def test_a_file_that_is_gone_when_the_lake_is_opened_is_said(tmp_path: Path) -> None:
    rows_dir = make_rows(tmp_path, two_hours())
    files = with_manifest(local_rows(rows_dir), rows_dir, tmp_path / "lake")
    files.rows[0].path.unlink()
    with pytest.raises(LakeFailed, match="cannot be read"), open_lake(files):
        pass


def test_a_question_shows_the_place_of_a_mistake_in_no_picture() -> None:
    with open_lake(EMPTY) as lake, pytest.raises(BadQuery) as caught:
        lake.query("SELECT (1")
    assert str(caught.value).startswith("Parser Error: ")
