"""StateChanged -> who changed what, for people and tables. Pure.

The entry stays what `gateway.state.entries` wrote: JSON this package does not know field by field, so that an
entry of a later version is shown as well. The trap: an entry holds the held call's body, diff, command line and
what people wrote; where no content may come out, only what identifies it does.
"""

from typing import Final, NamedTuple

import msgspec

from storage.errors import UNDECODABLE
from storage.records import StateChanged

IDENTIFYING: Final = frozenset(
    "kind atNs id expiresNs requester digest rules quorum scope method verb resource namespace name objects exchange "
    "command approve by forS bundle durationS subjectKind subject untilNs counter amount hold".split()
)
"""Fields of an entry that hold no content: who, which object, when, how it was decided."""


class StateNote(NamedTuple):
    """entry: its fields; {} if they cannot be read. user, session: of who caused it, "" if it does not say."""

    entry: dict[str, object]
    user: str
    session: str


def read_state(record: StateChanged, *, with_content: bool) -> StateNote:
    """What an entry says. Never raises: an entry that is none is shown as one without fields."""
    try:
        entry = msgspec.json.decode(record.entry, type=dict[str, object])
    except UNDECODABLE:
        return StateNote({}, "", "")
    if not with_content:
        entry = {name: value for name, value in entry.items() if name in IDENTIFYING}
    who = entry.get("requester") or entry.get("by")
    if isinstance(who, dict):
        user, session = who.get("user"), who.get("session")
    else:
        user, session = who, None
    return StateNote(entry, *(word if isinstance(word, str) else "" for word in (user, session)))
