"""From what stands in a path to the one hold or grant this person may see. Pure.

A whole id, or the beginning of its random part, of at least 4 characters: unique among what the person may see, so
that nobody learns of other people's requests by trying. What one may not see does not exist.
"""

from collections.abc import Iterable
from typing import Final, Protocol, TypeVar

from gateway.console.answers import NOT_FOUND
from gateway.console.rights import ULID, Person, may_see
from gateway.deciding import UNACCEPTABLE
from gateway.errors import Refusal
from gateway.state.grant_state import GrantState
from gateway.state.hold_state import HoldState
from gateway.state.view import RANDOM_PART, View

MIN_PREFIX: Final = 4


class Identified(Protocol):
    @property
    def id(self) -> str: ...


S = TypeVar("S", bound=Identified)


def visible_holds(view: View, person: Person, now_ns: int) -> list[HoldState]:
    """The oldest first."""
    return [hold for hold in view.holds(now_ns) if may_see(person, hold.request)]


def visible_grants(view: View, person: Person, now_ns: int) -> list[GrantState]:
    """The oldest first."""
    return [grant for grant in view.grants(now_ns) if may_see(person, grant.request)]


def find_hold(view: View, person: Person, typed: str, now_ns: int) -> HoldState:
    """Raises Refusal."""
    return only(visible_holds(view, person, now_ns), typed, "approval")


def find_grant(view: View, person: Person, typed: str, now_ns: int) -> GrantState:
    """Raises Refusal."""
    return only(visible_grants(view, person, now_ns), typed, "grant")


def only(visible: Iterable[S], typed: str, what: str) -> S:
    """The one with this id, or whose random part begins like this. what: for messages. Raises Refusal."""
    wanted = typed.upper()
    if ULID.fullmatch(wanted):
        found = [one for one in visible if one.id == wanted]
    elif len(wanted) < MIN_PREFIX:
        raise Refusal(UNACCEPTABLE, f"an id has at least {MIN_PREFIX} characters")
    else:
        found = [one for one in visible if one.id[RANDOM_PART:].startswith(wanted)]
    if len(found) > 1:
        raise Refusal(UNACCEPTABLE, f"{len(found)} ids begin so: write more of it")
    if not found:
        raise Refusal(NOT_FOUND, f"you have no {what} of this id to see, or it was over an hour ago")
    return found[0]
