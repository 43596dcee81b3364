"""What must survive a power cut before the next step is taken. Pure.

Class 1: mutations, streams, secret reads, decisions. Class 2: other reads. (Chunks of running streams are
class 0: a bounded lag, see `Recorder.flow`.)
"""

from enum import Enum


class Durability(Enum):
    """How much waiting the operator buys.

    STRICT: every call is treated as class 1. BALANCED: as its class says.
    RELAXED: nothing waits; a power cut takes up to 250 ms of records, a crash of the process up to 50 ms.
    """

    STRICT = "strict"
    BALANCED = "balanced"
    RELAXED = "relaxed"

    def intent_before_forward(self, durability_class: int) -> bool:
        """Whether the Intent (and a small body) is durable before a byte goes upstream."""
        return self is Durability.STRICT or (self is Durability.BALANCED and durability_class == 1)

    def intent_before_answer(self) -> bool:
        """Whether the Intent is durable before the head of the answer goes down."""
        return self is not Durability.RELAXED

    def outcome_before_end(self, durability_class: int) -> bool:
        """Whether the Outcome is durable before the last byte goes down."""
        return self.intent_before_forward(durability_class)
