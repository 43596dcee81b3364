"""The replay of a keeper's duties says what each spends on a call."""

from itertools import islice
from pathlib import Path

from benchmarks.keeper import measure, mixed, reads, recorded
from storage.records import Intent, Outcome, decode_record
from tests.kit.recorded import whole_story, write_log


def test_both_duties_are_measured_and_the_index_has_the_calls() -> None:
    figures = measure(islice(reads(3_000, differ=True), 6), calls_a_step=2, seconds=60)
    assert figures["calls"] == 4  # the first step opens files and is not counted
    assert min(figures["index_us"], figures["tree_us"], figures["index_bytes"]) > 0


def test_calls_begin_and_end() -> None:
    for call in islice(mixed(), 20):
        assert isinstance(decode_record(call[0]), Intent)
        assert isinstance(decode_record(call[-1]), Outcome)


def test_a_log_of_a_gateway_is_replayed_call_by_call(tmp_path: Path) -> None:
    write_log(tmp_path, whole_story())
    calls = list(recorded(tmp_path))
    assert calls
    assert all(isinstance(decode_record(call[-1]), Outcome) for call in calls)
