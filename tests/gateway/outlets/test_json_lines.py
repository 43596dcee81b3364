"""One event, one line, and nothing in it that a terminal obeys."""

import json

import pytest

from gateway.outlets.json_lines import encode_line


@pytest.mark.parametrize(
    "hostile", ["\n", "\r\n", "\x1b[2J", "\x7f", "\x9b2J", "\u202e", "\u2028", "\ufeff", "\u2066"]
)
def test_what_acts_on_a_screen_is_escaped_and_means_the_same(hostile: str) -> None:
    line = encode_line({"agent": f"a{hostile}b"})
    assert line.isascii()
    assert line.decode().isprintable()
    assert json.loads(line) == {"agent": f"a{hostile}b"}


def test_letters_of_all_languages_stay_readable() -> None:
    assert encode_line(["Zoë 日本"]) == '["Zoë 日本"]'.encode()
