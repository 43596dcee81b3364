"""Figures, comparison, verdicts and pictures, from results made by hand."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from benchmarks.http_client import BenchmarkFailed
from benchmarks.side_by_side.change import compare
from benchmarks.side_by_side.document import BEGIN, END, flatten, rewrite
from benchmarks.side_by_side.figures import find_summary, is_beyond_noise, summarize
from benchmarks.side_by_side.plots import draw
from benchmarks.side_by_side.result import (
    GET,
    Conditions,
    Idle,
    Load,
    LoadRun,
    Result,
    Run,
    Series,
    Transfer,
    TransferRun,
    read_result,
    write_result,
)
from benchmarks.side_by_side.table import render
from benchmarks.side_by_side.targets import TARGETS, judge


def runs(*p50s_ms: float, cpu_ms: float = 0.5) -> list[Run]:
    return [Run(p50, p50 * 2, p50 * 3, p50, 100, {"gateway": cpu_ms}, 0.1) for p50 in p50s_ms]


def series(lane: str, *p50s_ms: float, step: str = "get 3 KB", cpu_ms: float = 0.5) -> Series:
    return Series(
        "calls", step, lane, runs(*p50s_ms, cpu_ms=cpu_ms), [one / 100 * p50s_ms[0] for one in range(101)]
    )


def result(*found: Series) -> Result:
    return Result(
        series=list(found), summary=summarize(found), conditions=[Conditions(0.1, 0.0, 0.0, 10.0)] * 3
    )


def three_ways(kubetape_ms: float = 0.9) -> Result:
    return result(
        series("direct", 0.5, 0.6, 0.4),
        series("kubectl proxy", 0.9, 1.0, 0.8),
        series("kubetape balanced", kubetape_ms, kubetape_ms + 0.1, kubetape_ms - 0.1),
    )


def test_what_a_way_adds_is_taken_run_by_run_and_compared_with_the_proxy() -> None:
    found = find_summary(three_ways(0.7), "get 3 KB", "kubetape balanced")
    assert found is not None
    assert (found.p50_ms, *found.spread_p50_ms) == pytest.approx((0.7, 0.6, 0.8))
    assert found.added_p50_ms == pytest.approx(0.2)
    assert found.ratio_to_proxy == pytest.approx(0.5)


def test_http2_is_compared_with_direct_http2_where_there_is_one() -> None:
    found = summarize([series("direct", 0.5), series("direct h2", 0.9), series("kubetape balanced h2", 1.0)])
    assert found[2].added_p50_ms == pytest.approx(0.1)


def test_nothing_is_divided_by_a_proxy_that_adds_nothing() -> None:
    found = summarize([series("direct", 0.5), series("kubectl proxy", 0.5), series("kubetape balanced", 1.0)])
    assert found[2].ratio_to_proxy is None


def test_a_change_counts_when_the_runs_of_both_lie_apart() -> None:
    assert is_beyond_noise([1.0, 1.1], [1.2, 1.3], 0.03)
    assert not is_beyond_noise([1.0, 1.25], [1.2, 1.3], 0.03)
    assert not is_beyond_noise([1.0, 1.001], [1.01, 1.02], 0.03)
    assert not is_beyond_noise([], [1.0], 0.03)


def test_a_comparison_says_what_changed_and_whether_that_is_more_than_noise() -> None:
    lines = list(compare(three_ways(0.9), three_ways(0.5)))
    (line,) = [one for one in lines if "kubetape balanced" in one and "p50_ms" in one]
    assert "-44.4%" in line
    assert line.endswith("beyond noise")
    (same,) = [one for one in lines if "kubectl proxy" in one and "p50_ms" in one]
    assert "+0.0%" in same
    assert "noise" not in same


def test_a_comparison_warns_of_another_machine() -> None:
    old, new = three_ways(), three_ways()
    old.environment, new.environment = {"cpu": "this"}, {"cpu": "that"}
    assert any("cpu differs" in line for line in compare(old, new))


def test_targets_are_met_missed_or_not_measured() -> None:
    lines = dict(judge(three_ways(0.7)))
    met = next(line for line in lines if line.startswith("added p50 of a GET / kubectl proxy"))
    assert " met " in met
    assert not lines[met]
    missed_line, missed = next(pair for pair in judge(three_ways(2.0)) if pair[0].startswith("added p50"))
    assert "MISSED" in missed_line
    assert missed
    assert sum("not measured" in line for line in lines) == len(TARGETS) - 3


def test_the_table_shows_every_lane_and_names_the_limit_of_a_load() -> None:
    found = three_ways()
    run = LoadRun(1000.0, 1.0, 2.0, 3.0, {"gateway": 0.9}, {"client": 0.2, "gateway": 0.95})
    found.loads = [
        Load(16, "kubetape balanced", [run]),
        Load(4, "kubetape balanced", [run], step="exec start, spdy"),
        Load(64, "direct", [LoadRun(1.0, 1.0, 1.0, 1.0, {}, {"client": 0.99})]),
    ]
    found.transfers = [
        Transfer("copy out, spdy", "kubetape balanced", 256, [TransferRun(100.0, 160.0, {"gateway": 6.2})])
    ]
    found.idle = [Idle("watch", "kubetape balanced", 100, [{"gateway": 80.0}])]
    found.skipped = ["haproxy: not installed"]
    text = "\n".join(render(found))
    assert text.count("kubetape balanced") == 5
    assert "limit: gateway" in text
    assert "limit: the client: no figure of the way" in text
    assert "left out: haproxy: not installed" in text


def test_the_table_says_when_the_machine_was_busy_otherwise() -> None:
    found = three_ways()
    found.conditions = [Conditions(4.0, 1.5, 0.0, 10.0)]
    text = "\n".join(render(found))
    assert "other programs used 1.5 cores" in text
    assert "load average before the first run: 4.0" in text


def test_cpu_of_a_call_is_judged_in_turns_and_under_load_beside_that_of_the_peers() -> None:
    found = three_ways()

    def load(connections: int, lane: str, cpu_ms: dict[str, float], step: str = GET) -> Load:
        return Load(connections, lane, [LoadRun(1000.0, 1.0, 2.0, 3.0, cpu_ms)], step=step)

    found.loads = [
        load(1, "kubetape balanced", {"gateway": 9.0, "keeper": 9.0}),
        load(16, "kubectl proxy", {"proxy": 0.3}),
        load(16, "kubetape balanced", {"gateway": 0.6, "keeper": 0.15}),
        load(4, "kubetape balanced", {"gateway": 2.0, "keeper": 0.5}, "exec start, websocket"),
        load(4, "kubetape balanced", {"gateway": 3.0, "keeper": 0.5}, "exec start, spdy"),
        load(4, "haproxy", {"haproxy": 1.5}, "exec start, spdy"),
    ]
    lines = [line for line, _ in judge(found) if line.startswith("CPU") and "not measured" not in line]
    in_turns, under_load, starts = (line.partition(" ms ")[2].split(maxsplit=2) for line in lines)
    assert in_turns == ["0.50", "met", "gateway 0.50; kubectl proxy 0.50"]
    assert under_load == ["0.75", "met", "gateway 0.60 + keeper 0.15; kubectl proxy 0.30"]
    assert starts == ["3.50", "MISSED", "exec start, spdy: gateway 3.00 + keeper 0.50; haproxy 1.50"]


def test_the_tables_of_a_page_are_put_between_its_marks_again_and_again(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}old\n{END}after\n")
    rewrite(page, three_ways(0.9))
    once = page.read_text()
    assert once.startswith(f"before\n{BEGIN}")
    assert once.endswith(f"{END}after\n")
    assert (
        "| kubetape balanced | 0.90 | 1.80 | 2.70 | 0.80 to 1.00 | +0.40 | +1.20 | 1.00 | gateway 0.50 |"
        in once
    )
    rewrite(page, three_ways(0.9))
    assert page.read_text() == once


def test_small_benchmarks_are_shown_by_their_medians_and_ratios() -> None:
    found = {
        "us": {"get": {"p50": 11.0, "p99": 20.0}},
        "rules": 200,
        "masks": {"one": {"ratio": 1.5, "parse": {}}},
    }
    assert list(flatten(found)) == [("us, get, p50", 11.0), ("rules", 200), ("masks, one, ratio", 1.5)]


def test_rows_of_a_small_benchmark_are_told_apart_by_their_first_columns() -> None:
    found = {"results": [{"workers": 1, "connections": 16, "per_second": 900.0, "worker_ms": 0.7}]}
    assert list(flatten(found)) == [
        ("results, workers 1, connections 16, per_second", 900.0),
        ("results, workers 1, connections 16, worker_ms", 0.7),
    ]


def test_two_workers_are_judged_by_the_load_that_suits_them_least() -> None:
    found = three_ways()
    rows = [
        {"workers": workers, "connections": connections, "capacity": capacity}
        for workers, connections, capacity in (
            (1, 16, 1000.0),
            (2, 16, 1900.0),
            (1, 64, 1000.0),
            (2, 64, 1800.0),
        )
    ]
    found.micro = {"workers": {"results": rows}}
    (line,) = [line for line, _ in judge(found) if line.startswith("2 workers")]
    assert "1.80  met" in line
    found.micro = {"workers": {"failed": "not here"}}
    (line,) = [line for line, _ in judge(found) if line.startswith("2 workers")]
    assert "not measured" in line


def test_a_page_without_marks_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("no marks\n")
    with pytest.raises(BenchmarkFailed, match="no place for figures"):
        rewrite(page, three_ways())
    assert page.read_text() == "no marks\n"


def test_pictures_are_svg_and_the_same_for_the_same_result() -> None:
    pictures = draw(three_ways())
    assert pictures == draw(three_ways())
    assert set(pictures) == {
        *("added-calls.svg", "added-exec.svg", "cpu-calls.svg", "cpu-exec.svg", "cdf-get-3-kb.svg")
    }
    for picture in pictures.values():
        assert ElementTree.fromstring(picture).tag == "{http://www.w3.org/2000/svg}svg"


def test_a_result_is_read_as_it_was_written(tmp_path: Path) -> None:
    found = three_ways()
    write_result(tmp_path / "result.json", found)
    assert [one.lane for one in read_result(tmp_path / "result.json").series] == [
        "direct",
        "kubectl proxy",
        "kubetape balanced",
    ]
    assert read_result(tmp_path / "result.json").series[0].runs[0].p50_ms == 0.5


@pytest.mark.parametrize("content", [b"no JSON", b"[]", b'{"schema": 99}'])
def test_what_is_no_result_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "result.json"
    path.write_bytes(content)
    with pytest.raises(BenchmarkFailed) as refused:
        read_result(path)
    assert "\n" not in str(refused.value)
