"""`kubetape verify --prove` and `--proof`: one file that proves a call, made from a log and checked without one."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from gateway.cli.output import rfc3339
from gateway.cli.sessions.opening import Library, with_library
from storage.ansi import printable
from storage.errors import StorageError
from storage.files import REAL_FILES
from storage.notary.leaf import BlockLeaf
from storage.notary.log_key import KEYS_DIRECTORY, VERIFIER_FILE, read_vkeys
from storage.reader import Position
from storage.sources import LOG_DIRECTORY
from storage.tlog.checkpoint import Checkpoint, open_checkpoint, read_unverified
from storage.tlog.note import BadSignature, NotSigned
from storage.tlog.trust import PolicyNotMet
from storage.verify.exchange_proof import (
    MAX_FILE_BYTES,
    BadExchangeProof,
    ExchangeProof,
    OpenNote,
    ProvenBlock,
    encode_exchange_proof,
    parse_exchange_proof,
    verify_exchange_proof,
)
from storage.verify.findings import EXIT_CODES, Kind
from storage.verify.proving import prove
from storage.verify.tree_check import Trust


def make_proof_file(data_dir: str, id: str, key_files: Sequence[Path], to: str) -> str:
    """Write the proof of a session, command or call to a file; returns what to say. to: "" returns the proof."""
    proof = with_library(data_dir, key_files, lambda library: _prove(library, Path(data_dir), id))
    if not to:
        return proof.decode()
    Path(to).write_bytes(proof)
    count = len(parse_exchange_proof(proof).blocks)
    return f"wrote {to}: {count} frames; check it with: kubetape verify --proof {to} --vkey VKEY"


def _prove(library: Library, data_dir: Path, id: str) -> bytes:
    found = library.archive.resolve(id)
    positions: dict[str, list[Position]] = {}
    for row in library.archive.calls_of(found):
        positions.setdefault(row.log, []).extend(library.archive.positions(row))
    if len(positions) != 1:
        raise click.ClickException(
            f"{found.kind} {found.id} is spread over {len(positions)} logs: prove its calls one by one"
        )
    ((log, places),) = positions.items()
    keys = read_vkeys(data_dir / KEYS_DIRECTORY / VERIFIER_FILE)
    ordered = sorted(places, key=lambda position: position.record_seq)
    directory = data_dir / LOG_DIRECTORY / log
    proof = prove(REAL_FILES, directory, found.kind, found.id, ordered, keys)
    return encode_exchange_proof(proof)


def check_proof_file(name: str, trust: Trust) -> list[str]:
    """Check a proof offline; returns what was proven. Raises StorageError when it is not."""
    with open(name, "rb") as file:
        proof = parse_exchange_proof(file.read(MAX_FILE_BYTES + 1))
    if trust.is_empty:
        raise click.UsageError("--proof needs the log's key: give it with --vkey, or a policy with --policy")
    opened: dict[bytes, Checkpoint] = {}

    def open_note(note: bytes) -> Checkpoint:
        if note not in opened:
            opened[note] = _believed(note, trust)
        return opened[note]

    lines = []
    for block, leaf, _ in _checked(proof, open_note):
        records = f"{block.records[0]} to {block.records[-1]}" if block.records else "none"
        lines.append(
            f"{printable(block.segment)} at byte {leaf.offset}: records {records}, committed "
            f"{rfc3339(leaf.committed_ns)}, sha256 {leaf.sha256.hex()}"
        )
    size = max(checkpoint.size for checkpoint in opened.values())
    lines.append(
        f"proven: {len(lines)} frames of {proof.kind} {printable(proof.id)} are in the log {printable(proof.origin)} "
        f"of {size} leaves"
    )
    return lines


def _checked(
    proof: ExchangeProof, open_note: OpenNote
) -> Iterator[tuple[ProvenBlock, BlockLeaf, Checkpoint]]:
    try:
        yield from verify_exchange_proof(proof, open_note)
    except BadExchangeProof as error:
        is_forged = isinstance(error.__cause__, BadSignature | NotSigned | UntrustedLog | PolicyNotMet)
        refused = ProofForged if is_forged else ProofRefused
        raise refused(printable(str(error))) from error


class ProofRefused(click.ClickException):
    """A proof that does not hold."""

    exit_code = EXIT_CODES[Kind.CORRUPT]


class ProofForged(click.ClickException):
    """A proof that nobody signed who is trusted."""

    exit_code = EXIT_CODES[Kind.FORGED]


class UntrustedLog(StorageError):
    """A proof of a log none of whose keys was given."""


def _believed(note: bytes, trust: Trust) -> Checkpoint:
    """A checkpoint that the trusted keys, and witnesses if a policy wants them, signed. Raises StorageError."""
    if trust.policy is not None:
        return trust.policy.judge(note).checkpoint
    origin = read_unverified(note).origin
    keys = trust.keys_of(origin)
    if not keys:
        raise UntrustedLog(f"the proof is of the log {origin!r}, and no key of that log was given")
    return open_checkpoint(note, keys, origin=origin)
