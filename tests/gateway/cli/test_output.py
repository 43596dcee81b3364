"""Rows as a person or a program reads them; nothing recorded can act on the terminal."""

import json

import pytest
import yaml

from gateway.cli.output import (
    Column,
    Style,
    View,
    detect_style,
    duration,
    encode_json,
    encode_yaml,
    render,
    render_one_by_one,
    rfc3339,
    size,
)
from tests.kit.recorded import START_NS

ROWS = [("k1", "ok"), ("k2\x1b[2J", "denied"), ("k3", "long \u202e text")]
VIEW: View[tuple[str, str]] = View(
    (
        Column("ID", lambda row: row[0], width=8),
        Column("RESULT", lambda row: row[1]),
        Column("MORE", lambda row: "m", wide=True),
    ),
    lambda row: {"id": row[0], "result": row[1]},
    lambda row: row[0],
)


def rendered(**style: object) -> list[str]:
    return list(render(ROWS, VIEW, Style(**style)))  # type: ignore[arg-type]


def test_in_a_pipe_columns_are_separated_by_tabs_and_escaped() -> None:
    assert rendered() == ["ID\tRESULT", "k1\tok", "k2\\x1b[2J\tdenied", "k3\tlong \\u202e text"]


def test_on_a_terminal_columns_are_aligned() -> None:
    assert rendered(is_terminal=True)[:2] == ["ID         RESULT", "k1         ok"]


def test_a_line_is_cut_to_the_width_of_the_terminal() -> None:
    assert rendered(is_terminal=True, width=16)[3] == "k3         long…"


def test_wide_has_more_columns_and_headers_can_be_left_out() -> None:
    assert rendered(format="wide", headers=False)[0] == "k1\tok\tm"


def test_colour_marks_the_result_only() -> None:
    assert rendered(is_terminal=True, colour=True)[1].startswith("k1         \x1b[32mok")
    assert "\x1b[31mdenied" in rendered(is_terminal=True, colour=True)[2]
    assert "\x1b" not in "".join(rendered(is_terminal=True))


def test_json_is_one_document_and_jsonl_one_a_line() -> None:
    assert json.loads("\n".join(rendered(format="json")))[1] == {"id": "k2\x1b[2J", "result": "denied"}
    assert [json.loads(line)["id"] for line in rendered(format="jsonl")] == ["k1", "k2\x1b[2J", "k3"]
    assert rendered(format="name") == ["k1", "k2\\x1b[2J", "k3"]


def test_json_carries_no_control_character_and_no_direction_override() -> None:
    text = encode_json({"a": "\x00\x1b\x7f\x9b\u202e\u2066ü"})
    assert all(char >= " " and char not in "\x7f\x9b\u202e\u2066" for char in text)
    assert json.loads(text) == {"a": "\x00\x1b\x7f\x9b\u202e\u2066ü"}


def test_yaml_reads_back_and_carries_no_control_character() -> None:
    data = [{"a": "\x1b[2J \x9b ü", "n": None, "list": [1, "x"]}]
    text = encode_yaml(data)
    assert yaml.safe_load(text) == data
    assert "\x1b" not in text
    assert "\x9b" not in text
    assert yaml.safe_load("\n".join(rendered(format="yaml")))[0] == {"id": "k1", "result": "ok"}


def test_rows_that_come_one_by_one_have_fixed_columns() -> None:
    lines = list(render_one_by_one(iter(ROWS), VIEW, Style(is_terminal=True)))
    assert lines[:2] == ["ID        RESULT", "k1        ok"]
    assert next(render_one_by_one(iter(ROWS), VIEW, Style(headers=False))) == "k1\tok"
    assert json.loads(next(render_one_by_one(iter(ROWS), VIEW, Style("json"))))["id"] == "k1"


def test_the_style_follows_the_terminal_and_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    plain = detect_style("table", headers=True, colour="auto", relative_to_ns=None)
    assert (plain.is_terminal, plain.colour) == (False, False)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert detect_style("table", headers=True, colour="auto", relative_to_ns=None).colour
    assert not detect_style("table", headers=True, colour="never", relative_to_ns=None).colour
    monkeypatch.setenv("NO_COLOR", "1")
    assert not detect_style("table", headers=True, colour="auto", relative_to_ns=None).colour
    assert detect_style("wide", headers=True, colour="always", relative_to_ns=None) == Style(
        "wide", True, True, True
    )


def test_times_are_rfc_3339_or_relative() -> None:
    assert rfc3339(START_NS + 1_234_567) == "2026-01-31T10:00:00.001Z"
    assert Style().time(START_NS) == "2026-01-31T10:00:00.000Z"
    assert Style(relative_to_ns=START_NS + 90_000_000_000).time(START_NS) == "1m30s ago"


@pytest.mark.parametrize(
    ("us", "text"),
    [
        (-5, "0us"),
        (999, "999us"),
        (4_200, "4ms"),
        (1_250_000, "1.2s"),
        (200_000_000, "3m20s"),
        (7_500_000_000, "2h5m"),
        (273_600_000_000, "3d4h"),
    ],
)
def test_durations_as_people_read_them(us: int, text: str) -> None:
    assert duration(us) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0B"), (1023, "1023B"), (1536, "1.5KiB"), (3 << 20, "3.0MiB"), (5 << 40, "5120.0GiB")],
)
def test_sizes_as_people_read_them(count: int, text: str) -> None:
    assert size(count) == text
