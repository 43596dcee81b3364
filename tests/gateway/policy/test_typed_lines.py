"""Typed lines: keys, echo, and the stop before each end of a line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.typed_lines import Forward, LineReady, Piece, TypedLines


def typed(keys: bytes) -> str:
    """The line that keys make, typed at once."""
    ready = [
        piece for piece in TypedLines(tty=True).receive_input(keys + b"\r") if isinstance(piece, LineReady)
    ]
    return ready[-1].line


def bytes_of(pieces: list[Piece]) -> bytes:
    return b"".join(piece.data if isinstance(piece, Forward) else piece.end for piece in pieces)


def test_the_end_of_a_line_waits_for_a_judgement() -> None:
    pieces = TypedLines(tty=True).receive_input(b"ls\rpwd\r")
    assert [type(piece) for piece in pieces] == [Forward, LineReady, Forward, LineReady]
    assert pieces[0] == Forward(b"ls")
    assert pieces[1] == LineReady("ls", b"\r", "ls")


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        (b"lx\x7fs", "ls"),
        (b"lx\x08s", "ls"),
        (b"rm -rf x\x15ls", "ls"),
        (b"rm -rf x\x17y", "rm -rf y"),
        (b"ls -l\x01\x06\x06\x0b", "ls"),
        (b"s\x01l\x05 x", "ls x"),
        (b"ab\x02\x04", "a"),
        (b"rm\x03ls", "ls"),
        (b"l\x1b[Dx\x1b[C", "xl"),
        (b"s\x1b[Hl\x1b[F x", "ls x"),
        (b"ls\x1b[1~\x1b[3~\x1b[4~x", "sx"),
        (b"\x1b[200~ls -l\x1b[201~", "ls -l"),
        (b"a\x16\x15b", "a\x15b"),
        (b"a\x16bc", "abc"),
        ("\u00e9\x7f\u00e8".encode(), "\u00e8"),
    ],
)
def test_corrections_are_followed(keys: bytes, line: str) -> None:
    assert typed(keys) == line


@pytest.mark.parametrize(
    "keys", [b"\x1b[A", b"\x1bOA", b"ca\t", b"\x12ls", b"\x19", b"\x1b.", b"\x1b[" + b"1" * 1100]
)
def test_what_keys_cannot_tell_is_uncertain(keys: bytes) -> None:
    (*_, ready) = TypedLines(tty=True).receive_input(keys + b"\r")
    assert isinstance(ready, LineReady)
    assert ready.is_uncertain


def test_an_uncertain_line_is_read_from_the_screen() -> None:
    one = TypedLines(tty=True)
    one.receive_output(b"$ ")
    one.receive_input(b"\x1b[A")
    one.receive_output(b"rm -rf /data")
    assert one.receive_input(b"\r") == [LineReady("rm -rf /data", b"\r", "rm -rf /data", True, True)]


def test_a_completed_word_is_read_from_the_screen() -> None:
    one = TypedLines(tty=True)
    one.receive_output(b"$ ")
    one.receive_input(b"cat sec\t")
    one.receive_output(b"cat secret.txt")
    (ready,) = one.receive_input(b"\r")
    assert isinstance(ready, LineReady)
    assert ready.line == "cat secret.txt"


def test_a_line_of_a_repainted_prompt_is_the_whole_line() -> None:
    one = TypedLines(tty=True)
    one.receive_output(b"$ ")
    one.receive_input(b"\x12l")
    one.receive_output(b"\r\x1b[K(search)`l': ls")
    (ready,) = one.receive_input(b"\r")
    assert isinstance(ready, LineReady)
    assert ready.line == "(search)`l': ls"


def test_a_password_is_not_echoed() -> None:
    one = TypedLines(tty=True)
    one.receive_output(b"Password: ")
    *_, ready = one.receive_input(b"hunter2\r")
    assert isinstance(ready, LineReady)
    assert not ready.is_echoed
    one.receive_output(b"\r\nPIN: ")
    one.receive_input(b"12")
    one.receive_output(b"**")
    *_, ready = one.receive_input(b"34\r")
    assert isinstance(ready, LineReady)
    assert not ready.is_echoed


def test_an_echoed_line_may_be_recorded_though_its_last_letters_are_on_their_way() -> None:
    one = TypedLines(tty=True)
    one.receive_output(b"$ ")
    one.receive_input(b"ls")
    one.receive_output(b"ls")
    *_, ready = one.receive_input(b" -l\r")
    assert ready == LineReady("ls -l", b"\r", "ls -l", False, True)


def test_continued_lines_are_joined() -> None:
    *_, ready = TypedLines(tty=True).receive_input(b"rm \\\r-rf /\r")
    assert isinstance(ready, LineReady)
    assert (ready.line, ready.joined) == ("-rf /", "rm  -rf /")


def test_a_line_run_from_the_history_is_a_line() -> None:
    *_, ready = TypedLines(tty=True).receive_input(b"ls\x0f")
    assert ready == LineReady("ls", b"\x0f", "ls", True)


def test_a_sequence_that_a_line_end_cuts_does_not_swallow_it() -> None:
    for begun in (b"\x1b", b"\x1b[", b"\x1bO", b"\x1b]0;x", b"\x16"):
        *_, ready = TypedLines(tty=True).receive_input(b"ls" + begun + b"\r")
        assert isinstance(ready, LineReady)
        assert ready.line == "ls"


def test_s14_lines_on_stdin_without_a_terminal_are_stopped_at_as_well() -> None:
    one = TypedLines(tty=False)
    one.receive_output(b"ignored")
    pieces = one.receive_input(b"cat <<E\n\tx\x1b[Ay\x01\x7f\nE\n")
    lines = [piece for piece in pieces if isinstance(piece, LineReady)]
    assert [line.line for line in lines] == ["cat <<E", "\tx\x1b[Ay\x7f", "E"]
    assert all(line.is_echoed for line in lines)


KEYS = st.lists(
    st.sampled_from(
        [b"ls ", b"\x1b[A", b"\x1b[3~", b"\r", b"\n", b"\x15", b"\x1b", b"\xc3", b"\t", b"x" * 70]
    )
)


@given(KEYS.map(b"".join), st.integers(0, 400), st.booleans())
def test_all_bytes_come_out_and_lines_do_not_depend_on_the_cut(keys: bytes, cut: int, tty: bool) -> None:
    whole, parts = TypedLines(tty), TypedLines(tty)
    at_once = whole.receive_input(keys)
    in_two = parts.receive_input(keys[:cut]) + parts.receive_input(keys[cut:])
    assert bytes_of(at_once) == bytes_of(in_two) == keys
    assert [p for p in at_once if isinstance(p, LineReady)] == [p for p in in_two if isinstance(p, LineReady)]


def test_an_echo_that_comes_after_the_end_of_its_line_is_recognised() -> None:
    typed = TypedLines(tty=True)
    typed.receive_output(b"$ ")
    *_, ready = typed.receive_input(b"echo hello\r")
    assert isinstance(ready, LineReady)
    assert not ready.is_echoed
    assert not typed.shows("echo hello")
    typed.receive_output(b"echo hello")
    assert typed.shows("echo hello")
    assert not typed.shows("  ")
