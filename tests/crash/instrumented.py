"""The product as it is, with an instrument in its hand: `python -m tests.crash.instrumented serve ...`.

The product has no hooks. This wraps some of its functions before it starts, as the environment says, in the gateway
and in its keeper process, which is started through here too:

    CRASH_POINT, CRASH_NTH, CRASH_MARK   die at a point of `failpoints.POINTS`, the n-th time it is reached
    CRASH_NOTES                          directory: note every file operation there (tests/kit/write_log.py)
    CRASH_CLOCK                          file: what the wall clock is ahead, seconds; read at every look at the clock
    CRASH_PACE                           how many seconds the wall clock does in one
    CRASH_SET                            "module:NAME=number", separated by spaces: constants of the product

The trap: a default argument binds when its module is imported, so the clock is bent before anything else is.
"""

import importlib
import os
import runpy
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

NS: Final = 10**9
KEEPER: Final = "gateway.keeper_process"
THIS: Final = "tests.crash.instrumented"


def bend_clock(path: Path, pace: float) -> None:
    """Wall clock of this process = the real one, `pace` times as fast since now, plus what the file says."""
    real_ns = time.time_ns
    began_ns = real_ns()
    fd = os.open(path, os.O_RDONLY)

    def now_ns() -> int:
        real = real_ns()
        return real + int((pace - 1) * (real - began_ns)) + int(float(os.pread(fd, 64, 0)) * NS)

    time.time_ns = now_ns
    time.time = lambda: now_ns() / NS


def start_keeper_through_here() -> None:
    """The gateway starts its keeper as `python -m gateway.keeper_process`: the same, with the instrument."""
    import trio

    real: Callable[..., Any] = trio.lowlevel.open_process

    async def open_process(command: list[str], **options: Any) -> Any:
        if command[-1] == KEEPER:
            command = [*command[:-1], THIS, "keeper"]
        return await real(command, **options)

    trio.lowlevel.open_process = open_process  # type: ignore[assignment]


def main() -> None:
    is_keeper = sys.argv[1] == "keeper"
    if clock := os.environ.get("CRASH_CLOCK"):
        bend_clock(Path(clock), float(os.environ.get("CRASH_PACE", "1")))
    if notes := os.environ.get("CRASH_NOTES"):
        from tests.kit.write_log import install

        install(Path(notes))
    if point := os.environ.get("CRASH_POINT"):
        from tests.crash.failpoints import arm

        arm(point, int(os.environ["CRASH_NTH"]), Path(os.environ["CRASH_MARK"]), is_keeper=is_keeper)
    for setting in os.environ.get("CRASH_SET", "").split():
        where, _, number = setting.partition("=")
        module, _, name = where.partition(":")
        setattr(importlib.import_module(module), name, float(number))
    if is_keeper:
        sys.argv = [KEEPER]
        runpy.run_module(KEEPER, run_name="__main__")
        return
    start_keeper_through_here()
    from gateway.cli import main as kubetape

    kubetape()


if __name__ == "__main__":
    main()
