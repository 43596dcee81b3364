"""Lengths of time on the command line."""

import re

import click

from storage.query import parse_duration


class Span(click.ParamType):  # type: ignore[type-arg]  # generic only since click 8.3, and only in stubs
    """A length of time in microseconds: 90s, 1m30s, or a number of seconds; `none` if allowed."""

    name = "duration"

    def __init__(self, *, may_be_none: bool = False) -> None:
        self._may_be_none = may_be_none

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        text = str(value)
        if isinstance(value, int) or (text == "none" and self._may_be_none):
            return value if isinstance(value, int) else None
        if re.fullmatch(r"\d{1,9}(\.\d{1,6})?", text, re.ASCII):
            return int(float(text) * 1_000_000)
        span_ns = parse_duration(text)
        if span_ns is None:
            self.fail(f"{text!r} is no duration; write 90s, 1m30s or 12.5", param, ctx)
        return span_ns // 1000
