"""How to die at a named point: a function of the product to die before, after, or in the middle of.

`points` has the table, `instrumented` arms one of it in the program, `kill_at_points` is the rig. Dying is `os._exit(137)`: no clean-up, no buffer is flushed, as if the kernel had killed the process there. At a
point in the keeper the gateway is killed first, so that both end at once. A point that is not reached is a failure
of the test: the product has changed under it.
"""

import importlib
import inspect
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

EXIT_CODE: Final = 137
Condition = Callable[[tuple[Any, ...]], bool]


def always(_: tuple[Any, ...]) -> bool:
    return True


@dataclass(frozen=True)
class Point:
    """where: "module:function" or "module:Class.method", as the caller finds it. when: before, after, or half: the
    first half of the bytes among its arguments is handed on. most: the n-th call is chosen up to this. of: which
    calls count. behind: the point to die at in the life before. in_drain: reached after SIGTERM only."""

    name: str
    moment: str
    where: str
    when: str = "after"
    most: int = 1
    of: Condition = always
    behind: str = ""
    in_drain: bool = False
    in_keeper: bool = False


def arm(name: str, nth: int, mark: Path, *, is_keeper: bool) -> None:
    """Wrap the function of a point: the nth call of it that counts is the last thing this process does.

    mark: written at that moment, with the time in it. Raises AttributeError when the product has no such function.
    """
    from tests.crash.points import by_name  # the table needs `Point`

    point = by_name(name)
    if point.in_keeper is not is_keeper:
        return
    module_name, _, path = point.where.partition(":")
    owner: Any = importlib.import_module(module_name)
    *classes, function_name = path.split(".")
    for class_name in classes:
        owner = getattr(owner, class_name)
    setattr(owner, function_name, _deadly(getattr(owner, function_name), point, nth, mark))


def _deadly(function: Callable[..., Any], point: Point, nth: int, mark: Path) -> Callable[..., Any]:
    left = [nth]

    def is_due(arguments: tuple[Any, ...]) -> bool:
        left[0] -= point.of(arguments)
        return left[0] == 0 and point.of(arguments)

    def before(arguments: tuple[Any, ...]) -> bool:
        """Whether to die after the call; dies here if it is to be before it or in its middle."""
        if not is_due(arguments):
            return False
        if point.when == "half":
            function(*map(_half, arguments))
        if point.when != "after":
            _die(point, mark)
        return True

    def wrapped(*arguments: Any, **options: Any) -> Any:
        is_last = before(arguments)
        result = function(*arguments, **options)
        if is_last:
            _die(point, mark)
        return result

    async def wrapped_async(*arguments: Any, **options: Any) -> Any:
        is_last = before(arguments)
        result = await function(*arguments, **options)
        if is_last:
            _die(point, mark)
        return result

    return wrapped_async if inspect.iscoroutinefunction(function) else wrapped


def _half(argument: Any) -> Any:
    if isinstance(argument, list):
        return [_half(b"".join(argument))]
    return argument[: len(argument) // 2] if isinstance(argument, bytes) else argument


def _die(point: Point, mark: Path) -> None:
    fd = os.open(mark, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.write(fd, b"%d" % time.time_ns())
    if point.in_keeper:
        os.kill(os.getppid(), signal.SIGKILL)
    os._exit(EXIT_CODE)
