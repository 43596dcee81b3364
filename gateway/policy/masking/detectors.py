"""Finds secrets in a text and replaces them: the built-in detectors and the patterns of a policy file.

All patterns run in RE2, which is linear in the text whatever the pattern says; Python's `re` never sees one of a
policy. Bytes are taken as Latin-1, so no text is undecodable and an offset is an offset. A text without hits costs one
pass of one automaton, all patterns in one; only in lines where it stops, a set says which detectors look again.

The trap: a detector is a guess about text. What must not be seen is named by a path; detectors are the second net.
Source: RE2 syntax and RE2::Set; the Python wrapper google-re2.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

import re2

from gateway.policy.masking.secret_patterns import PATTERNS, Pattern, Spans
from gateway.policy.model import CustomDetector

MAX_PATTERN_BYTES: Final = 1024
"""Longest custom pattern: above the longest in public rule sets, and far from what makes an automaton large."""

MAX_MEMORY_BYTES: Final = 32 * 1024 * 1024
"""What the set may use for its automaton before RE2 falls back to a slower one."""

NAMES: Final = tuple(pattern.name for pattern in PATTERNS)
"""The built-in detectors."""

ALWAYS_AT_THE_END: Final = rb"\z"
"""Matches every text: an answer of a set without it means that RE2 ran out of memory, and then every detector looks. At
the end only: a pattern that matched everywhere would make the set half as fast."""

_BUILT_IN: Final = {pattern.name: pattern for pattern in PATTERNS}

Placeholder = Callable[[str], bytes]
"""From a detector's name to what stands in the place of its hits."""


Hit = tuple[int, int, str]
"""(start, end, name of the detector)."""


class _Detector:
    """One compiled pattern and what of its matches is hidden."""

    def __init__(self, name: str, pattern: Pattern, group: int | None) -> None:
        self.name, self.pattern = name, pattern.pattern
        self._expression = re2.compile(pattern.pattern, _options())
        self._groups = (group,) if group is not None else (*range(1, self._expression.groups + 1), 0)
        self._check = pattern.check
        self.is_one_line = pattern.find is None
        self.spans: Spans = pattern.find or self._spans

    def _spans(self, text: bytes) -> Iterator[tuple[int, int]]:
        for match in self._expression.finditer(text):
            for group in self._groups:  # the first that took part is what is hidden
                start, end = match.span(group)
                if start >= 0:
                    break
            if start >= end:
                continue
            if self._check is None:
                yield start, end
            else:
                yield from self._check(text, start, end)


class DetectorSet:
    """Some detectors, ready to run. Immutable, may be shared.

    names: of built-in detectors or of `custom`, in the order in which they are named where two hit the same bytes.
    Raises ValueError with one line that says what to change.
    """

    def __init__(self, names: Sequence[str], custom: Sequence[CustomDetector] = ()) -> None:
        own = {detector.name: detector for detector in custom}
        self._detectors = [_compiled(name, own) for name in dict.fromkeys(names)]
        self._set = re2.Set.SearchSet(_options(never_capture=True))
        for detector in self._detectors:
            self._set.Add(detector.pattern)
        self._sentinel = self._set.Add(ALWAYS_AT_THE_END)
        # [^\x00-\xff] matches nothing: there may be no detector
        any_of_them = b"|".join((*(b"(?:" + one.pattern + b")" for one in self._detectors), rb"[^\x00-\xff]"))
        try:
            self._set.Compile()
            self._any = re2.compile(any_of_them, _options(never_capture=True))
        except re2.error:
            raise ValueError("the patterns of all detectors together are too large: use fewer") from None
        self.names = tuple(detector.name for detector in self._detectors)

    def hits(self, text: bytes) -> list[Hit]:
        """What is hidden, in order, without overlaps."""
        found: list[tuple[int, int, int]] = []
        over_lines: set[int] = set()
        at = 0
        while at < len(text) and (match := self._any.search(text, at)) is not None:
            start, end = _line_around(text, match.start())
            for which in self._named_in(line := text[start:end]):
                detector = self._detectors[which]
                if detector.is_one_line:
                    found += ((start + first, start + last, which) for first, last in detector.spans(line))
                else:
                    over_lines.add(which)
            at = end + 1
        found += ((*span, which) for which in over_lines for span in self._detectors[which].spans(text))
        return [(start, end, self._detectors[which].name) for start, end, which in _merged(found)]

    def _named_in(self, line: bytes) -> Iterable[int]:
        """The detectors whose patterns match somewhere in a line."""
        named: list[int] = self._set.Match(line)
        return [which for which in named if which != self._sentinel] if named else range(self._sentinel)

    def mask(self, text: bytes, placeholder: Placeholder) -> tuple[bytes, Counter[str]]:
        """The text with every hit replaced, and how many hits there were by detector."""
        hits = self.hits(text)
        if not hits:
            return text, Counter()
        return replace_hits(text, hits, placeholder), Counter(name for _, _, name in hits)

    def finds(self, text: bytes) -> bool:
        """Whether anything would be hidden."""
        return bool(self.hits(text))


def replace_hits(text: bytes, hits: Iterable[Hit], placeholder: Placeholder) -> bytes:
    """The text with every hit replaced. hits: in order, without overlaps."""
    parts: list[bytes] = []
    at = 0
    for start, end, name in hits:
        parts += (text[at:start], placeholder(name))
        at = end
    return b"".join((*parts, text[at:]))


def _line_around(text: bytes, at: int) -> tuple[int, int]:
    """Where the line begins and ends, without its line end, that holds the byte `at`."""
    end = text.find(b"\n", at)
    return text.rfind(b"\n", 0, at) + 1, len(text) if end < 0 else end


def _merged(found: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """Overlapping hits become one, under the name of the earlier detector."""
    found.sort()
    merged: list[tuple[int, int, int]] = []
    for start, end, which in found:
        if merged and start < merged[-1][1]:
            first = merged.pop()
            start, end, which = first[0], max(first[1], end), min(first[2], which)
        merged.append((start, end, which))
    return merged


def _compiled(name: str, custom: dict[str, CustomDetector]) -> _Detector:
    if name in _BUILT_IN and name in custom:
        raise ValueError(f"detector {name!r} is built in: give yours another name")
    if name in _BUILT_IN:
        return _Detector(name, _BUILT_IN[name], None)
    if name not in custom:
        raise ValueError(f"no detector is called {name!r}; built in are: {', '.join(NAMES)}")
    check_pattern(custom[name])
    return _Detector(name, Pattern(name, _by_line(custom[name].pattern)), custom[name].group)


def check_pattern(detector: CustomDetector) -> None:
    """Raises ValueError with one line if a pattern of a policy file cannot be used."""
    name, pattern = detector.name, detector.pattern
    if len(pattern.encode()) > MAX_PATTERN_BYTES:
        raise ValueError(f"pattern of detector {name!r} is longer than {MAX_PATTERN_BYTES} bytes: split it")
    try:
        expression = re2.compile(pattern.encode(), _options())
    except re2.error as error:
        raise ValueError(f"pattern of detector {name!r} is not RE2: {_text(error)}") from None
    if expression.search(b"") is not None:
        raise ValueError(f"pattern of detector {name!r} matches the empty text: it would hide nothing")
    if _TEXT_ANCHOR.search(pattern.encode()) is not None:
        raise ValueError(f"pattern of detector {name!r} has \\A or \\z: lines are matched, use ^ or $")
    if not 0 <= detector.group <= expression.groups:
        raise ValueError(
            f"detector {name!r} hides group {detector.group}, but its pattern has {expression.groups}"
        )


def _by_line(pattern: str) -> bytes:
    """^ and $ of a policy's pattern are those of a line, so that it does not matter how a stream was cut."""
    return b"(?m:" + pattern.encode() + b")"


def _text(error: Exception) -> str:
    detail = error.args[0] if error.args else ""
    return detail.decode(errors="replace") if isinstance(detail, bytes) else str(detail)


def _options(*, never_capture: bool = False) -> re2.Options:
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.never_nl = True  # no pattern matches a line end, whatever it says
    options.never_capture = never_capture
    options.log_errors = False
    options.max_mem = MAX_MEMORY_BYTES
    return options


_TEXT_ANCHOR: Final = re2.compile(rb"(?:^|[^\\])(?:\\\\)*\\[Az]")
