"""A body that streams upstream, as the record may hold it: with what detectors find hidden, whatever way it was cut.

Only bodies nobody has to understand stream: without a policy, or below `proxy`. What may still become a secret waits
for its rest before it is recorded; the last bytes go upstream only when all of it is.
"""

from gateway.policy.masking.masker import Masker
from gateway.tape import Tape


class BodyRecord:
    """One body, piece by piece."""

    def __init__(self, tape: Tape, masker: Masker) -> None:
        self._tape = tape
        self._mask = masker.stream(tty=False)

    def add(self, data: bytes, *, urgent: bool = False) -> None:
        """These bytes are about to go upstream."""
        shown = data if self._mask is None else self._mask.feed(data)
        if shown:
            self._tape.request_body(shown, urgent=urgent)

    def end(self) -> None:
        """That was all."""
        if self._mask is None:
            return
        if rest := self._mask.flush():
            self._tape.request_body(rest)
        self._tape.masked("request", self._mask.counts)
