"""Counts what the event loop's thread does: Python calls, byte codes, builtins, system calls.

Two passes, since Python traces byte codes and profiles calls by different hooks. Only the thread that calls `resume`
is counted; the log's writer runs beside it. Not seen: what C code does inside one call (encryption, compression,
copies); `benchmarks.against` measures that. Frames of the counting itself and of Trio's calls to it are left out.
Source: sys.setprofile, sys.settrace; the figures differ between versions of Python, so a baseline belongs to one.
"""

import sys
from collections import Counter
from pathlib import Path
from types import CodeType, FrameType
from typing import Final

from trio._core import _instrumentation, _mock_clock

SYSTEM_CALLS: Final = frozenset(
    [
        *(
            f"socket.{name}"
            for name in ("recv", "recv_into", "recvmsg", "send", "sendmsg", "accept", "connect")
        ),
        *(f"socket.{name}" for name in ("shutdown", "setsockopt", "getpeername")),
        *(f"epoll.{name}" for name in ("poll", "register", "modify", "unregister")),
    ]
)
"""Builtins that enter the kernel each time; those of the module posix count too."""

_OWN_FILES: Final = frozenset(
    [
        str(_instrumentation.__file__),
        str(_mock_clock.__file__),
        *(str(path) for path in Path(__file__).parent.glob("*.py")),
    ]
)


class CallCount:
    """Python calls (a resumed coroutine counts as one) by function, and builtins by name."""

    def __init__(self) -> None:
        self.calls: Counter[CodeType] = Counter()
        self.builtins: Counter[str] = Counter()
        self.system_calls = 0

    def resume(self) -> None:
        sys.setprofile(self._count)

    def pause(self) -> None:
        sys.setprofile(None)

    def _count(self, frame: FrameType, event: str, argument: object) -> None:
        if frame.f_code.co_filename in _OWN_FILES:
            return
        if event == "call":
            self.calls[frame.f_code] += 1
        elif event == "c_call":
            name = getattr(argument, "__qualname__", "")
            self.builtins[name] += 1
            if name in SYSTEM_CALLS or getattr(argument, "__module__", "") == "posix":
                self.system_calls += 1


class BytecodeCount:
    """Byte codes executed."""

    def __init__(self) -> None:
        self.total = 0

    def resume(self) -> None:
        sys.settrace(self._enter)

    def pause(self) -> None:
        sys.settrace(None)

    def _enter(self, frame: FrameType, event: str, argument: object) -> object:
        if frame.f_code.co_filename in _OWN_FILES:
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return self._count

    def _count(self, frame: FrameType, event: str, argument: object) -> object:
        if event == "opcode":
            self.total += 1
        return self._count
