"""What the gate on counted work calls worse, better, or nothing at all."""

from benchmarks.work.baseline import Baseline, Change, compare, missing, table, update, verdict

UNITS = {"get": "call", "key": "key", "copy": "MB"}


def baseline(**operations: dict[str, float]) -> Baseline:
    return Baseline("abc1234", "3.11", {"trio": "0.35.0"}, operations)


def test_a_figure_that_grew_beyond_its_tolerance_is_worse() -> None:
    (change,) = compare(baseline(get={"calls": 700.0}), {"get": {"calls": 708.0}}, UNITS)
    assert change.is_worse
    assert not change.is_better


def test_a_figure_within_its_tolerance_is_neither_worse_nor_better() -> None:
    for now in (697.0, 700.0, 703.0):
        (change,) = compare(baseline(get={"calls": 700.0}), {"get": {"calls": now}}, UNITS)
        assert not change.is_worse
        assert not change.is_better


def test_a_stream_may_differ_more_than_a_call() -> None:
    assert Change("get", "call", "calls", 3000.0, 3060.0).is_worse
    assert not Change("copy", "MB", "calls", 3000.0, 3060.0).is_worse


def test_one_more_record_a_call_is_worse() -> None:
    assert Change("get", "call", "records", 4.0, 5.0).is_worse


def test_one_more_wake_up_a_call_is_worse() -> None:
    assert Change("get", "call", "steps", 2.01, 3.01).is_worse


def test_what_was_never_done_before_is_worse() -> None:
    change = Change("get", "call", "urgent_records", 0.0, 1.0)
    assert change.is_worse
    assert change.share == 1.0


def test_work_that_went_away_is_better_and_no_offence() -> None:
    changes = compare(baseline(get={"calls": 700.0}), {"get": {"calls": 500.0}}, UNITS)
    assert changes[0].is_better
    assert verdict(changes).startswith("less work than the baseline says: run `make gate-update`")


def test_the_verdict_says_what_grew_and_what_to_do() -> None:
    text = verdict(compare(baseline(get={"steps": 2.0}), {"get": {"steps": 3.0}}, UNITS))
    assert text.startswith(
        "1 figures are worse: steps (a task of the event loop woke up). See which functions"
    )
    assert "make gate-update" in text


def test_nothing_is_said_when_nothing_changed() -> None:
    assert verdict(compare(baseline(get={"calls": 700.0}), {"get": {"calls": 700.0}}, UNITS)) == ""


def test_the_table_shows_calls_always_and_other_figures_when_they_changed() -> None:
    before = {"calls": 700.0, "steps": 2.0, "builtins": 500.0}
    changes = compare(baseline(get=before), {"get": {"calls": 700.0, "steps": 3.0, "builtins": 500.0}}, UNITS)
    assert table(changes).splitlines()[1:] == [
        "get                        call     calls                700.0      700.0    +0.0%",
        "get                        call     steps                  2.0        3.0   +50.0% WORSE",
    ]


def test_an_operation_without_a_baseline_is_named() -> None:
    assert missing(baseline(get={"calls": 1.0}), {"get": {"calls": 1.0}, "key": {"calls": 1.0}}) == ["key"]


def test_an_update_of_some_operations_keeps_the_others() -> None:
    old = baseline(get={"calls": 700.0}, key={"calls": 200.0})
    now = {"get": {"calls": 600.0}}
    new = update(old, now, commit="def5678", python="3.11", libraries=old.libraries)
    assert new.operations == {"get": {"calls": 600.0}, "key": {"calls": 200.0}}
    assert new.commit == "def5678"


def test_an_update_with_other_libraries_keeps_nothing() -> None:
    old = baseline(key={"calls": 200.0})
    new = update(old, {"get": {"calls": 600.0}}, commit="d", python="3.11", libraries={"trio": "1.0"})
    assert new.operations == {"get": {"calls": 600.0}}
