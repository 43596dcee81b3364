"""Calls read before, by the exact bytes of their request line: clients ask for the same again and again.

Reading is a pure function, so what is remembered cannot be wrong, whoever asks. Not remembered is what may carry a
secret (command lines, what goes to a backend behind `proxy`), what is long, and what is refused.
"""

from typing import Final

from protocol.apicall import Call, parse_call

MAX_KNOWN_CALLS: Final = 1024
MAX_KNOWN_TARGET_BYTES: Final = 512
"""Together half a megabyte of targets, and as much again for what they mean."""


class KnownCalls:
    """The memory of one worker."""

    def __init__(self) -> None:
        self._known: dict[tuple[bytes, bytes], Call] = {}

    def __len__(self) -> int:
        return len(self._known)

    def read(self, method: bytes, target: bytes) -> Call:
        """As `parse_call`, and the same object where it is known. Raises RefusedTarget."""
        known = self._known.get((method, target))
        if known is not None:
            return known
        call = parse_call(method, target)
        if len(target) <= MAX_KNOWN_TARGET_BYTES and not call.is_connect:
            if len(self._known) >= MAX_KNOWN_CALLS:
                del self._known[next(iter(self._known))]  # the oldest: it comes back if it is wanted
            self._known[method, target] = call
        return call
