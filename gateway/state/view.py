"""Entries -> what is in force. Pure: no store, no clock; the decision path asks this and nothing else.

`apply` folds one entry, in the order of the store. Everything is tolerant of repetition and of what it does not know:
an entry that was copied, or whose beginning is missing, never gives anybody more than the entries themselves do.
Ends are fields, so nothing has to run for a grant to end; `forget` only keeps the memory small.

Not its business: signatures (`signing`), freshness (`follower`), who may vote now (`voting.check_vote`).
"""

from typing import Final, TypeAlias, TypeVar

import msgspec

from gateway.policy.model import ActiveGrant
from gateway.state.entries import (
    AnyEntry,
    BudgetRaised,
    BudgetSpent,
    GrantRequested,
    GrantVoted,
    HoldClosed,
    HoldRequested,
    HoldUsed,
    HoldVoted,
    Reinstated,
    Revoked,
)
from gateway.state.grant_state import GrantState
from gateway.state.hold_state import NS_PER_S, HoldState
from gateway.state.ledgers import Budget, Ledgers
from gateway.state.revocations import Revocations
from gateway.state.voting import may_vote, person

T = TypeVar("T")
UserKey: TypeAlias = tuple[str, str]
"""(user, issuer)"""

SHOWN_AFTER_END_NS: Final = 3600 * NS_PER_S
"""How long what is over can still be listed: long enough to look up why a call was denied."""
RANDOM_PART: Final = 10
"""Where the random part of a ULID begins; before it stands the time, which many ids share."""


class View:
    """What is in force, as far as the applied entries say."""

    def __init__(self) -> None:
        self.seq = 0
        self._holds: dict[str, HoldState] = {}
        self._grants: dict[str, GrantState] = {}
        self._holds_of: dict[UserKey, dict[str, None]] = {}
        self._granted: dict[
            UserKey, dict[str, ActiveGrant]
        ] = {}  # ready for the decision path; ends are in it
        self._revocations = Revocations()
        self._ledgers = Ledgers()

    def apply(self, seq: int, entry: AnyEntry) -> None:
        """Fold one entry. seq: of the store; the highest one applied is `self.seq`."""
        self.seq = max(self.seq, seq)
        match entry:
            case HoldRequested():
                self._request_hold(entry)
            case HoldVoted() | HoldUsed() | HoldClosed():
                self._change_hold(entry)
            case GrantRequested():
                self._request_grant(entry)
            case GrantVoted():
                self._vote_grant(entry)
            case Revoked():
                self._revoke(entry)
            case Reinstated():
                self._revocations.lift(entry.id)
            case BudgetSpent():
                self._ledgers.spend(entry)
            case BudgetRaised():
                self._ledgers.raise_limit(entry)

    # --- holds ------------------------------------------------------------------------------------

    def hold(self, hold_id: str) -> HoldState | None:
        return self._holds.get(hold_id)

    def find(self, prefix: str) -> HoldState | None:
        """The one hold whose id, or the random part of it, begins like this; None when none or several do."""
        found = [hold for hold_id, hold in self._holds.items() if _begins(hold_id, prefix)]
        return found[0] if len(found) == 1 else None

    def holds(self, now_ns: int) -> list[HoldState]:
        """All that is remembered, the oldest first; what ended over an hour ago is left out."""
        return [
            self._holds[hold_id]
            for hold_id in sorted(self._holds)
            if self._holds[hold_id].ends_ns + SHOWN_AFTER_END_NS > now_ns
        ]

    def hold_for(self, user_key: UserKey, digest: str, command: str, now_ns: int) -> HoldState | None:
        """The hold that this call joins: one that lets it go ahead now, else one that waits; None: it needs its own.

        Only of the same requester, and only for the same request, or the same command where its rule permits that.
        """
        pending = None
        for hold_id in self._holds_of.get(user_key, ()):
            hold = self._holds[hold_id]
            if hold.covers(digest, command, now_ns):
                return hold
            if hold.joins(digest, command) and hold.state(now_ns) == "pending":
                pending = pending or hold
        return pending

    # --- grants -----------------------------------------------------------------------------------

    def grant(self, grant_id: str) -> GrantState | None:
        return self._grants.get(grant_id)

    def find_grant(self, prefix: str) -> GrantState | None:
        """Like `find`, among grants."""
        found = [grant for grant_id, grant in self._grants.items() if _begins(grant_id, prefix)]
        return found[0] if len(found) == 1 else None

    def grants(self, now_ns: int) -> list[GrantState]:
        """All that is remembered, the oldest first; what ended over an hour ago is left out."""
        return [
            self._grants[grant_id]
            for grant_id in sorted(self._grants)
            if self._grants[grant_id].last_ns + SHOWN_AFTER_END_NS > now_ns
        ]

    @property
    def has_grants(self) -> bool:
        """Whether `grants_of` can find anything for anybody; every call of a policy asks."""
        return bool(self._granted)

    def grants_of(self, user: str, issuer: str, now_ns: int) -> tuple[ActiveGrant, ...]:
        """What this person holds now. issuer: that of the principal; another issuer's namesake has none of it."""
        granted = self._granted.get((user, issuer))
        if not granted:
            return ()
        return tuple(grant for grant in granted.values() if now_ns < grant.expires_ns)

    # --- the rest ---------------------------------------------------------------------------------

    @property
    def has_revocations(self) -> bool:
        """Whether `revocation_of` can find anything: mostly nothing is revoked, and every call asks."""
        return bool(self._revocations)

    def revocation_of(
        self, user: str, issuer: str, credential_id: str, session: str, grants: tuple[str, ...], now_ns: int
    ) -> Revoked | None:
        """What ends this principal's access now, or one of these grants (ids). A user is revoked at every issuer."""
        del issuer  # a name that was revoked stays revoked, wherever it comes from
        subjects = [("user", user), ("credential", credential_id), ("session", session)]
        subjects += [("grant", grant_id) for grant_id in grants]
        return self._revocations.first_of(subjects, now_ns)

    def revocations(self, now_ns: int) -> list[Revoked]:
        """All in force, the oldest first."""
        return self._revocations.in_force(now_ns)

    def budget(self, subject: str, counter: str) -> Budget:
        """What a session or grant has used so far."""
        return self._ledgers.budget(subject, counter)

    def forget(self, now_ns: int) -> None:
        """Drop what can matter to nobody any more."""
        self._revocations.forget(now_ns)
        self._ledgers.forget(now_ns)
        for hold in [h for h in self._holds.values() if h.ends_ns + SHOWN_AFTER_END_NS <= now_ns]:
            del self._holds[hold.id]
            _unlist(self._holds_of, _key(hold.request), hold.id)
        for grant in [g for g in self._grants.values() if g.last_ns + SHOWN_AFTER_END_NS <= now_ns]:
            del self._grants[grant.id]
            _unlist(self._granted, _key(grant.request), grant.id)

    # --- folding ----------------------------------------------------------------------------------

    def _request_hold(self, entry: HoldRequested) -> None:
        if entry.id not in self._holds:
            self._holds[entry.id] = HoldState(entry)
            self._holds_of.setdefault(_key(entry), {})[entry.id] = None

    def _change_hold(self, entry: HoldVoted | HoldUsed | HoldClosed) -> None:
        hold = self._holds.get(entry.id)
        if hold is None:
            return
        match entry:
            case HoldVoted():
                if _counts(hold, entry):
                    self._holds[entry.id] = msgspec.structs.replace(hold, votes=(*hold.votes, entry))
            case HoldUsed():
                if entry.digest not in hold.uses:
                    self._holds[entry.id] = msgspec.structs.replace(hold, uses=(*hold.uses, entry.digest))
            case HoldClosed():
                self._holds[entry.id] = msgspec.structs.replace(hold, closed=hold.closed or entry.why)

    def _request_grant(self, entry: GrantRequested) -> None:
        if entry.id not in self._grants:
            self._grants[entry.id] = GrantState(entry)

    def _vote_grant(self, entry: GrantVoted) -> None:
        grant = self._grants.get(entry.id)
        if grant is not None and _counts(grant, entry):
            self._put_grant(msgspec.structs.replace(grant, votes=(*grant.votes, entry)))

    def _put_grant(self, grant: GrantState) -> None:
        self._grants[grant.id] = grant
        active = grant.active(grant.begins_ns)
        if active is not None:
            self._granted.setdefault(_key(grant.request), {})[grant.id] = active
        else:
            _unlist(self._granted, _key(grant.request), grant.id)

    def _revoke(self, entry: Revoked) -> None:
        self._revocations.add(entry)
        hold, grant = self._holds.get(entry.subject), self._grants.get(entry.subject)
        if entry.subject_kind == "hold" and hold is not None:
            closed = hold.closed or entry.reason or "revoked"
            self._holds[hold.id] = msgspec.structs.replace(hold, closed=closed)
        if entry.subject_kind == "grant" and grant is not None:
            self._put_grant(msgspec.structs.replace(grant, revoked=grant.revoked or entry))


def _key(request: HoldRequested | GrantRequested) -> UserKey:
    return request.requester.user, request.requester.issuer


def _counts(asked: HoldState | GrantState, vote: HoldVoted | GrantVoted) -> bool:
    """Whether a stored vote counts: entitled, in time, the first of this person."""
    if vote.at_ns >= asked.request.expires_ns or may_vote(asked.request, vote.by):
        return False
    return all(person(other.by.user) != person(vote.by.user) for other in asked.votes)


def _begins(entry_id: str, prefix: str) -> bool:
    typed = prefix.upper()
    return bool(typed) and (entry_id.startswith(typed) or entry_id[RANDOM_PART:].startswith(typed))


def _unlist(index: dict[UserKey, dict[str, T]], key: UserKey, entry_id: str) -> None:
    listed = index.get(key, {})
    listed.pop(entry_id, None)
    if not listed:
        index.pop(key, None)
