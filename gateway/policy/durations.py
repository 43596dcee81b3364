"""Durations as Go writes them: 90s, 5m, 1h30m."""

import re
from typing import Final

_PART: Final = re.compile(r"([0-9]+)(h|m|s)")
_SECONDS: Final = {"h": 3600, "m": 60, "s": 1}


def parse_duration_s(text: str) -> int:
    """text: of the form the syntax demands. In whole seconds."""
    return sum(int(amount) * _SECONDS[unit] for amount, unit in _PART.findall(text))
