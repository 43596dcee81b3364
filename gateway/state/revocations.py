"""Whose access is revoked, as a fold of `Revoked` and `Reinstated`. Pure.

Found by subject in constant time, because every call asks. Of several revocations of one subject each counts on its
own: lifting one does not lift the others.
"""

from collections.abc import Iterable

from gateway.state.entries import Revoked


class Revocations:
    """All that were made and not lifted."""

    def __init__(self) -> None:
        self._by_id: dict[str, Revoked] = {}
        self._by_subject: dict[tuple[str, str], list[Revoked]] = {}

    def __bool__(self) -> bool:
        """Whether there are any, in force or not."""
        return bool(self._by_id)

    def add(self, entry: Revoked) -> None:
        if entry.id not in self._by_id:
            self._by_id[entry.id] = entry
            self._by_subject.setdefault((entry.subject_kind, entry.subject), []).append(entry)

    def lift(self, revocation_id: str) -> None:
        """Of a user, credential or session. A grant or hold that was revoked stays over: ask for a new one."""
        entry = self._by_id.get(revocation_id)
        if entry is not None and entry.subject_kind not in ("grant", "hold"):
            self._drop(entry)

    def first_of(self, subjects: Iterable[tuple[str, str]], now_ns: int) -> Revoked | None:
        """The first revocation in force of any of these (kind, subject)."""
        for subject in subjects:
            for entry in self._by_subject.get(subject, ()):
                if _in_force(entry, now_ns):
                    return entry
        return None

    def in_force(self, now_ns: int) -> list[Revoked]:
        return [entry for entry in self._by_id.values() if _in_force(entry, now_ns)]

    def forget(self, now_ns: int) -> None:
        for entry in [entry for entry in self._by_id.values() if not _in_force(entry, now_ns)]:
            self._drop(entry)

    def _drop(self, entry: Revoked) -> None:
        del self._by_id[entry.id]
        subject = (entry.subject_kind, entry.subject)
        self._by_subject[subject].remove(entry)
        if not self._by_subject[subject]:
            del self._by_subject[subject]


def _in_force(entry: Revoked, now_ns: int) -> bool:
    return entry.until_ns == 0 or now_ns < entry.until_ns
