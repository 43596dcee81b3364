"""What is known of one grant: its request, the votes that count, its absolute beginning and end.

A fold of entries, asked with a time. The end is fixed by the vote that completes the quorum and is stored with it:
neither a new connection nor a restart nor a clock that is set back makes a grant longer.
"""

import msgspec

from gateway.policy.model import ActiveGrant
from gateway.state import ballot
from gateway.state.entries import GrantRequested, GrantVoted, Revoked
from gateway.state.hold_state import NS_PER_S


class GrantState(msgspec.Struct, frozen=True):
    """votes: one a person, in the order in which they were stored."""

    request: GrantRequested
    votes: tuple[GrantVoted, ...] = ()
    revoked: Revoked | None = None

    @property
    def id(self) -> str:
        return self.request.id

    def state(self, now_ns: int) -> str:
        """ "pending", "active", "ended", "denied", "revoked", or "expired" when nobody decided in time."""
        if self._denial is not None:
            return "denied"
        if self.revoked is not None:
            return "revoked"
        if self._deciding is not None:
            return "active" if now_ns < self.ends_ns else "ended"
        return "pending" if now_ns < self.request.expires_ns else "expired"

    def active(self, now_ns: int) -> ActiveGrant | None:
        """What a decision is told of it; None unless it is in force."""
        if self.state(now_ns) != "active":
            return None
        return ActiveGrant(self.request.id, self.request.bundle, self.ends_ns)

    @property
    def begins_ns(self) -> int:
        """0 while it has not begun."""
        return self._deciding.at_ns if self._deciding is not None else 0

    @property
    def ends_ns(self) -> int:
        """0 while it has not begun. The shortest duration that was asked for or approved."""
        if self._deciding is None:
            return 0
        chosen = [vote.duration_s for vote in self._approvals if vote.duration_s > 0]
        return self.begins_ns + min([self.request.duration_s, *chosen]) * NS_PER_S

    @property
    def last_ns(self) -> int:
        """After this time nothing can happen on this grant any more."""
        return self.ends_ns or self.request.expires_ns

    @property
    def decided_by(self) -> str:
        """The people on whose word, "a" or "a, b"; "" while undecided."""
        return ", ".join(ballot.deciders(self.votes, self.request.quorum))

    @property
    def note(self) -> str:
        """What they wrote, or why it was revoked."""
        if self._denial is not None:
            return self._denial.note
        if self.revoked is not None:
            return self.revoked.reason
        return "; ".join(vote.note for vote in self._approvals if vote.note)

    @property
    def _approvals(self) -> tuple[GrantVoted, ...]:
        return ballot.approvals(self.votes)

    @property
    def _denial(self) -> GrantVoted | None:
        return ballot.denial(self.votes)

    @property
    def _deciding(self) -> GrantVoted | None:
        return ballot.deciding(self.votes, self.request.quorum)
