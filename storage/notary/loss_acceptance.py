"""An operator lets a log go on over a loss: find out what is lost, sign it, leave the statement in the log. Conduct.

Asked for once, by name and with a reason, after `check_log` has refused. What of the tree has nothing behind it any
more is found by asking for every leaf whether its segment is there, and of the newest segment, whether the frame is;
the tree itself stays and goes on, so that whoever holds an older checkpoint still finds it in the new tree. Only a tree that cannot be made
again is put aside, as `tlog.lost-<n>`.

The trap: excusing too much. Damage in the middle of a segment is not a loss of this kind, stays where it is, and
stays a finding.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from storage.errors import CorruptFrame
from storage.files import FileOps, log_failed, replace_file
from storage.format import SUFFIX_RECOVERED, SUFFIX_SEALED, SUFFIX_TOMBSTONE, SegmentName
from storage.notary.anchor import number_of
from storage.notary.leaf import BlockLeaf, Leaf, RecoveredLeaf, SealedLeaf, parse_leaf
from storage.notary.loss import TREE_KEPT, TREE_LOST, LossStatement, join_ranges, next_loss_name, sign_loss
from storage.notary.marks import MARKS_NAME
from storage.notary.retelling import TREE_DIRECTORY
from storage.notary.start_check import LogCheck, locked
from storage.reader import names_with, open_segment_file
from storage.tlog.note import Signer, VerifierKey


def accept_loss(
    files: FileOps,
    directory: Path,
    signer: Signer,
    reason: str,
    now_ns: int,
    *,
    keys: Sequence[VerifierKey] = (),
) -> LossStatement | None:
    """Write `loss-<n>.note`, after which `check_log` has no finding; None when it had none before.

    The statement is durable on return; its leaf comes with the notary. keys: of the log, besides the signer's.
    Raises BadStatement for a reason that is no line of plain text, LogInUse, LogFailed.
    """
    known = [signer.verifier, *(key for key in keys if key != signer.verifier)]
    try:
        with locked(files, directory):
            return _accept(files, directory, signer, known, reason, now_ns)
    except OSError as error:
        raise log_failed("accept the loss in", directory, error) from error


def _accept(
    files: FileOps,
    directory: Path,
    signer: Signer,
    keys: Sequence[VerifierKey],
    reason: str,
    now_ns: int,
) -> LossStatement | None:
    check = LogCheck(files, directory, keys)
    continuity = check.result()
    if not continuity.findings:
        return None
    backing = _Backing(files, directory, check.segments, check.file_names)
    if check.reader is not None:
        for index, entry in enumerate(check.reader.entries(0, check.reader.size)):
            backing.compare(index, parse_leaf(entry))
    kept = backing.kept()
    statement = LossStatement(
        origin=signer.verifier.name,
        tree_size=continuity.size,
        root=continuity.root or bytes(32),
        tree=TREE_KEPT if check.reader is not None else TREE_LOST,
        lost=join_ranges(backing.lost),
        kept_number=kept.number,
        kept_blocks=kept.blocks,
        kept_offset=kept.offset,
        kept_complete=kept.complete,
        next_segment_number=continuity.next_segment_number,
        next_record_seq=continuity.next_record_seq,
        accepted_ns=now_ns,
        finding=plain_line(continuity.text),
        reason=reason,
    )
    data = sign_loss(statement, signer)
    name = next_loss_name(check.file_names)
    if check.reader is None:
        _put_tree_aside(files, directory, name)
    replace_file(files, directory / name, data)
    return statement


def plain_line(text: str) -> str:
    """What a statement can hold of a message."""
    clean = "".join(character if character.isprintable() else "?" for character in text).strip()
    return clean[:1000].strip() or "none"


def _put_tree_aside(files: FileOps, directory: Path, loss_name: str) -> None:
    suffix = f".lost-{loss_name.removeprefix('loss-').removesuffix('.note')}"
    names = files.names(directory)
    for name in (TREE_DIRECTORY, MARKS_NAME):
        if name in names:
            files.rename(directory / name, directory / (name + suffix))


class _Kept(msgspec.Struct):
    """How far the tree has the newest segment that is there."""

    number: int = 0
    blocks: int = 0
    offset: int = 0
    complete: bool = True


class _Backing:
    """Which leaves still have their segments behind them. lost: the numbers of those that have not."""

    def __init__(
        self, files: FileOps, directory: Path, segments: Sequence[SegmentName], file_names: Sequence[str]
    ) -> None:
        self.lost: list[int] = []
        self._file_names = frozenset(file_names)
        self._files, self._directory = files, directory
        self._segments = {name.number: name for name in segments}
        self._buried = names_with(file_names, SUFFIX_TOMBSTONE)
        self._known = [*segments, *self._buried]
        self._kept: dict[int, _Kept] = {}
        self._newest: dict[int, bytes] | None = None

    def compare(self, index: int, leaf: Leaf) -> None:
        """Leaves in order of their numbers."""
        if isinstance(leaf, BlockLeaf):
            is_there = self._has_block(leaf)
        elif isinstance(leaf, SealedLeaf | RecoveredLeaf):
            is_there = self._has_end(leaf)
        else:
            return
        if not is_there:
            self.lost.append(index)

    def kept(self) -> _Kept:
        return self._kept[max(self._kept)] if self._kept else _Kept()

    def _has_block(self, leaf: BlockLeaf) -> bool:
        number = number_of(leaf.segment_id, self._known)
        if number is None:
            return False
        if number not in self._segments:
            return True  # retention deleted it and said so
        if number == max(self._segments) and self._hashes(number).get(leaf.block_seq) != leaf.sha256:
            return False
        self._kept[number] = _Kept(number, leaf.block_seq + 1, leaf.end, False)
        return True

    def _has_end(self, leaf: SealedLeaf | RecoveredLeaf) -> bool:
        number = number_of(leaf.segment_id, self._known) if leaf.segment_id else leaf.number
        name = self._segments.get(number or 0)
        if name is None:
            return number is not None and any(grave.number == number for grave in self._buried)
        suffix = SUFFIX_SEALED if isinstance(leaf, SealedLeaf) else SUFFIX_RECOVERED
        kept = self._kept.setdefault(name.number, _Kept(name.number, complete=False))
        kept.complete = name.stem + suffix in self._file_names
        return kept.complete

    def _hashes(self, number: int) -> dict[int, bytes]:
        """The frames of the newest segment by their number, read up to the first bad one."""
        if self._newest is None:
            self._newest = {}
            try:
                with open_segment_file(self._directory, self._segments[number], self._files) as segment:
                    cursor = segment.start()
                    while (raw := segment.next_block(cursor)) is not None:
                        self._newest[raw.header.block_seq] = hashlib.sha256(raw.data).digest()
            except CorruptFrame:
                pass  # what follows is lost
        return self._newest
