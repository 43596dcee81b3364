"""The one module that knows DuckDB: a database in memory over row files, and a workshop for compaction.

A question comes from outside. So the database is locked before it is asked: no file but those of the lake,
no extension, no setting, no variable of this program, bounded memory, disk and time, and one SELECT at a
time (DuckDB writes files by COPY, and by nothing that is a SELECT). The trap: `interrupt` is the only way
to end a running question, and answers are computed while they are read, so the clock runs until the end.
"""

import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from gateway.lake.errors import LakeFailed, NoDuckDB
from gateway.lake.files import LakeFiles
from gateway.lake.statements import name, partition_is, parts_source, rows_source, source, text, write_part
from storage.errors import BadQuery
from storage.lake.rows import TABLES
from storage.object_keys import key_value

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

BATCH_ROWS: Final = 1024


class Limits(msgspec.Struct, frozen=True):
    """What one question, or one compaction, may use. timeout_s: 0 for none."""

    memory_mib: int = 1024
    disk_mib: int = 8192
    threads: int = 2
    timeout_s: float = 60.0


class Answer(NamedTuple):
    """columns: names as the question has them. rows: as Python values, computed while they are read;
    raises LakeFailed and BadQuery too."""

    columns: tuple[str, ...]
    rows: Iterator[tuple[object, ...]]


class Lake:
    """The views api_calls, stream_events and control_events. Made by `open_lake`."""

    def __init__(self, connection: "DuckDBPyConnection", limits: Limits) -> None:
        self._connection, self._limits = connection, limits

    def query(self, sql: str) -> Answer:
        """Ask one SELECT. Raises BadQuery when it cannot be understood, LakeFailed when not answered."""
        duckdb = load_duckdb()
        with self._translated():
            statements = duckdb.extract_statements(sql)
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise BadQuery("one SELECT is expected (or WITH, FROM, DESCRIBE, SUMMARIZE), and nothing else")
        rows = self._rows(statements[0])
        columns = next(rows)  # runs it as far as its first rows
        return Answer(tuple(str(column) for column in columns), rows)

    def _rows(self, statement: object) -> Iterator[tuple[object, ...]]:
        """The names of the columns, then the rows."""
        limits, connection = self._limits, self._connection
        late = threading.Event()

        def interrupt() -> None:
            late.set()
            connection.interrupt()

        alarm = threading.Timer(limits.timeout_s, interrupt)
        alarm.daemon = True
        if limits.timeout_s:
            alarm.start()
        try:
            with self._translated(late):
                connection.execute(statement)  # type: ignore[arg-type]
                batch = connection.fetchmany(BATCH_ROWS)
            yield tuple(column[0] for column in connection.description or ())
            while batch:
                yield from batch
                with self._translated(late):
                    batch = connection.fetchmany(BATCH_ROWS)
        finally:
            alarm.cancel()

    @contextmanager
    def _translated(self, late: threading.Event | None = None) -> Iterator[None]:
        """DuckDB's errors as ours."""
        duckdb, limits = load_duckdb(), self._limits
        try:
            yield
        except duckdb.InterruptException:
            if late is not None and late.is_set():
                raise LakeFailed(
                    f"no answer within {limits.timeout_s:g} s: narrow the question, or give it more --timeout"
                ) from None
            raise KeyboardInterrupt from None
        except duckdb.OutOfMemoryException:
            raise LakeFailed(
                f"the question needs more than {limits.memory_mib} MiB of memory and {limits.disk_mib} MiB "
                "of disk: narrow it, or ask for fewer columns"
            ) from None
        except duckdb.Error as error:
            what = one_line(error)
            if isinstance(error, duckdb.IOException) or ' in file "' in what:
                raise LakeFailed(f"a file of the lake cannot be read: {what}") from None
            raise BadQuery(what) from None


def load_duckdb() -> ModuleType:
    """Import DuckDB. Raises NoDuckDB."""
    try:
        import duckdb
    except ImportError:
        raise NoDuckDB from None
    return duckdb


@contextmanager
def open_lake(files: LakeFiles, limits: Limits | None = None) -> Iterator[Lake]:
    """Open the views over these files, and lock the database. Raises NoDuckDB, LakeFailed, OSError."""
    limits = limits or Limits()
    with _connection(limits, ":memory:") as connection:
        lake = Lake(connection, limits)
        rows = {
            table: [file.path.absolute() for file in files.rows if file.table == table] for table in TABLES
        }
        with lake._translated():
            for table in TABLES:
                parts = [path.absolute() for path in files.parts.get(table, ())]
                _check(rows[table], parts)
                connection.execute(f"CREATE VIEW {name(table)} AS {source(table, rows[table], parts)}")
        roots = ", ".join(text(str(root.absolute())) for root in files.roots)
        connection.execute(f"SET allowed_directories = [{roots}]")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        yield lake


def _check(*paths: Sequence[Path]) -> None:
    """DuckDB takes an empty file for no rows; ours have at least a frame. Raises LakeFailed."""
    for path in chain(*paths):
        try:
            size = path.stat().st_size
        except OSError as error:
            raise LakeFailed(f"a file of the lake cannot be read: {path}: {error.strerror}") from None
        if not size:
            raise LakeFailed(f"a file of the lake cannot be read: {path} is empty")


@contextmanager
def _connection(limits: Limits, database: str) -> Iterator["DuckDBPyConnection"]:
    """A database with bounded memory that spills into a private directory. database: ":memory:", or the
    name of a file there."""
    duckdb = load_duckdb()
    with tempfile.TemporaryDirectory(prefix="kubetape-lake-") as scratch:
        connection: DuckDBPyConnection = duckdb.connect(
            database if database == ":memory:" else str(Path(scratch) / database),
            config={
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
                "allow_community_extensions": False,
                "python_enable_replacements": False,  # a question could read the variables of this program
                "preserve_insertion_order": False,  # costs memory
                "memory_limit": f"{limits.memory_mib}MiB",
                "threads": limits.threads,
                "temp_directory": scratch,
                "max_temp_directory_size": f"{limits.disk_mib}MiB",
            },
        )
        try:
            connection.execute("SET TimeZone = 'UTC'")
            yield connection
        finally:
            connection.close()


def one_line(error: Exception) -> str:
    """DuckDB's message without the picture of the statement below it."""
    message = str(error).split("\nLINE ", 1)[0]
    return "; ".join(line.strip() for line in message.splitlines() if line.strip())


# --- compaction -------------------------------------------------------------------------------------


class Workshop:
    """Rows of some files, taken in once, written out hour by hour. Made by `open_workshop`."""

    def __init__(self, connection: "DuckDBPyConnection") -> None:
        self._connection = connection

    def take_in(self, table: str, rows: Sequence[Path]) -> list[tuple[str, str, int]]:
        """Load row files (at least one); returns their partitions: (cluster, dt, hr)."""
        query = rows_source(table, rows)
        found = self._execute(
            f"CREATE OR REPLACE TABLE fresh AS {query}",
            "SELECT DISTINCT cluster, CAST(dt AS VARCHAR), hr FROM fresh ORDER BY ALL",
        )
        for cluster, dt, hr in found:
            if not isinstance(cluster, str) or key_value(cluster) != cluster or None in (dt, hr):
                raise LakeFailed(
                    f"rows of {table} say they are of cluster {cluster!r}, day {dt}, hour {hr}: "
                    "that is not a partition"
                )
        return [(str(cluster), str(dt), int(str(hr))) for cluster, dt, hr in found]

    def write(self, table: str, partition: tuple[str, str, int], old: Path | None, target: Path) -> int:
        """Write the rows of one hour, with those of `old`, to `target`; returns their number."""
        query = f"SELECT * FROM fresh WHERE {partition_is(*partition)}"
        if old is not None:
            query += f" UNION ALL {parts_source(table, [old.absolute()])}"
        count = self._execute(write_part(table, query, target.absolute()))[0][0]
        return int(str(count))

    def _execute(self, *statements: str) -> list[tuple[object, ...]]:
        duckdb = load_duckdb()
        answer: list[tuple[object, ...]] = []
        try:
            for statement in statements:
                answer = self._connection.execute(statement).fetchall()
        except duckdb.Error as error:
            raise LakeFailed(f"rows cannot be compacted: {one_line(error)}") from error
        return answer


@contextmanager
def open_workshop(limits: Limits) -> Iterator[Workshop]:
    """A database for compaction, in a file that is removed afterwards. Raises NoDuckDB."""
    with _connection(limits, "fresh.duckdb") as connection:
        yield Workshop(connection)
