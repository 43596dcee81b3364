"""docs/performance.md: what it shows is what was measured."""

from pathlib import Path

from benchmarks.side_by_side.document import BEGIN, END, render_markdown
from benchmarks.side_by_side.plots import draw
from benchmarks.side_by_side.result import read_result

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "performance.md"
RAW = ROOT / "benchmarks" / "results" / "latest.json"
AGAIN = "write it again: kubetape bench --read benchmarks/results/latest.json --document docs/performance.md --plot docs/performance"


def test_the_tables_are_those_of_the_raw_file() -> None:
    shown = PAGE.read_text().partition(BEGIN)[2].partition(END)[0].strip()
    assert shown == "\n".join(render_markdown(read_result(RAW))).strip(), AGAIN


def test_the_pictures_are_those_of_the_raw_file() -> None:
    found = {path.name: path.read_bytes() for path in (ROOT / "docs" / "performance").glob("*.svg")}
    assert found == draw(read_result(RAW)), AGAIN


def test_every_picture_of_the_page_is_there() -> None:
    named = {
        line.partition("](")[2].rstrip(")") for line in PAGE.read_text().splitlines() if line.startswith("![")
    }
    assert {PAGE.parent / name for name in named} == set((PAGE.parent / "performance").glob("*.svg"))
