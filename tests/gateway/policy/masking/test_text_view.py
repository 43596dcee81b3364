"""Terminal text without its sequences, and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.masking.text_view import TextView, sequences_in


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        (b"plain", b"plain"),
        (b"a\x1b[31mb\x1b[0mc", b"abc"),
        (b"a\x1b[Kb\x1b[?2004hc", b"abc"),
        (b"a\x1b[5Cb\x1b[Hc", b"a b c"),
        (b"a\x1b]0;title\x07b\x1b]8;;x\x1b\\c", b"abc"),
        (b"a\x1b(Bb\x1b7c", b"abc"),
        (b"a\x1b[", b"a\x1b["),
        (b"a \rb \r\n", b"ab \r\n"),
    ],
)
def test_sequences_are_taken_out(text: bytes, seen: bytes) -> None:
    assert TextView(text, wraps=True).seen == seen


def test_a_wrapped_line_is_joined_only_where_a_person_types() -> None:
    assert TextView(b"a \rb", wraps=False).seen == b"a \rb"
    assert TextView(b"a \rb\x1b[5Cc", wraps=False).seen == b"a \rb c"


def test_a_hit_is_where_its_bytes_are() -> None:
    text = b"\x1b[1mab\x1b[31mcd\x1b[0m"
    view = TextView(text, wraps=False)
    start, end = view.seen.index(b"bc"), view.seen.index(b"bc") + 2
    assert text[view.start_in_text(start) : view.end_in_text(end)] == b"b\x1b[31mc"
    assert view.start_in_text(0) == 4
    assert text[: view.end_in_text(4)].endswith(b"cd")


def test_the_sequences_of_a_part_are_kept() -> None:
    assert sequences_in(b"a\x1b[31mb \rc\x1b[0m") == b"\x1b[31m\x1b[0m"


@given(
    st.lists(
        st.sampled_from([b"a", b"\x1b", b"[31m", b"[", b"0m", b"\x1b[1m", b" \r", b"\x1b[5C", b"]x\x07"])
    )
)
def test_every_byte_that_is_seen_is_found_in_the_text(parts: list[bytes]) -> None:
    text = b"".join(parts)
    view = TextView(text, wraps=True)
    for at, seen in enumerate(view.seen):
        place = view.start_in_text(at)
        assert seen == ord(" ") or text[place] == seen
