"""Go durations, `1h30m`, `250ms`: how Kubernetes, its clients and our files write a time span.

Source: Go time.ParseDuration.
"""

import re
from typing import Final

_UNITS_S: Final = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART: Final = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(ns|us|ms|s|m|h)", re.ASCII)
_WHOLE: Final = re.compile(rf"(?:{_PART.pattern})+", re.ASCII)


def parse_duration_s(text: str) -> float | None:
    """Seconds; None for what is no duration of at least zero."""
    if text == "0":
        return 0.0
    if len(text) > 64 or not _WHOLE.fullmatch(text):
        return None
    return sum(float(number) * _UNITS_S[unit] for number, unit in _PART.findall(text))
