"""What an auditor and the next start say of what a crash left: a crash alone is never an alarm."""

from collections.abc import Sequence
from pathlib import Path

from storage.files import REAL_FILES, FileOps
from storage.notary.log_key import VERIFIER_FILE
from storage.notary.start_check import check_log
from storage.tlog.note import VerifierKey, parse_vkey
from storage.verify.findings import EXIT_CODES, Kind
from storage.verify.tree_check import Trust
from storage.verify.verify import verify


def own_keys(data_dir: Path) -> list[VerifierKey]:
    """The public keys a data directory keeps beside its log."""
    path = data_dir / "keys" / VERIFIER_FILE
    return [parse_vkey(line) for line in path.read_text().splitlines() if line] if path.exists() else []


def check_proven(
    data_dir: Path,
    *,
    files: FileOps = REAL_FILES,
    keys: Sequence[VerifierKey] | None = None,
    may_be_young: bool = True,
) -> list[str]:
    """What `kubetape verify` finds in a data directory or a log; its notes are none. keys: None for its own.

    may_be_young: a log of which nothing is signed yet cannot be verified, and is not wrong.
    """
    report = verify(files, data_dir, trust=Trust(tuple(own_keys(data_dir) if keys is None else keys)))
    is_young = may_be_young and all(log.size == 0 for log in report.logs)
    if report.exit_code == 0 or (report.exit_code == EXIT_CODES[Kind.UNVERIFIABLE] and is_young):
        return []
    return [
        f"verify: {finding.kind.name}: {finding.why}"
        for finding in report.all_findings
        if finding.kind in EXIT_CODES
    ]


def check_start(
    directory: Path, *, files: FileOps = REAL_FILES, keys: Sequence[VerifierKey] | None = None
) -> list[str]:
    """Why the next start would refuse a log (`DATA_DIR/log/<worker>`)."""
    keys = own_keys(directory.parent.parent) if keys is None else keys
    return [
        f"the start is refused: {one.kind}: {one.why}" for one in check_log(files, directory, keys).findings
    ]
