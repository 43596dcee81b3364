"""The table: per attack, the defence that stops it and the build that lacks it."""

from typing import Final

from tests.bypass import (
    weakened_limits,
    weakened_policy,
    weakened_record,
    weakened_requests,
    weakened_streams,
)
from tests.bypass.weakening import Weakening

WEAKENINGS: Final[tuple[Weakening, ...]] = (
    *weakened_requests.WEAKENINGS,
    *weakened_streams.WEAKENINGS,
    *weakened_limits.WEAKENINGS,
    *weakened_record.WEAKENINGS,
    *weakened_policy.WEAKENINGS,
)

PENDING: Final[dict[str, str]] = {}
"""Numbers whose defence is not built yet, and why."""
