"""`kubetape verify`: prove that a log, or a copy of it, is untouched; make and check proofs of single calls.

Reads arguments, shows the report; what is checked is in `storage.verify.verify`. Exit codes tell the kinds of findings apart.
"""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click
import msgspec

from gateway.cli.exchange_proving import check_proof_file, make_proof_file
from gateway.cli.output import encode_json, size
from gateway.cli.progress import Progress
from gateway.cli.sessions.filters import key_option
from storage.ansi import printable
from storage.files import REAL_FILES, FileOps
from storage.query import parse_time
from storage.tlog.note import MAX_NOTE_BYTES, VerifierKey, parse_vkey
from storage.tlog.trust import MAX_POLICY_BYTES, parse_policy
from storage.verify.findings import Finding, LogReport, Report
from storage.verify.tree_check import Trust
from storage.verify.verify import Progress as Reached
from storage.verify.verify import verify as verify_logs

STORE_LAG_NS: Final = 900 * 1_000_000_000
"""A segment is uploaded once it is sealed, a minute after its first checkpoint; longer when the store is in trouble."""
MAX_SHOWN: Final = 200
"""Findings of one run, on a screen; JSON holds all."""
_EPILOG: Final = """\b
Exit codes:
  0   untouched (a torn tail of the last, unsealed segment alone is a note)
  10  corrupt: bytes are not what was signed, or fail their own checksums
  11  missing: a segment is gone and left no tombstone
  12  rollback: a checkpoint knows of more than is here
  13  rewrite or fork: valid in itself, another history than was signed
  14  forged: a bad signature, or one by an unknown key
  15  cannot be verified: no tree, no key, or not readable
  2   wrong usage
Several findings: all are listed, the exit code is that of the gravest (14, 13, 12, 11, 10, 15)."""


@click.command("verify", epilog=_EPILOG)
@click.argument("directory", default="./kubetape-data")
@click.option(
    "--vkey", "vkeys", multiple=True, metavar="VKEY|FILE", help="A log's public key, or a file of them."
)
@click.option(
    "--policy", "policy_file", metavar="FILE", help="Trusted logs and witnesses (C2SP tlog-policy)."
)
@click.option(
    "--checkpoint", "checkpoint_files", multiple=True, metavar="FILE", help="A checkpoint held elsewhere."
)
@click.option("--since", metavar="TIME", help="Read no segment that ended before: 15m, 1d12h, 2026-01-31.")
@click.option(
    "--session", "--exchange", "--prove", "prove", metavar="ID", help="Prove one session, command or call."
)
@click.option("--proof", "proof_file", metavar="FILE", help="Check a proof; needs no log.")
@click.option(
    "-o", "--output", default="text", metavar="text|json|FILE", help="With --prove: the file to write."
)
@click.option(
    "--processes", type=click.IntRange(1, 64), help="How many share the reading; default: one a CPU."
)
@key_option
def verify(
    directory: str,
    vkeys: tuple[str, ...],
    policy_file: str | None,
    checkpoint_files: tuple[str, ...],
    since: str | None,
    prove: str | None,
    proof_file: str | None,
    output: str,
    processes: int | None,
    key: tuple[Path, ...],
) -> None:
    """Prove that the log in DIRECTORY, or in a store s3://BUCKET/PREFIX, is what was signed.

    Works offline, on a copy, while a gateway writes, and without keys to what was recorded. DIRECTORY is a data
    directory or that of one log. Give the log's key (--vkey) or a policy, or the key that lies with the copy itself
    is believed; give a checkpoint that was kept elsewhere (--checkpoint), or nothing can show that the copy is old.
    When a log that is being written is copied, its tlog/ must be copied first.

    \b
    Example: kubetape verify ./copy --vkey log.vkey --checkpoint kept/checkpoint
    Example: kubetape verify ./kubetape-data --prove k3f9a2b1c04 -o call.proof
    Example: kubetape verify --proof call.proof --vkey log.vkey
    """
    trust = Trust(
        tuple(read_keys(vkeys)),
        parse_policy(_read(policy_file, MAX_POLICY_BYTES)) if policy_file else None,
        tuple((name, _read(name, MAX_NOTE_BYTES)) for name in checkpoint_files),
    )
    if proof_file is not None:
        click.echo("\n".join(check_proof_file(proof_file, trust)))
        return
    if prove is not None:
        to = "" if output in ("text", "-") else output
        click.echo(make_proof_file(directory, prove, key, to), nl=bool(to), err=bool(to))
        return
    if output not in ("text", "json"):
        raise click.UsageError(f"-o {output}: write text or json; a file only with --prove")
    since_ns = parse_time(since, now_ns=time.time_ns()) if since else 0
    files, place = open_place(directory)
    with Progress("verifying", "MiB") as progress:
        report = verify_logs(
            files,
            place,
            trust=trust,
            since_ns=since_ns,
            lag_ns=0 if files is REAL_FILES else STORE_LAG_NS,
            processes=processes,
            progress=lambda reached: _show(progress, reached),
        )
    if output == "json":
        click.echo(encode_json(report_data(report), pretty=True))
    else:
        click.echo("\n".join(report_lines(report)))
    sys.stdout.flush()
    raise click.exceptions.Exit(report.exit_code)


def _show(progress: Progress, reached: Reached) -> None:
    progress.show(reached.read_bytes >> 20)


def open_place(text: str) -> tuple[FileOps, Path]:
    """A directory, or a bucket that looks like one. Raises what opening a bucket raises."""
    if text.startswith("s3://"):
        from gateway.store.s3_files import open_files  # boto3, a second that only this pays

        files = open_files(text)
        return files, files.root
    path = Path(text)
    if not path.is_dir():
        raise click.UsageError(
            f"{text} is no directory: name a data directory, the copy of one, or s3://BUCKET/PREFIX"
        )
    return REAL_FILES, path


def read_keys(texts: Sequence[str]) -> list[VerifierKey]:
    """Each a vkey or the name of a file of them. Raises BadKeyFile, BadKey."""
    from storage.notary.log_key import read_vkeys

    keys: list[VerifierKey] = []
    for text in texts:
        if Path(text).is_file():
            found = read_vkeys(Path(text))
            if not found:
                raise click.UsageError(f"--vkey {text}: the file holds no key")
            keys += found
        elif "+" in text:
            keys.append(parse_vkey(text))
        else:
            raise click.UsageError(f"--vkey {text}: neither a file nor a key (NAME+ID+BASE64)")
    return keys


def _read(name: str, limit_bytes: int) -> bytes:
    with open(name, "rb") as file:
        data = file.read(limit_bytes + 1)
    if len(data) > limit_bytes:
        raise click.UsageError(f"{name}: larger than {limit_bytes} bytes")
    return data


# --- how it is shown ----------------------------------------------------------------------------------


def report_lines(report: Report) -> list[str]:
    """For people: findings first, then one line a log, then the verdict."""
    found = report.all_findings
    lines = [_finding_line(finding) for finding in found[:MAX_SHOWN]]
    if len(found) > MAX_SHOWN:
        lines.append(f"... and {len(found) - MAX_SHOWN} more (-o json shows all)")
    lines += [_log_line(log) for log in report.logs]
    read = sum(log.read_bytes for log in report.logs)
    rate = f", {read / 1e6 / report.took_s:.0f} MB/s" if report.took_s > 0.5 else ""
    verdict = "untouched" if report.exit_code == 0 else f"NOT untouched (exit code {report.exit_code})"
    lines.append(f"{verdict}: {size(read)} read in {report.took_s:.1f} s{rate}")
    return lines


def _finding_line(finding: Finding) -> str:
    place = f" {printable(finding.place)}:" if finding.place else ""
    label = "note, " + finding.kind if finding.is_note else finding.kind.upper()
    return f"{label}:{place} {printable(finding.why)}"


def _log_line(log: LogReport) -> str:
    tree = f"{log.size} leaves under {log.checkpoints} checkpoints" if log.size else "no tree"
    return (
        f"log {printable(log.log)} ({printable(log.origin) or 'unknown'}): {log.segments} segments, {log.frames} frames, "
        f"{log.records} records, {tree}"
    )


def report_data(report: Report) -> dict[str, object]:
    """For programs."""
    return {
        "exit_code": report.exit_code,
        "took_s": round(report.took_s, 3),
        "findings": [msgspec.to_builtins(finding) for finding in report.all_findings if not finding.is_note],
        "notes": [msgspec.to_builtins(finding) for finding in report.all_findings if finding.is_note],
        "logs": [
            {name: value for name, value in msgspec.structs.asdict(log).items() if name != "findings"}
            for log in report.logs
        ],
    }
