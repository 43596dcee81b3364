"""What is known of one hold: its request, the votes that count, what it was used for.

Decides nothing new: a fold of entries, asked with a time. The trap is the two ends of an approval. The request that
waits may go ahead until the hold's own expiry; further requests of the same command only for `for_s` after the vote
that decided. A denial counts even when it crossed an approval on its way: whoever says no is heard.
"""

from typing import Final

import msgspec

from gateway.state import ballot
from gateway.state.entries import HoldRequested, HoldVoted

NS_PER_S: Final = 1_000_000_000
MAX_COVER_S: Final = 3600
"""Longest time one approval covers further calls of its command, whatever a vote says: beyond it, ask for a grant."""


class HoldState(msgspec.Struct, frozen=True):
    """votes: one a person, in the order in which they were stored. uses: digests that went ahead. closed: why."""

    request: HoldRequested
    votes: tuple[HoldVoted, ...] = ()
    uses: tuple[str, ...] = ()
    closed: str = ""

    @property
    def id(self) -> str:
        return self.request.id

    def state(self, now_ns: int) -> str:
        """ "pending", "approved" (something may still go ahead), "denied", "expired", "used" or "closed"."""
        if self._denial is not None:
            return "denied"
        if self._deciding is not None and self.uses and not self._is_open(now_ns):
            return "used"
        if self.closed:
            return "closed"
        if self._deciding is not None:
            return "approved" if self._is_open(now_ns) else "expired"
        return "pending" if now_ns < self.request.expires_ns else "expired"

    def covers(self, digest: str, command: str, now_ns: int) -> bool:
        """Whether a request with this digest and command key may go ahead on this approval now."""
        if self.state(now_ns) != "approved" or digest in self.uses:
            return False
        if digest == self.request.digest:
            return now_ns < self.request.expires_ns
        return command == self.request.command and now_ns < self.covers_until_ns

    def joins(self, digest: str, command: str) -> bool:
        """Whether a request with this digest and command key would be decided together with this one."""
        if digest == self.request.digest:
            return True
        return self.request.scope == "command" and bool(command) and command == self.request.command

    @property
    def scope(self) -> str:
        """The narrowest of what the rule permits and the approvers chose: "command" or "request"."""
        chosen = {self.request.scope, *(vote.scope for vote in self.votes if vote.approve)}
        return "command" if chosen == {"command"} and self.request.command else "request"

    @property
    def decided_ns(self) -> int:
        """When it was decided; 0: not yet."""
        vote = self._denial or self._deciding
        return vote.at_ns if vote is not None else 0

    @property
    def deciders(self) -> tuple[str, ...]:
        """The people on whose word; () while undecided."""
        return ballot.deciders(self.votes, self.request.quorum)

    @property
    def decided_by(self) -> str:
        """The same for people, "a" or "a, b"."""
        return ", ".join(self.deciders)

    @property
    def note(self) -> str:
        """What they wrote, or why it was closed."""
        if self._denial is not None:
            return self._denial.note
        return "; ".join(vote.note for vote in self._approvals if vote.note) or self.closed

    @property
    def covers_until_ns(self) -> int:
        """Until when further requests of the command may go ahead; 0: none may."""
        if self._deciding is None or self.scope != "command":
            return 0
        for_s = min(MAX_COVER_S, *(vote.for_s for vote in self._approvals))
        return self._deciding.at_ns + max(for_s, 0) * NS_PER_S

    @property
    def ends_ns(self) -> int:
        """After this time nothing can happen on this hold any more."""
        return max(self.request.expires_ns, self.covers_until_ns)

    def _is_open(self, now_ns: int) -> bool:
        if self.closed:
            return False
        own = self.request.digest not in self.uses and now_ns < self.request.expires_ns
        return own or now_ns < self.covers_until_ns

    @property
    def _approvals(self) -> tuple[HoldVoted, ...]:
        return ballot.approvals(self.votes)

    @property
    def _denial(self) -> HoldVoted | None:
        return ballot.denial(self.votes)

    @property
    def _deciding(self) -> HoldVoted | None:
        return ballot.deciding(self.votes, self.request.quorum)
