"""`kubetape keys shred`: destroy the content of segments by destroying their keys."""

import os
import pwd
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import click

from gateway.cli.directory import directory_option
from gateway.cli.keys.opening import FILES, locked_keys
from gateway.cli.sessions.filters import key_option
from gateway.cli.sessions.opening import Library, with_library
from gateway.keys.opening import open_key_ring
from storage.ansi import printable
from storage.encryption.envelopes import SegmentKeys, list_segment_keys
from storage.encryption.keys import KeyRing
from storage.encryption.segment_contents import (
    Segment,
    SessionPart,
    opened_ns,
    segments_of_session,
    sessions_in,
)
from storage.encryption.shredding import ShredRefused, check_shreddable, find_segments, unfinished
from storage.encryption.shredding import shred as destroy
from storage.errors import NoKey
from storage.index import INDEX_DIRECTORY
from storage.lake.rows_writer import forget_open_texts
from storage.retention.expiry_plan import span_of
from storage.retention.holds import held_by
from storage.retention.holds_file import holding_still, read_holds
from storage.retention.holds_index import IndexLookup
from storage.retention.inventory import list_entries, read_extent

SHOWN_SESSIONS: Final = 20


class Survey(NamedTuple):
    """What is to be destroyed, and whose calls are in it; parts None: `why` it cannot be told."""

    segments: list[SegmentKeys]
    parts: list[SessionPart] | None
    session: str = ""
    why: str = ""


@click.command("shred")
@click.option(
    "--segment", "stems", metavar="NAME", multiple=True, help="This segment, by its file name. Repeatable."
)
@click.option("--session", metavar="ID", help="Every segment with records of this session.")
@click.option(
    "--reason", default="", metavar="TEXT", help="Kept beside the segments, for whoever asks later."
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@key_option
@directory_option
def shred(
    stems: tuple[str, ...],
    session: str | None,
    reason: str,
    yes: bool,
    key: tuple[Path, ...],
    data_dir: Path,
) -> None:
    """Destroy the content of segments for ever; hashes and proofs of the log stay valid.

    A segment has one key, so everything in it goes, calls of others too: they are listed first. Their envelopes,
    rows and index entries on this disk are destroyed, and in its bucket when the gateway exports; backups, and what
    was sent to webhooks, are yours to delete. Refused for a segment being written and under legal hold. A run that
    was interrupted is completed by the next one.

    Example: kubetape keys shred --session 01KG9ZK7M0 --reason 'request 4711'
    """
    if not stems and session is None:
        raise click.UsageError("name what to destroy: --segment NAME or --session ID")
    with locked_keys(data_dir):
        _complete(data_dir)
        survey = _survey_session(data_dir, session, key) if session is not None else None
        survey = _with_segments(data_dir, survey, stems, key)
        with holding_still(FILES, data_dir):
            check_shreddable(FILES, survey.segments, _Holds(data_dir, key).reason)
        _say_what_goes(survey)
        if not yes:
            click.confirm(f"Destroy the content of {len(survey.segments)} segments for ever?", abort=True)
        with holding_still(FILES, data_dir):  # nobody waits for a person; a hold may have come meanwhile
            check_shreddable(FILES, survey.segments, _Holds(data_dir, key).reason)
            _destroy(data_dir, survey.segments, reason)
    click.echo(f"destroyed the content of {len(survey.segments)} segments")
    click.echo(
        "a gateway that exports deletes their .keys files in its bucket, too; other copies and backups are yours",
        err=True,
    )


def _complete(data_dir: Path) -> None:
    left = unfinished(FILES, data_dir)
    if left:
        _destroy(data_dir, left, "")
        click.echo(f"completed the destruction of {len(left)} segments, begun by an earlier run", err=True)


def _destroy(data_dir: Path, segments: Sequence[SegmentKeys], reason: str) -> None:
    at = datetime.now(UTC).isoformat(timespec="seconds")
    days = destroy(FILES, data_dir, segments, at=at, by=_os_user(), reason=reason)
    for log in {segment.log for segment in segments}:
        forget_open_texts(data_dir, log)
    if days:
        click.echo(f"the index of {', '.join(days)} is deleted, and made again from what is left", err=True)


def _os_user() -> str:
    """Who the operating system says is at work; behind sudo the person, not root alone."""
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        user = f"uid {os.getuid()}"
    behind = os.environ.get("SUDO_USER", "")
    return f"{user} (sudo by {behind})" if behind and behind != user else user


# --- what is meant --------------------------------------------------------------------------------


def _survey_session(data_dir: Path, session: str, key: tuple[Path, ...]) -> Survey:
    def use(library: Library) -> Survey:
        archive = library.archive
        found = archive.resolve(session)
        if found.kind != "session":
            raise click.ClickException(
                f"{session} is the id of a {found.kind}; --session takes that of a session"
            )
        segments = segments_of_session(archive.directory, found.id)
        moments = opened_ns(archive.directory, found.id)
        logs = {log for log, _ in segments}
        chosen = [
            segment
            for segment in list_segment_keys(FILES, data_dir)
            if (segment.log, segment.name.stem) in segments
            or (segment.log in logs and any(_spans(segment, at_ns) for at_ns in moments))
        ]
        if not chosen:
            raise ShredRefused(f"no segment here holds records of session {found.id}")
        return Survey(chosen, sessions_in(archive.directory, map(_place, chosen)), found.id)

    return with_library(str(data_dir), key, use)


def _place(segment: SegmentKeys) -> Segment:
    return segment.log, segment.name.stem


def _spans(segment: SegmentKeys, at_ns: int) -> bool:
    """Whether a record made at this time may be in a segment: that of a session's opening is in no index."""
    for entry in list_entries(FILES, segment.directory):
        if entry.name == segment.name and entry.suffix:
            extent = read_extent(FILES, entry.path(segment.directory))
            slack_ns = 1_000_000_000  # it waits for company for some milliseconds
            return extent.first_ns - slack_ns <= at_ns <= extent.last_ns + slack_ns
    return False


def _with_segments(
    data_dir: Path, survey: Survey | None, stems: tuple[str, ...], key: tuple[Path, ...]
) -> Survey:
    """What --segment names beside what was found for --session."""
    chosen = list(survey.segments) if survey is not None else []
    known = {segment.name.stem for segment in chosen}
    if survey is not None and known.issuperset(stems):
        return survey
    chosen += find_segments(FILES, data_dir, [stem for stem in stems if stem not in known])
    session = survey.session if survey is not None else ""
    try:
        parts = with_library(
            str(data_dir), key, lambda library: sessions_in(library.archive.directory, map(_place, chosen))
        )
    except NoKey as error:
        return Survey(chosen, None, session, str(error))
    return Survey(chosen, parts, session)


def _say_what_goes(survey: Survey) -> None:
    for segment in survey.segments:
        click.echo(f"log {segment.log} segment {segment.name.stem}  {segment.state}")
    if survey.parts is None:
        click.echo(f"whose calls are in them cannot be told here: {printable(survey.why)}")
        return
    others = [part for part in survey.parts if part.session != survey.session]
    for part in survey.parts[:SHOWN_SESSIONS]:
        mark = "" if part.session == survey.session or not survey.session else "  (another session)"
        click.echo(
            f"  {part.calls} calls of {printable(part.user) or '-'}, session {part.session or '-'}{mark}"
        )
    if len(survey.parts) > SHOWN_SESSIONS:
        click.echo(f"  and {len(survey.parts) - SHOWN_SESSIONS} more sessions")
    if survey.session and others:
        lost = sum(part.calls for part in others)
        click.echo(f"{lost} calls of {len(others)} other sessions are lost with it")


class _Holds:
    """Legal holds in force, as a question about one segment."""

    def __init__(self, data_dir: Path, key: tuple[Path, ...]) -> None:
        self._holds = read_holds(FILES, data_dir)
        self._lookup = IndexLookup(data_dir / INDEX_DIRECTORY)
        self._keys: KeyRing = open_key_ring(data_dir, key, use_kms=True)

    def reason(self, segment: SegmentKeys) -> str:
        """The holds on it, "" if there is none."""
        if not self._holds:
            return ""
        for entry in list_entries(FILES, segment.directory):
            if entry.name == segment.name and entry.suffix:
                extent = read_extent(FILES, entry.path(segment.directory))
                span = span_of(FILES, segment.directory, entry, extent, self._keys)
                return ", ".join(held_by(self._holds, span, self._lookup))
        return "its file is gone"
