"""The cursor's line of a terminal."""

import pytest

from gateway.policy.screen_line import ScreenLine


@pytest.mark.parametrize(
    ("output", "line"),
    [
        (b"one\r\n$ ls", "$ ls"),
        (b"$ lx\x08s", "$ ls"),
        (b"$ lx\x08\x1b[Ks", "$ ls"),
        (b"$ rm -rX\x08\x1b[Jf /", "$ rm -rf /"),
        (b"$ lx\x1b[2Js", "s"),
        (b"10%\r20%", "20%"),
        (b"\x1b[1m$\x1b[0m \x07ls", "$ ls"),
        (b"ab\x1b[2Dc", "cb"),
        (b"ab\x1b[D\x1b[Cc", "abc"),
        (b"abc\x1b[2Gx", "axc"),
        (b"abc\r\x1b[2P", "c"),
        (b"abc\x1b[1Kd", "abcd"),
        (b"eco\x1b[2D\x1b[C\x1b[1@h", "echo"),
        (b"abc\x1b[Hd", "d"),
        (b"a\x1b]0;title\x07b", "ab"),
        ("\u00e9\u00e8".encode(), "\u00e9\u00e8"),
        (b"a\x1b[" + b"1" * 1100 + b"m", "a[" + "1" * 1100 + "m"),
    ],
)
def test_the_line_is_what_a_person_sees(output: bytes, line: str) -> None:
    whole, bytewise = ScreenLine(), ScreenLine()
    whole.receive(output)
    for at in range(len(output)):
        bytewise.receive(output[at : at + 1])
    assert whole.text == line
    assert bytewise.text == line
