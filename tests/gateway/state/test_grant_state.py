"""What becomes of a grant: an absolute beginning and end."""

from gateway.policy.model import ActiveGrant
from gateway.state.entries import AnyEntry, Reinstated
from gateway.state.grant_state import GrantState
from gateway.state.view import View
from tests.kit.state_entries import GRANT, at, granted, revoked, wanted


def fold(*entries: AnyEntry) -> GrantState:
    view = View()
    for seq, entry in enumerate(entries, 1):
        view.apply(seq, entry)
    grant = view.grant(GRANT)
    assert grant is not None
    return grant


def test_a_request_waits_until_it_expires() -> None:
    grant = fold(wanted(wait_s=600))
    assert [grant.state(at(s)) for s in (0, 599, 600)] == ["pending", "pending", "expired"]
    assert (grant.begins_ns, grant.ends_ns, grant.last_ns) == (0, 0, at(600))
    assert (grant.decided_by, grant.note, grant.active(at(1))) == ("", "", None)


def test_s30_it_begins_with_the_deciding_vote_and_ends_to_the_second() -> None:
    grant = fold(wanted(quorum=2, duration_s=3600), granted(), granted("carol", seconds=20, note="ok"))
    assert (grant.begins_ns, grant.ends_ns, grant.last_ns) == (at(20), at(3620), at(3620))
    assert grant.active(at(3619.9)) == ActiveGrant(GRANT, "debug-prod", at(3620))
    assert [grant.state(at(s)) for s in (3619.9, 3620)] == ["active", "ended"]
    assert grant.active(at(3620)) is None
    assert (grant.decided_by, grant.note) == ("bob, carol", "ok")


def test_s30_nothing_that_is_said_later_makes_it_longer() -> None:
    grant = fold(
        wanted(), granted(), granted("carol", seconds=500), granted(seconds=501), wanted(duration_s=99999)
    )
    assert grant.ends_ns == at(3610)


def test_an_approver_may_make_it_shorter_and_never_longer() -> None:
    assert fold(wanted(), granted(duration_s=60)).ends_ns == at(70)
    assert fold(wanted(), granted(duration_s=99999)).ends_ns == at(3610)
    both = fold(wanted(quorum=2), granted(duration_s=60), granted("carol", duration_s=30, seconds=11))
    assert both.ends_ns == at(41)


def test_one_denial_ends_it_with_its_note() -> None:
    grant = fold(wanted(), granted(approve=False, note="use the read-only bundle"))
    assert (grant.state(at(11)), grant.decided_by, grant.note) == (
        "denied",
        "bob",
        "use the read-only bundle",
    )


def test_the_requester_never_decides_and_nobody_twice() -> None:
    assert fold(wanted(approver_users=("ann",)), granted("ann")).state(at(11)) == "pending"
    assert fold(wanted(quorum=2), granted(), granted(groups=("sre",))).state(at(11)) == "pending"


def test_s31_a_revoked_grant_is_over_and_stays_over() -> None:
    taken = revoked("grant", GRANT)
    grant = fold(wanted(), granted(), taken, Reinstated(at_ns=at(40), id=taken.id, by="bob", reason="oops"))
    assert (grant.state(at(41)), grant.active(at(41)), grant.note) == ("revoked", None, "left the company")
    again = fold(wanted(), granted(), taken, revoked("grant", GRANT, id="r2", reason="other"))
    assert again.revoked == taken
