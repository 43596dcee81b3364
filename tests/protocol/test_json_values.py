"""Values of a JSON watch: cut where each ends, however the bytes come."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import TooLarge, Unreadable
from protocol.json_values import JsonValues
from tests.kit.cutting import cut

STREAM = b'{"a":"}{\\"\\\\"} {"b":[{"c":"\\n"}]}\n\n{"d":\n {}}{}\r\n'
VALUES = [b'{"a":"}{\\"\\\\"}', b'{"b":[{"c":"\\n"}]}', b'{"d":\n {}}', b"{}"]


def values_of(parts: list[bytes], limit: int = 1000) -> list[bytes]:
    values, found = JsonValues(limit), []
    for part in parts:
        values.add(part)
        while (value := values.value()) is not None:
            found.append(value)
    assert values.pending_bytes == 0
    return found


@given(st.lists(st.integers(0, 1000)))
def test_any_cut_gives_the_same_values(places: list[int]) -> None:
    assert values_of(cut(STREAM, places)) == VALUES


def test_byte_by_byte_gives_the_same_values() -> None:
    assert values_of([STREAM[at : at + 1] for at in range(len(STREAM))]) == VALUES


def test_a_whole_line_can_be_taken_without_scanning() -> None:
    values = JsonValues(100)
    values.add(b'\n{"a":1}\n{"b"')
    line = values.line()
    assert line == b'{"a":1}'
    values.skip(len(line))
    assert values.line() is None
    assert values.value() is None  # scans what is there
    values.add(b":2}\n")
    assert values.line() is None
    assert values.value() == b'{"b":2}'


def test_what_is_no_object_is_unreadable() -> None:
    values = JsonValues(100)
    values.add(b" [1]")
    with pytest.raises(Unreadable):
        values.value()


@pytest.mark.parametrize("value", [b'{"a":"' + b"x" * 100, b'{"a":"' + b"x" * 100 + b'"}'])
def test_a_value_beyond_the_limit_is_too_large_whole_or_not(value: bytes) -> None:
    values = JsonValues(100)
    values.add(value)
    with pytest.raises(TooLarge):
        values.value()


def test_the_limit_is_of_one_value_not_of_what_is_waiting() -> None:
    assert values_of([b'{"a":"' + b"x" * 80 + b'"}' + b"{}" * 60], 100)[1:] == [b"{}"] * 60
