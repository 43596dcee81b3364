"""Weaken the product: take one branch out of one function, while a test runs.

The source of the function is edited and compiled again, and its code replaced in place: whoever imported it runs
the weak one. An edit that no longer fits the source is an error: the table has to follow the product.
"""

import __future__

import inspect
import textwrap
from collections.abc import Callable
from functools import cached_property
from types import CodeType, FunctionType
from typing import Any

import pytest

Weaken = Callable[[pytest.MonkeyPatch], None]


def edit(function: Any, old: str, new: str) -> Weaken:
    """The function with `old`, found exactly once in its source, replaced. A property or a wrapped one too."""

    def apply(patch: pytest.MonkeyPatch) -> None:
        plain = inspect.unwrap(_behind(function))
        assert isinstance(plain, FunctionType)
        source = textwrap.dedent(inspect.getsource(plain))
        assert source.count(old) == 1, f"{plain.__qualname__} no longer has, once: {old}"
        patch.setattr(plain, "__code__", _compile(source.replace(old, new), plain))

    return apply


def _behind(function: Any) -> Any:
    if isinstance(function, cached_property):
        return function.func
    return function.fget if isinstance(function, property) else function


def swap(owner: Any, name: str, value: object) -> Weaken:
    """A constant or function replaced where it is looked up."""
    return lambda patch: patch.setattr(owner, name, value)


def both(*parts: Weaken) -> Weaken:
    """A defence of several layers is weak only without all of them."""

    def apply(patch: pytest.MonkeyPatch) -> None:
        for part in parts:
            part(patch)

    return apply


def _compile(source: str, function: FunctionType) -> CodeType:
    flags = __future__.annotations.compiler_flag
    module = compile(source, f"<weakened {function.__qualname__}>", "exec", flags=flags, dont_inherit=True)
    found = [c for c in module.co_consts if isinstance(c, CodeType) and c.co_name == function.__name__]
    assert len(found) == 1, f"{function.__qualname__} cannot be weakened: it is not one plain function"
    assert found[0].co_freevars == function.__code__.co_freevars
    return found[0]
