"""Sessions and grants that crossed a limit which freezes: cut at once, kept out everywhere.

Here within the same instant, everywhere else by a Revoked entry, which `gateway.revocations` obeys and which people
see and lift like any other. Lifting it and raising the budget imply each other, so that neither is done in vain. A
grant that is frozen has ended: a new one has a budget of its own.
"""

import secrets
from contextlib import suppress
from typing import Final

from gateway.budgets.ledger import BudgetState
from gateway.errors import FORBIDDEN
from gateway.live import Live
from gateway.policy.budget import Crossed
from gateway.sessions import make_session_id
from gateway.state.entries import AnyEntry, BudgetRaised, Reinstated, Revoked
from gateway.state.store import AlreadyClaimed

BY: Final = "kubetape"
"""Who revokes and reinstates when a budget does."""
MAX_FOLLOWED: Final = 10_000
"""Freezes whose lifting is waited for. One that is forgotten stays frozen; lifting it needs a raise as well."""


class _Freeze:
    """raised: what had been added to the limit when it was crossed."""

    def __init__(self, crossed: Crossed, revoked: Revoked) -> None:
        self.crossed, self.revoked = crossed, revoked
        self.raised = crossed.limit - crossed.terms.limit
        self.is_written = False


class Freezes:
    """Those of one worker."""

    def __init__(self, live: Live, state: BudgetState) -> None:
        self._live, self._state = live, state
        self._frozen: dict[str, _Freeze] = {}

    def of(self, *subjects: str) -> Crossed | None:
        """The limit that froze one of these sessions and grants, if any."""
        if not self._frozen:
            return None
        return next((self._frozen[subject].crossed for subject in subjects if subject in self._frozen), None)

    def begin(self, crossed: Crossed) -> None:
        """Cut everything of a session or grant, and have it kept out everywhere."""
        if crossed.subject in self._frozen:
            return
        kind = "grant" if crossed.terms.per == "grant" else "session"
        reason = f"{crossed.terms.rule}: {crossed.why}"
        now_ns = self._state.now_ns()
        identifier = make_session_id(now_ns, secrets.randbits(80))
        revoked = Revoked(now_ns, identifier, kind, crossed.subject, BY, reason)
        self._frozen[crossed.subject] = _Freeze(crossed, revoked)
        self._forget_oldest()
        self._live.cut_where(
            lambda one: one.session == crossed.subject or crossed.subject in {g.id for g in one.grants},
            f"frozen by kubetape policy {reason}",
            FORBIDDEN,
        )

    async def write(self) -> None:
        """Tell the shared state, and follow what people decide. Raises StateError, LogFailed; call it again then."""
        for subject, freeze in tuple(self._frozen.items()):
            if not freeze.is_written:
                await self._say(freeze.revoked)
                freeze.is_written = True
            elif freeze.revoked.subject_kind == "grant" or await self._is_over(freeze):
                self._frozen.pop(subject, None)

    def _forget_oldest(self) -> None:
        """Only one the shared state knows of: else it would end by being forgotten."""
        if len(self._frozen) > MAX_FOLLOWED:
            written = (subject for subject, freeze in self._frozen.items() if freeze.is_written)
            self._frozen.pop(next(written, ""), None)

    async def _is_over(self, freeze: _Freeze) -> bool:
        """Whether it was lifted or its budget raised; then the other is done, too."""
        crossed, revoked, now_ns = freeze.crossed, freeze.revoked, self._state.now_ns()
        subject, counter = crossed.subject, crossed.terms.counter
        is_raised = self._state.view.budget(subject, counter).raised > freeze.raised
        in_force = self._state.view.revocation_of("", "", "", subject, (), now_ns)
        is_lifted = in_force is None or in_force.id != revoked.id
        if is_lifted and not is_raised:
            await self._say(BudgetRaised(now_ns, subject, counter, crossed.terms.limit))
        elif is_raised and not is_lifted:
            await self._say(Reinstated(now_ns, revoked.id, BY, "the budget was raised"))
        return is_raised or is_lifted

    async def _say(self, entry: AnyEntry) -> None:
        """A store that did not answer may have stored it all the same: then it is known by its key."""
        with suppress(AlreadyClaimed):
            await self._state.append(entry)
