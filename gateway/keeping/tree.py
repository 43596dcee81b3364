"""The hash trees of all logs: leaves as frames come, a signed checkpoint a second, cosignatures as configured.

Conduct in worker threads, one at a time for all trees: retention asks for leaves from its own thread. The trap: a
checkpoint that a witness has seen must never be taken back by a power cut, so it is made durable before it is sent.
"""

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from gateway import journal
from gateway.config import WitnessSettings
from gateway.log_name import identify_log
from gateway.witness.client import WitnessFailed, request_cosignatures
from storage.errors import StorageError
from storage.files import REAL_FILES
from storage.notary.log_key import KEYS_DIRECTORY, VERIFIER_FILE, open_signer, read_vkeys, write_vkey
from storage.notary.notary import Notary
from storage.notary.retelling import TREE_DIRECTORY
from storage.sources import LOG_DIRECTORY, log_names
from storage.tlog.note import Signature, SignerKey, parse_vkey
from storage.tlog.tree_reader import TreeReader

COSIGN_S: Final = 10.0
"""Between two requests to a witness: what a thief of this machine could rewrite unseen by it."""


class Trees:
    """The trees of a data directory, kept by this process alone. Methods may be called from several threads."""

    def __init__(self, data_dir: Path, gateway_id: str, witnesses: Sequence[WitnessSettings] = ()) -> None:
        self._data_dir, self._gateway_id = data_dir, gateway_id
        self._witnesses = [(one, [parse_vkey(one.vkey)]) for one in witnesses]
        self._witnessed: dict[tuple[str, str], int] = {}  # (log, URL) -> the size it cosigned last
        self._notaries: dict[str, Notary] = {}
        self._signers: dict[str, SignerKey] = {}
        self._published_s: dict[str, float] = {}
        self._cosigned: dict[
            str, tuple[float, int]
        ] = {}  # log -> when, and the size witnesses were asked for
        self._asking: set[str] = set()  # logs whose checkpoint is with the witnesses
        self._told_damage: set[str] = set()
        self._mutex = threading.Lock()
        self.witness_failures = 0

    def step(self) -> bool:
        """Take what is new in every log and sign it. True: there is more."""
        with self._mutex:
            more = False
            for log in log_names(REAL_FILES, self._data_dir / LOG_DIRECTORY):
                more |= self._step(log)
            return more

    def _step(self, log: str) -> bool:
        notary = self._notary(log)
        try:
            notary.advance()
            self._publish(log, notary)
        except BaseException:
            self._notaries.pop(log).close()  # what it has in memory is read again
            raise
        self._say_damage(log, notary)
        return not notary.waits

    def put_leaves(self, log: str) -> None:
        """Give everything that lies in a log's directory its leaf, now, and make it durable: before a file is
        deleted that the tree speaks of."""
        with self._mutex:
            notary = self._notary(log)
            notary.advance()
            while not notary.waits:
                notary.advance()
            if notary.publish(time.monotonic(), durable=True) is not None:
                self._published_s[log] = time.monotonic()
            notary.sync()

    def finish(self) -> bool:
        """The logs are closed: sign all of them to their end, however young the last checkpoint is."""
        for log in log_names(REAL_FILES, self._data_dir / LOG_DIRECTORY):
            self.put_leaves(log)
        return False

    def cosign(self) -> bool:
        """Ask witnesses for the newest checkpoints. Blocks on the network, not on the trees. Raises StorageError
        with what failed; the next checkpoint is sent all the same."""
        problems: list[str] = []
        for log in log_names(REAL_FILES, self._data_dir / LOG_DIRECTORY):
            due = self._due_for_witnesses(log)
            if due is not None:
                problems += self._ask_witnesses(log, *due)
        if problems:
            raise StorageError("; ".join(problems))
        return False

    def _due_for_witnesses(self, log: str) -> tuple[bytes, TreeReader] | None:
        """The checkpoint to send, durable; None when there is no new one."""
        with self._mutex:
            notary = self._notary(log)
            size = notary.checkpoint.size if notary.checkpoint else 0
            asked_s, asked = self._cosigned.get(log, (-COSIGN_S, 0))
            if size == asked or time.monotonic() - asked_s < COSIGN_S:
                return None
            notary.sync()
            self._cosigned[log] = (time.monotonic(), size)
            self._asking.add(log)
            note = notary.store.note
            return (note, notary.store.reader) if note is not None else None

    def _ask_witnesses(self, log: str, note: bytes, reader: TreeReader) -> list[str]:
        signatures: list[Signature] = []
        try:
            return self._collect(log, note, reader, signatures)
        finally:
            with self._mutex:
                self._asking.discard(log)
                notary = self._notary(log)
                if signatures and notary.store.note == note:
                    notary.cosign(signatures)

    def _collect(self, log: str, note: bytes, reader: TreeReader, signatures: list[Signature]) -> list[str]:
        """Adds to `signatures`; returns what went wrong."""
        problems = []
        for settings, keys in self._witnesses:
            known = self._witnessed.get((log, settings.url), 0)
            try:
                signatures += request_cosignatures(
                    settings.url, note, known, reader.consistency_proof, keys, ca_file=settings.ca_file
                )
                self._witnessed[log, settings.url] = reader.size
            except WitnessFailed as error:
                self.witness_failures += 1
                problems.append(str(error))
        return problems

    def signer(self, log: str) -> SignerKey:
        """The key that signs for a log."""
        if log not in self._signers:
            origin = identify_log(self._gateway_id, int(log)).log_origin
            self._signers[log] = open_signer(self._data_dir, origin)
        return self._signers[log]

    def facts(self) -> dict[str, float]:
        notaries = list(self._notaries.values())
        figures = {"kubetape_witness_failures_total": float(self.witness_failures)}
        sizes = [notary.checkpoint.size for notary in notaries if notary.checkpoint is not None]
        if sizes:
            figures["kubetape_tree_size"] = float(sum(sizes))
        if self._published_s:
            figures["kubetape_checkpoint_age_seconds"] = time.monotonic() - min(self._published_s.values())
        return figures

    def close(self) -> None:
        for notary in self._notaries.values():
            notary.close()

    def _notary(self, log: str) -> Notary:
        if log not in self._notaries:
            directory = self._data_dir / LOG_DIRECTORY / log
            signer = self.signer(log)
            known = read_vkeys(self._data_dir / KEYS_DIRECTORY / VERIFIER_FILE)
            self._notaries[log] = Notary.open(REAL_FILES, directory, signer, keys=known)
            write_vkey(REAL_FILES, directory / TREE_DIRECTORY, signer.verifier)
        return self._notaries[log]

    def _publish(self, log: str, notary: Notary) -> None:
        if log in self._asking:  # the next checkpoint waits, or the cosignatures would belong to an old one
            return
        if notary.publish(time.monotonic()) is not None:
            self._published_s[log] = time.monotonic()

    def _say_damage(self, log: str, notary: Notary) -> None:
        if notary.damage is not None and log not in self._told_damage:
            self._told_damage.add(log)
            journal.problem(
                "tree", f"a segment is damaged, look at it: kubetape verify; {notary.damage}", log=log
            )
