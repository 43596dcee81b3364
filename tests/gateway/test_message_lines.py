"""Lines from a pipe."""

import os
from contextlib import aclosing

import pytest

from gateway import message_lines
from gateway.message_lines import read_lines


async def test_lines_come_one_by_one_and_what_has_no_end_is_no_line() -> None:
    readable, writable = os.pipe()
    os.write(writable, b"one\ntwo\nthr")
    os.close(writable)
    async with aclosing(read_lines(readable)) as lines:
        assert [line async for line in lines] == [b"one", b"two"]
    os.close(readable)


async def test_a_line_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(message_lines, "MAX_LINE_BYTES", 8)
    readable, writable = os.pipe()
    os.write(writable, b"x" * 9)
    async with aclosing(read_lines(readable)) as lines:
        with pytest.raises(AssertionError, match="without end"):
            await anext(lines)
    os.close(readable)
    os.close(writable)
