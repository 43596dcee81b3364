"""What of the record stands in clear text outside the encrypted log. Pure.

An operator says it, or it follows from who can read: a gateway that writes and cannot read its own log leaves
no clear text behind unless it was told to (docs/decisions/0009).
"""

from gateway.config import IndexMode, Settings
from gateway.export.settings import Rows
from gateway.keys.opening import can_read


def index_mode(settings: Settings) -> IndexMode:
    """What the search index on this disk holds."""
    record = settings.record
    if record.index is not None:
        return record.index
    return IndexMode.FULL if can_read(record.encryption) else IndexMode.NONE


def rows_mode(settings: Settings) -> Rows:
    """What the rows for search beyond one machine hold; they are made only to be exported."""
    s3 = settings.export.s3
    if s3 is None:
        return Rows.NONE
    return s3.rows


def needs_keys(settings: Settings) -> bool:
    """Whether the keeper has to be told the data keys of running segments."""
    wants_text = index_mode(settings) is not IndexMode.NONE or rows_mode(settings) is not Rows.NONE
    return (wants_text or bool(settings.sinks)) and not can_read(settings.record.encryption)
