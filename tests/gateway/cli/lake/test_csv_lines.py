"""CSV: what a spreadsheet would run is text, and numbers stay numbers."""

import csv

import pytest

from gateway.cli.lake.csv_lines import render_csv


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        (" =1", "' =1"),
        ("\t=1", "\\x09=1"),
        ("\r=1", "\\x0d=1"),
        ("plain", "plain"),
        ("a=b", "a=b"),
        (-1, "-1"),
        (-1.5, "-1.5"),
        (True, "true"),
        (None, ""),
        ("", ""),
        ('a "b", c', 'a "b", c'),
        ("two\nlines", "two\\x0alines"),
        ("\u202eevil\x1b[2J", "\\u202eevil\\x1b[2J"),
    ],
)
def test_a_cell_is_what_it_was_and_no_formula(value: bool | int | float | str | None, cell: str) -> None:
    (line,) = render_csv(["c"], [(value,)], headers=False)
    assert "\n" not in line
    assert next(csv.reader([line]), [""]) == [cell]


def test_headers_are_cells_too() -> None:
    assert list(render_csv(["=a", "b"], [(1, 2)], headers=True)) == ["'=a,b", "1,2"]
