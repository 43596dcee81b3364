"""Who may see, decide, ask for and revoke what. Pure; the one place that says so, for lists, single views and watches.

    requester    sees his own holds and grants, may withdraw them; never decides them, not even as an admin
    approver     sees what he may decide, which is what the policy says at the time of the request
    admin        sees everything, revokes and reinstates; decides only where he is an approver

The trap: a name is one person only together with its issuer. Whose something is needs both to be equal; whether two
people are distinct voters needs the names to differ (`gateway.state.voting`). Both err on the side of no.
"""

import re
from typing import Final

import msgspec

from gateway.console.settings import Admins
from gateway.policy import hints
from gateway.policy.model import GrantTerms
from gateway.principal import Principal
from gateway.state.entries import GrantRequested, HoldRequested, Requester, Revoked, Voter
from gateway.state.voting import may_vote

LIFTABLE: Final = ("user", "credential", "session")
"""A grant or hold that was revoked stays over: a new one is asked for."""

ULID: Final = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}")


class Person(msgspec.Struct, frozen=True):
    """Who asks. session: the open one of this credential on the data port, "" if there is none."""

    principal: Principal
    session: str = ""
    is_admin: bool = False

    @property
    def user(self) -> str:
        return self.principal.user

    @property
    def voter(self) -> Voter:
        return Voter(self.principal.user, self.principal.groups, self.principal.issuer)


def is_admin(principal: Principal, admins: Admins) -> bool:
    return principal.user in admins.users or not set(principal.groups).isdisjoint(admins.groups)


def is_own(person: Person, requester: Requester) -> bool:
    return (person.principal.user, person.principal.issuer) == (requester.user, requester.issuer)


def may_see(person: Person, request: HoldRequested | GrantRequested) -> bool:
    """Whether this hold or grant exists for this person; for others it does not (404)."""
    return person.is_admin or is_own(person, request.requester) or not may_vote(request, person.voter)


def may_request(person: Person, terms: GrantTerms) -> bool:
    """Whether this bundle exists for this person."""
    return hints.may_request(terms, person.principal)


def may_revoke(person: Person, kind: str, subject: str, owner: Requester | None = None) -> bool:
    """An admin anything; anybody his own. owner: who asked for it, of a grant or hold."""
    if person.is_admin:
        return True
    own = {"credential": person.principal.credential_id, "session": person.session}
    return (owner is not None and is_own(person, owner)) or (bool(subject) and own.get(kind) == subject)


def may_see_revocation(person: Person, revoked: Revoked) -> bool:
    own = {
        "user": person.principal.user,
        "credential": person.principal.credential_id,
        "session": person.session,
    }
    return person.is_admin or (bool(revoked.subject) and own.get(revoked.subject_kind) == revoked.subject)


def bad_subject(kind: str, subject: str) -> str:
    """ "" when this may name something of the kind, else what would. Of a user only the form can be checked."""
    if kind == "credential" and not re.fullmatch(r"[0-9a-f]{32}", subject):
        return "a credential is named by its id, 32 hex digits, never by the token itself"
    if kind in ("session", "grant", "hold") and not ULID.fullmatch(subject):
        return f"a {kind} is named by its whole id: 26 letters and digits"
    if not 0 < len(subject) <= 512 or not subject.isprintable():
        return "a user is named as in the record, in one line"
    return ""
