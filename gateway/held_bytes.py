"""How long bytes that masking holds back may still wait. The time runs from the first of them, not from the last: a
program that draws a progress bar without ever ending its line must not be held for ever."""

import trio

from gateway.policy.masking.stream import StreamMask


class HeldBytes:
    """The clock of one stream's mask."""

    def __init__(self, mask: StreamMask) -> None:
        self.mask = mask
        self._since_s: float | None = None

    def wait_s(self) -> float | None:
        """Seconds until `StreamMask.flush_idle` is due; None: nothing waits that may be let go."""
        if not self.mask.pending:
            self._since_s = None
            return None
        now_s = trio.current_time()
        if self._since_s is None:
            self._since_s = now_s
        return max(0.0, self._since_s + self.mask.hold_s - now_s)
