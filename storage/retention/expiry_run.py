"""Retention applied to one log: tombstones, tree, unlinks, in this order. Conduct; `expiry_plan` says for what.

The caller holds `holds_file.holding_still` around all of it, so that no legal hold is made while a segment goes.
Its `publish` puts the leaves of new tombstones into the tree, signs a checkpoint and syncs the tree; it is not
believed: what `coverage` finds in the tree decides.

The trap: a run is cut short by a crash, a hold or a witness that does not answer, at any point. The next one finds
the tombstones by themselves and goes on; so does this one with those of the run before.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from storage.errors import StorageError
from storage.format import SegmentName
from storage.notary.coverage import read_covered
from storage.retention.expiry import Grave, NotDeletable, bury, check_bytes, exhume, tidy, unlink
from storage.retention.expiry_plan import Outlook
from storage.retention.inventory import Entry
from storage.tlog.note import Signer

MAX_DELETED: Final = 256
"""Segments of one run and log: it is run again soon, and holds cannot change meanwhile."""
MAX_DELETED_BYTES: Final = 1 << 30
"""Each is read once for its SHA-256: some seconds."""


class LogReport(msgspec.Struct, frozen=True):
    """What became of one log in one run. Stems, oldest first.

    waiting: with a tombstone and still there, because the tree does not hold its leaf for good yet. kept: with a
    tombstone, and under a hold that came after it. more: the run was full, there is more to delete.
    """

    log: str
    deleted: tuple[str, ...] = ()
    deleted_bytes: int = 0
    waiting: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    more: bool = False


@dataclass
class _Done:
    """What a run has come to so far."""

    deleted: list[Grave] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


class Expiry:
    """One log of a data directory, for one run.

    confirm: asks S3 once more, where export is required, before a tombstone is written. Everything raises OSError
    and, when the tree cannot be read, StorageError.
    """

    def __init__(self, outlook: Outlook, *, confirm: Callable[[SegmentName], bool] | None = None) -> None:
        self._outlook, self._files, self._directory = outlook, outlook.files, outlook.directory
        self._confirm = confirm if outlook.rules.policy.require_export else None

    def run(self, signer: Signer, publish: Callable[[str], None]) -> LogReport:
        """Delete what the policy says, as far as it can be done now. What an earlier run began comes first, and
        while the tree does not take that, nothing new is begun."""
        done = _Done()
        self._finish(self._exhume_all(done), publish, done, exhumed=True)
        more = False
        if not done.waiting:
            fresh, more = self._bury_all(signer, done)
            self._finish(fresh, publish, done, exhumed=False)
        return LogReport(
            self._outlook.log,
            tuple(grave.entry.name.stem for grave in done.deleted),
            sum(grave.tombstone.size for grave in done.deleted),
            tuple(done.waiting),
            tuple(done.kept),
            tuple(done.problems),
            more,
        )

    def _finish(
        self, graves: Sequence[Grave], publish: Callable[[str], None], done: "_Done", *, exhumed: bool
    ) -> None:
        """Unlink those whose tombstone the tree holds for good."""
        if not graves:
            return
        in_tree = self._in_tree(graves, publish, done.problems)
        for grave in graves:
            stem = grave.entry.name.stem
            if grave.sha256 not in in_tree:
                done.waiting.append(stem)
                continue
            try:
                if exhumed:
                    check_bytes(self._files, self._directory, grave)
            except (NotDeletable, FileNotFoundError) as error:
                done.problems.append(f"{stem}: {error}")
                continue
            unlink(self._files, self._directory, grave)
            done.deleted.append(grave)

    def _exhume_all(self, done: "_Done") -> list[Grave]:
        """What earlier runs began and no hold keeps; on the way, remove what they left beside tombstones."""
        graves = []
        for entry in self._outlook.entries:
            if not entry.has_tombstone:
                continue
            try:
                if entry.state is None:
                    tidy(self._files, self._directory, entry, self._outlook.keys)
                    continue
                grave = exhume(self._files, self._directory, entry, self._outlook.keys)
                extent = self._outlook.extent(entry)
            except (StorageError, FileNotFoundError) as error:
                done.problems.append(f"{entry.name.stem}: {error}")
                continue
            if self._outlook.holds_on(entry, extent):
                done.kept.append(entry.name.stem)
            else:
                graves.append(grave)
        return graves

    def _bury_all(self, signer: Signer, done: "_Done") -> tuple[list[Grave], bool]:
        """Tombstones for what is to be deleted now, and whether there is more."""
        graves: list[Grave] = []
        total = 0
        by_name = {entry.name: entry for entry in self._outlook.entries}
        for choice in self._outlook.plan():
            if not choice.delete:
                continue
            if len(graves) >= MAX_DELETED or total >= MAX_DELETED_BYTES:
                return graves, True
            entry = by_name[choice.facts.name]
            try:
                grave = self._bury(entry, choice.reason, signer)
            except (StorageError, FileNotFoundError) as error:
                done.problems.append(f"{entry.name.stem}: {error}")
                continue
            graves.append(grave)
            total += grave.tombstone.size
        return graves, False

    def _bury(self, entry: Entry, reason: str, signer: Signer) -> Grave:
        if self._confirm is not None and not self._confirm(entry.name):
            raise NotDeletable("its copy in S3 is missing or another: kept until it was uploaded again")
        return bury(
            self._files,
            self._directory,
            entry,
            self._outlook.extent(entry),
            reason=f"retention: {reason}",
            deleted_ns=self._outlook.rules.now_ns,
            signer=signer,
        )

    def _in_tree(
        self, graves: Sequence[Grave], publish: Callable[[str], None], problems: list[str]
    ) -> frozenset[bytes]:
        """Tombstones the tree holds for good, after it was asked to take those that it does not."""
        wanted = {grave.sha256 for grave in graves}
        covered = read_covered(self._files, self._directory, self._outlook.keys, tombstones=wanted).tombstones
        if covered == wanted:
            return covered
        try:
            publish(self._outlook.log)
        except (StorageError, OSError) as error:
            problems.append(f"the tree did not take the tombstones: {error}")
        return read_covered(self._files, self._directory, self._outlook.keys, tombstones=wanted).tombstones
