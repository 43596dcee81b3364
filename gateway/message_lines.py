"""Lines from a pipe, one message each: between the processes of one gateway. Conduct."""

import os
from collections.abc import AsyncGenerator

import trio

from gateway.keeper_messages import MAX_LINE_BYTES


async def lines_said(pipe: trio.abc.ReceiveStream) -> AsyncGenerator[list[bytes], None]:
    """What a child says until it closes its end: the lines of one read together. It may print what is no message; of a
    line without end only the last MAX_LINE_BYTES are kept."""
    buffer = b""
    async for chunk in pipe:
        *lines, buffer = (buffer + chunk).split(b"\n")
        buffer = buffer[-MAX_LINE_BYTES:]
        yield lines


async def read_lines(descriptor: int) -> AsyncGenerator[bytes, None]:
    """Until the other end is closed. The descriptor stays open, and becomes non-blocking."""
    buffer = b""
    async with trio.lowlevel.FdStream(os.dup(descriptor)) as stream:
        async for chunk in stream:
            *lines, buffer = (buffer + chunk).split(b"\n")
            if len(buffer) > MAX_LINE_BYTES:
                raise AssertionError("a line without end: this is not our gateway")
            for line in lines:
                yield line
