"""A shared state in memory for tests of budgets: it applies what is appended, or refuses to."""

from dataclasses import dataclass

import trio

from gateway.state.entries import AnyEntry, BudgetRaised, BudgetSpent, Reinstated, Revoked

NOW = 1_800_000_000 * 1_000_000_000


@dataclass
class Total:
    spent: int = 0
    raised: int = 0
    names: frozenset[str] = frozenset()


class MemoryState:
    def __init__(self) -> None:
        self.entries: list[AnyEntry] = []
        self.is_down = False

    async def append(self, entry: AnyEntry) -> int:
        await trio.lowlevel.checkpoint()
        if self.is_down:
            raise OSError("the store does not answer")
        self.entries.append(entry)
        await trio.lowlevel.checkpoint()
        return len(self.entries)

    def budget(self, subject: str, counter: str) -> Total:
        total = Total()
        for entry in self.entries:
            if isinstance(entry, BudgetSpent | BudgetRaised) and (entry.subject, entry.counter) == (
                subject,
                counter,
            ):
                if isinstance(entry, BudgetSpent):
                    total.spent += entry.amount
                    total.names |= set(entry.names)
                else:
                    total.raised += entry.amount
        return total

    def revocation_of(
        self,
        principal_user: str,
        issuer: str,
        credential_id: str,
        session: str,
        grants: tuple[str, ...],
        now_ns: int,
    ) -> Revoked | None:
        lifted = {entry.id for entry in self.entries if isinstance(entry, Reinstated)}
        return next((r for r in self.all(Revoked) if r.subject == session and r.id not in lifted), None)

    def all(self, kind: type[Revoked]) -> list[Revoked]:
        return [entry for entry in self.entries if isinstance(entry, kind)]


def now_ns() -> int:
    return NOW
