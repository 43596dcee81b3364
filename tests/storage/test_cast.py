"""Recorded channels as timed events and as asciicast, read back by a parser of its own."""

import json
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.events import Channel
from storage.cast import CastHeader, TerminalEvent, encode_cast, terminal_events
from storage.records import AnyRecord, ChannelChunk, Exited, Masked, Outcome, Resized, ResponseBody
from tests.kit.governed import guarded_exec, records_of
from tests.kit.recorded import START_NS, Tape

X = bytes(16)


def parse_cast(lines: list[str]) -> tuple[dict[str, Any], list[tuple[float, str, str]]]:
    """What a player makes of it: header, and events at absolute times in seconds."""
    header = json.loads(lines[0])
    events, now = [], 0.0
    for line in lines[1:]:
        at, code, data = json.loads(line)
        now = at if header["version"] == 2 else now + at
        events.append((round(now, 6), code, data))
    return header, events


def of_exec() -> list[AnyRecord]:
    tape = Tape()
    exchange = tape.exec()
    return [record for record in tape.records if getattr(record, "exchange", None) == exchange]


def cast(version: Literal[2, 3]) -> tuple[dict[str, Any], list[tuple[float, str, str]]]:
    header = CastHeader(START_NS, "ann: sh", "sh -c 'exec bash'")
    return parse_cast(list(encode_cast(terminal_events(of_exec()), header, version=version)))


def test_version_2_has_size_and_absolute_times() -> None:
    header, events = cast(2)
    assert header == {
        "version": 2,
        "width": 120,
        "height": 40,
        "timestamp": START_NS // 10**9,
        "title": "ann: sh",
        "command": "sh -c 'exec bash'",
    }
    assert events[0] == (0.7, "o", "root@payments-0:/# ")
    assert (30.0, "r", "100x30") in events
    assert events[-1] == (63.0, "o", "exit 42\r\n")


def test_version_3_has_relative_times_and_ends_with_the_exit_code() -> None:
    header, events = cast(3)
    assert header["version"] == 3
    assert header["term"] == {"cols": 120, "rows": 40}
    assert events[-1] == (63.2, "x", "42")
    assert [event for event in events if event[1] != "x"] == cast(2)[1]


def test_a_character_cut_by_chunks_is_whole_in_the_cast() -> None:
    output = "".join(data for _, code, data in cast(3)[1] if code == "o")
    assert "4111 1111 1111 1111\x1b[0m,grün" in output


def test_the_title_a_program_set_is_not_in_the_cast_unless_raw() -> None:
    assert not any("root@payments-0\x07" in event.data for event in terminal_events(of_exec()))
    raw = "".join(event.data for event in terminal_events(of_exec(), neutralise=False))
    assert "\x1b]0;root@payments-0\x07" in raw


def test_without_any_size_the_picture_is_80_by_24() -> None:
    lines = list(encode_cast([TerminalEvent(5, "o", "hi")], CastHeader(START_NS), version=3))
    assert json.loads(lines[0]) == {
        "version": 3,
        "term": {"cols": 80, "rows": 24},
        "timestamp": START_NS // 10**9,
    }
    assert json.loads(lines[1]) == [0.000005, "o", "hi"]


def test_a_size_that_comes_after_output_is_an_event_not_the_header() -> None:
    events = [TerminalEvent(0, "o", "a"), TerminalEvent(9, "r", "10x5")]
    header, parsed = parse_cast(list(encode_cast(events, CastHeader(START_NS), version=2)))
    assert (header["width"], header["height"]) == (80, 24)
    assert parsed[1] == (0.000009, "r", "10x5")


def test_an_empty_recording_is_a_header() -> None:
    assert len(list(encode_cast([], CastHeader(START_NS), version=3))) == 1


def test_typing_before_the_first_size_is_kept_in_front() -> None:
    events = [TerminalEvent(1, "i", "x")] * 70 + [TerminalEvent(2, "r", "10x5")]
    lines = list(encode_cast(events, CastHeader(START_NS), version=2))
    assert json.loads(lines[0])["width"] == 80
    assert len(lines) == 72


@pytest.mark.parametrize(
    ("columns", "rows", "shown"), [(65535, 65535, ["1000x1000"]), (0, 0, []), (80, 0, [])]
)
def test_an_absurd_size_is_clamped_or_left_out(columns: int, rows: int, shown: list[str]) -> None:
    assert [event.data for event in terminal_events([Resized(X, 1, columns, rows)])] == shown


def test_times_never_go_backwards() -> None:
    chunks = [ChannelChunk(X, at, Channel.STDOUT, False, b"x") for at in (5, 3, 9)]
    assert [event.at_us for event in terminal_events(chunks)] == [5, 5, 9]


def test_the_exit_code_comes_last_even_if_output_followed_it() -> None:
    records: list[AnyRecord] = [
        Exited(X, 10, 3),
        ChannelChunk(X, 20, Channel.STDERR, False, b"late\xc3"),
        ChannelChunk(X, 20, Channel.ERROR, False, b"{}"),
        Outcome(X, 30, "completed", 101, exit_code=7),
    ]
    assert list(terminal_events(records)) == [(20, "o", "late"), (30, "o", "\ufffd"), (30, "x", "3")]


def test_a_followed_log_plays_as_output() -> None:
    assert list(terminal_events([ResponseBody(X, 7, 0, b"line\n")], neutralise=False)) == [(7, "o", "line\n")]


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=60), st.integers(1, 5), st.booleans())
def test_output_is_the_same_however_chunks_cut_it(data: bytes, size: int, neutralise: bool) -> None:
    cut = [
        ChannelChunk(X, at, Channel.STDOUT, False, data[at : at + size]) for at in range(0, len(data), size)
    ]
    whole = [ChannelChunk(X, 0, Channel.STDOUT, False, data)]
    joined = [
        "".join(event.data for event in terminal_events(some, neutralise=neutralise)) for some in (cut, whole)
    ]
    assert joined[0] == joined[1]
    if not neutralise:
        assert joined[0] == data.decode("utf-8", "replace")


def test_what_policy_did_is_a_marker_in_both_versions() -> None:
    tape = Tape()
    records = records_of(tape, guarded_exec(tape))
    for version in (2, 3):
        lines = list(encode_cast(terminal_events(records), CastHeader(START_NS), version=version))  # type: ignore[arg-type]
        marks = [(at, data) for at, code, data in parse_cast(lines)[1] if code == "m"]
        assert marks[:3] == [
            (1.0, "typed: ls /srv"),
            (2.0, "held by prod/no-wipe: rm -rf /srv/data"),
            (2.0001, "held by prod/no-wipe"),
        ]
        assert marks[3] == (4.0001, "denied by bob, cid: not today")
        assert len(marks) == 8


def test_markers_never_go_back_in_time() -> None:
    late = [Resized(X, 9, 80, 24), Masked(X, 3, "stream", (("r", 1),))]
    assert [event.at_us for event in terminal_events(late)] == [9, 9]
