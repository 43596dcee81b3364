"""What an outlet and its sink say to each other. Pure."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class Delivery(NamedTuple):
    """What became of a batch.

    taken: events from its front that are done with: delivered for good, or in `rejected`.
    rejected: indexes of those the receiver will never take. problem: why the rest is still to be
    delivered, "" if there is none. retry_after_s: how long the receiver asked for patience, 0 if it did not.
    """

    taken: int
    rejected: tuple[int, ...] = ()
    problem: str = ""
    retry_after_s: float = 0.0


class Sink(Protocol):
    """Where encoded events go. All of it blocks, for a bounded time; nothing of it raises."""

    def deliver(self, events: Sequence[bytes]) -> Delivery:
        """Hand over events in order. What is `taken` is the receiver's: it survives our power cut."""
        ...

    def close(self) -> None: ...
