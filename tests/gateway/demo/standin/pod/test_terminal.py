import pytest

from gateway.demo.standin.pod.terminal import MAX_TYPED_BYTES, Terminal, Typed


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (b"ls\r", Typed(b"ls\r\n", (b"ls\n",), False)),
        (b"ab\x7fc\n", Typed(b"ab\b \bc\r\n", (b"ac\n",), False)),
        (b"\x7f\r", Typed(b"\r\n", (b"\n",), False)),
        (b"abc\x15d\r", Typed(b"abc" + b"\b \b" * 3 + b"d\r\n", (b"d\n",), False)),
        (b"abc\x03", Typed(b"abc^C\r\n", (), True)),
        (b"\x04", Typed(b"", (b"",), False)),
        (b"a\x04", Typed(b"a", (b"a",), False)),
        (b"a\x01b\r", Typed(b"a^Ab\r\n", (b"a\x01b\n",), False)),
        ("ü\r".encode(), Typed("ü\r\n".encode(), ("ü\n".encode(),), False)),
    ],
)
def test_typing_becomes_lines_and_echo(typed: bytes, expected: Typed) -> None:
    assert Terminal().type(typed) == expected


def test_a_line_may_come_in_pieces() -> None:
    terminal = Terminal()
    assert terminal.type(b"l").lines == ()
    assert terminal.type(b"s\r").lines == (b"ls\n",)


def test_without_echo_nothing_is_shown() -> None:
    terminal = Terminal()
    terminal.echoes = False
    assert terminal.type(b"secret\r") == Typed(b"", (b"secret\n",), False)


def test_a_line_has_a_limit() -> None:
    assert Terminal().type(b"x" * 10_000 + b"\r").lines == (b"x" * MAX_TYPED_BYTES + b"\n",)


def test_what_is_written_gets_carriage_returns() -> None:
    assert Terminal().show(b"a\nb\n") == b"a\r\nb\r\n"
