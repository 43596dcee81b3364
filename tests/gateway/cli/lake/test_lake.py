"""`kubetape lake`: questions answered in every format, errors of one line, and no writing where none was asked."""

import json
import sys
import types
from pathlib import Path
from typing import NamedTuple

import pytest

from gateway.cli import VERBS, main
from gateway.cli.lake import VERBS as LAKE_VERBS
from gateway.cli.lake.options import STORES
from gateway.cli.lake.query import distinct, plain
from gateway.cli.lazy import Entry
from tests.kit import segments
from tests.kit.lake_files import MemoryStore, make_rows, store_of, two_hours
from tests.kit.lake_logs import write_segments


class Ran(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def lake(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> "type[Lake]":
    """`kubetape lake ARGUMENTS` in this process."""
    monkeypatch.setitem(VERBS, "lake", Entry("gateway.cli.lake:lake", ""))
    Lake.capsys = capsys
    return Lake


class Lake:
    capsys: pytest.CaptureFixture[str]

    @classmethod
    def run(cls, *arguments: str) -> Ran:
        with pytest.raises(SystemExit) as ended:
            main(["lake", *arguments])
        out, err = cls.capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Ran(ended.value.code, out, err)


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    make_rows(tmp_path, two_hours(), (12, 40))
    return tmp_path


def with_store(monkeypatch: pytest.MonkeyPatch, store: MemoryStore) -> list[str]:
    """Make --store open this one; returns the URLs it was opened with."""
    opened: list[str] = []

    def open_store(url: str) -> MemoryStore:
        opened.append(url)
        return store

    module = types.ModuleType(STORES)
    module.open_store = open_store  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, STORES, module)
    return opened


def listing(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


# --- answers --------------------------------------------------------------------------------------


def test_the_group_offers_its_verbs_with_examples(lake: type[Lake]) -> None:
    assert "query" in lake.run("--help").out
    for verb in LAKE_VERBS:
        assert f"Example: kubetape lake {verb}" in lake.run(verb, "--help").out


def test_a_table_in_a_pipe_is_columns_between_tabs(lake: type[Lake], data_dir: Path) -> None:
    ran = lake.run(
        "query",
        "SELECT user, count(*) AS n, max(status) AS s, bool_or(truncated) AS t, any_value(grant_id) AS g "
        "FROM api_calls GROUP BY user ORDER BY user",
        "--data-dir",
        str(data_dir),
    )
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines() == [
        "user\tn\ts\tt\tg",
        "agent-7\t2\t403\tfalse\t-",
        "ann@example.com\t13\t200\tfalse\t-",
    ]


def test_json_has_times_lists_and_nulls(lake: type[Lake], data_dir: Path) -> None:
    ran = lake.run(
        "query",
        "SELECT ts, dt, groups, agent, name FROM api_calls WHERE verb = 'patch'",
        "--data-dir",
        str(data_dir),
        "-o",
        "json",
    )
    assert json.loads(ran.out) == [
        {
            "ts": "2026-01-31T10:01:00.025000Z",
            "dt": "2026-01-31",
            "groups": ["sre", "staff"],
            "agent": None,
            "name": "web",
        }
    ]


def test_jsonl_is_one_object_a_line_and_names_are_distinct(lake: type[Lake], data_dir: Path) -> None:
    ran = lake.run("query", "SELECT 1 AS a, 2 AS a FROM range(2)", "--data-dir", str(data_dir), "-o", "jsonl")
    assert [json.loads(line) for line in ran.out.splitlines()] == [{"a": 1, "a_2": 2}] * 2


def test_csv_cannot_be_a_formula(lake: type[Lake], data_dir: Path) -> None:
    ran = lake.run(
        "query",
        "SELECT '=cmd()' AS a, -1 AS b, ['x', 'y'] AS c, NULL AS d",
        "--data-dir",
        str(data_dir),
        "-o",
        "csv",
        "--no-headers",
    )
    assert ran.out == '\'=cmd(),-1,"[""x"",""y""]",\n'


@pytest.mark.parametrize("output", ["table", "json", "jsonl", "csv"])
def test_no_format_lets_a_control_character_out(lake: type[Lake], data_dir: Path, output: str) -> None:
    sql = "SELECT chr(27) || '[2J' || chr(8238) || chr(155) AS \"a\x1b\""
    ran = lake.run("query", sql, "--data-dir", str(data_dir), "-o", output)
    assert ran.code == 0
    assert not set(ran.out) & set("\x1b\x9b\u202e")


def test_more_rows_than_the_limit_are_said(lake: type[Lake], data_dir: Path) -> None:
    ran = lake.run("query", "FROM range(5)", "--data-dir", str(data_dir), "--limit", "3", "--no-headers")
    assert ran.out.split() == ["0", "1", "2"]
    assert "only the first 3 rows" in ran.err
    exact = lake.run("query", "FROM range(3)", "--data-dir", str(data_dir), "--limit", "3", "--no-headers")
    assert exact.err == ""
    unlimited = lake.run("query", "FROM range(20000)", "--data-dir", str(data_dir), "--limit", "0")
    assert len(unlimited.out.splitlines()) == 20_001


@pytest.mark.parametrize(
    ("sql", "shown"),
    [
        ("SELECT 2::HUGEINT ** 100", None),
        (
            "SELECT 170141183460469231731687303715884105727::HUGEINT",
            "170141183460469231731687303715884105727",
        ),
        ("SELECT 'inf'::DOUBLE", "inf"),
        ("SELECT 0.5", "0.5"),
        ("SELECT '\\x01\\xff'::BLOB", "01ff"),
        ("SELECT {'a': 1}", {"a": 1}),
        ("SELECT TIMESTAMPTZ '2026-01-31 10:00:00+02'", "2026-01-31T08:00:00.000000Z"),
        ("SELECT INTERVAL 1 DAY", "1 day, 0:00:00"),
    ],
)
def test_any_value_has_a_form_in_json(lake: type[Lake], data_dir: Path, sql: str, shown: object) -> None:
    ran = lake.run("query", f"{sql} AS v", "--data-dir", str(data_dir), "-o", "jsonl")
    assert ran.code == 0, ran.err
    if shown is not None:
        assert json.loads(ran.out)["v"] == shown


def test_values_and_names_in_plain_form() -> None:
    assert plain(True) is True
    assert plain(1.5) == 1.5
    assert plain((1, [None])) == [1, [None]]
    assert distinct(["a", "a", "a_2", "a"]) == ("a", "a_2", "a_2_2", "a_3")


# --- where rows come from ----------------------------------------------------------------------------


def test_a_copy_without_rows_gets_them_elsewhere(lake: type[Lake], tmp_path: Path) -> None:
    write_segments(tmp_path, two_hours(), (12, 40))
    before = listing(tmp_path)
    ran = lake.run("query", "SELECT count(*) FROM api_calls", "--data-dir", str(tmp_path), "--no-headers")
    assert (ran.code, ran.out) == (0, "15\n")
    assert listing(tmp_path) == before


def test_a_segment_that_cannot_be_read_is_a_warning(lake: type[Lake], tmp_path: Path) -> None:
    (first, _) = write_segments(tmp_path, two_hours(), (40,))
    segments.flip(first, 4096 + 60)
    ran = lake.run(
        "query", "SELECT kind FROM control_events WHERE kind LIKE 'Seg%'", "--data-dir", str(tmp_path)
    )
    assert ran.code == 0
    assert f"warning: segment {first.stem} is missing" in ran.err
    assert "SegmentUnreadable" in ran.out


def test_rows_of_the_gateway_are_used_as_they_are(lake: type[Lake], data_dir: Path) -> None:
    before = listing(data_dir)
    ran = lake.run("query", "SELECT DISTINCT cluster FROM api_calls", "--data-dir", str(data_dir))
    assert ran.out.splitlines() == ["cluster", "prod"]
    assert listing(data_dir) == before


def test_rows_without_their_log_can_be_asked(lake: type[Lake], data_dir: Path) -> None:
    (data_dir / "log").rename(data_dir.parent / f"{data_dir.name}-log")
    ran = lake.run("query", "SELECT count(*) FROM api_calls", "--data-dir", str(data_dir), "--no-headers")
    assert ran.out == "15\n"


def test_a_directory_of_something_else_is_refused(lake: type[Lake], tmp_path: Path) -> None:
    ran = lake.run("query", "SELECT 1", "--data-dir", str(tmp_path))
    assert ran.code == 1
    assert "holds neither log/ nor rows/" in ran.err


def test_a_store_is_asked_for_what_is_needed(
    lake: type[Lake], data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_of(data_dir / "rows")
    opened = with_store(monkeypatch, store)
    ran = lake.run("query", "SELECT count(*) FROM api_calls", "--store", "s3://audit/prod", "--no-headers")
    assert (ran.code, ran.out, opened) == (0, "15\n", ["s3://audit/prod"])
    since = lake.run(
        "query",
        "SELECT count(*) FROM api_calls",
        "--store",
        "s3://a",
        "--since",
        "2026-02-01",
        "--no-headers",
    )
    assert since.out == "0\n"


def test_a_store_that_this_version_cannot_read_is_said(
    lake: type[Lake], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.cli.lake.options.STORES", "gateway.store.not_there")
    ran = lake.run("query", "SELECT 1", "--store", "s3://audit")
    assert (ran.code, "cannot read stores" in ran.err) == (1, True)
    monkeypatch.setattr("gateway.cli.lake.options.STORES", "gateway.not_there.either")
    assert lake.run("query", "SELECT 1", "--store", "s3://audit").code == 1


def test_an_address_that_is_no_store_is_wrong_usage(lake: type[Lake]) -> None:
    ran = lake.run("query", "SELECT 1", "--store", "https://example.com")
    assert ran.code == 2
    assert "s3://BUCKET/PREFIX" in ran.err


# --- compact ---------------------------------------------------------------------------------------


def test_compacting_changes_no_answer(lake: type[Lake], data_dir: Path) -> None:
    question = ("query", "FROM api_calls ORDER BY ALL", "--data-dir", str(data_dir), "-o", "jsonl")
    before = lake.run(*question).out
    ran = lake.run("compact", "--data-dir", str(data_dir))
    assert ran.code == 0
    assert ran.out.startswith("compacted 7 row files into ")
    assert lake.run(*question).out == before
    assert lake.run("compact", "--data-dir", str(data_dir)).out.startswith("compacted 0 row files into 0")


def test_a_store_is_compacted_into_a_directory(
    lake: type[Lake], data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_store(monkeypatch, store_of(data_dir / "rows"))
    assert lake.run("compact", "--store", "s3://audit").code == 2
    ran = lake.run("compact", "--store", "s3://audit", "--to", str(tmp_path / "out"))
    assert ran.code == 0
    assert list((tmp_path / "out" / "api_calls").rglob("*.parquet"))


# --- errors ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sql",
    ["SELEC 1", "SELECT nosuch FROM api_calls", "COPY api_calls TO 'x'", "FROM read_text('/etc/passwd')", ""],
)
def test_a_mistake_in_sql_is_one_line_and_exit_code_2(lake: type[Lake], data_dir: Path, sql: str) -> None:
    ran = lake.run("query", sql, "--data-dir", str(data_dir))
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("error: ")
    assert ran.err.count("\n") == 1
    assert "a bug" not in ran.err


def test_a_question_that_takes_too_long_is_exit_code_1(lake: type[Lake], data_dir: Path) -> None:
    sql = "SELECT count(*) FROM range(10000000) a, range(10000000) b WHERE a.range * b.range % 7 = 3"
    ran = lake.run("query", sql, "--data-dir", str(data_dir), "--timeout", "0.2")
    assert ran.code == 1
    assert "no answer within 0.2 s" in ran.err
