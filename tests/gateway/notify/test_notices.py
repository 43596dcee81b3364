"""What follows from the state for people to be told, and that the same is told under the same name."""

import pytest

from gateway.notify.notices import WORTH_NS, notices_of
from gateway.state.entries import HoldClosed
from gateway.state.view import View
from tests.kit.state_entries import GRANT, HOLD, S, asked, at, granted, revoked, said, used, wanted


def view_of(*entries: object) -> View:
    view = View()
    for seq, entry in enumerate(entries, 1):
        view.apply(seq, entry)  # type: ignore[arg-type]
    return view


def told(seconds: float, *entries: object) -> list[str]:
    return [notice.id for notice in notices_of(view_of(*entries), at(seconds))]


def test_a_hold_is_told_while_it_waits_and_as_long_as_it_waits() -> None:
    (notice,) = notices_of(view_of(asked()), at(1))
    assert (notice.id, notice.event, notice.is_request) == (f"hold.requested/{HOLD}", "hold.requested", True)
    assert (notice.at_ns, notice.until_ns) == (at(0), at(300))


@pytest.mark.parametrize("vote", [said(), said(approve=False, note="no")])
def test_a_decision_is_told_instead(vote: object) -> None:
    (notice,) = notices_of(view_of(asked(), vote), at(11))
    assert (notice.id, notice.at_ns) == (f"hold.decided/{HOLD}", at(10))
    assert notice.until_ns == at(10) + WORTH_NS


def test_a_vote_that_decides_nothing_changes_nothing() -> None:
    assert told(11, asked(quorum=2), said()) == [f"hold.requested/{HOLD}"]


def test_what_nobody_decided_has_expired() -> None:
    assert told(301, asked()) == [f"hold.expired/{HOLD}"]
    assert told(20, asked(), HoldClosed(at(10), HOLD, "withdrawn")) == [f"hold.expired/{HOLD}"]


def test_an_approval_stays_decided_when_it_is_used_or_over() -> None:
    for seconds in (30, 400):
        assert told(seconds, asked(), said(), used()) == [f"hold.decided/{HOLD}"]
    assert told(400, asked(), said()) == [f"hold.decided/{HOLD}"]


def test_a_grant_is_told_from_its_request_to_its_end() -> None:
    assert told(1, wanted()) == [f"grant.requested/{GRANT}"]
    assert told(11, wanted(), granted()) == [f"grant.approved/{GRANT}"]
    assert told(11, wanted(), granted(approve=False, note="no")) == [f"grant.denied/{GRANT}"]
    assert told(3700, wanted(), granted()) == [f"grant.approved/{GRANT}", f"grant.ended/{GRANT}"]
    assert told(700, wanted()) == [f"grant.ended/{GRANT}"]
    ended = revoked("grant", GRANT, seconds=30)
    assert told(40, wanted(), granted(), ended) == [
        f"grant.approved/{GRANT}",
        f"grant.ended/{GRANT}",
        f"revoked/{ended.id}",
    ]


def test_the_end_of_a_grant_is_when_it_was_revoked_or_ran_out() -> None:
    ended = revoked("grant", GRANT, seconds=30)
    notices = notices_of(view_of(wanted(), granted(), ended), at(40))
    assert {notice.event: notice.at_ns for notice in notices}["grant.ended"] == at(30)
    notices = notices_of(view_of(wanted(), granted()), at(3700))
    assert {notice.event: notice.at_ns for notice in notices}["grant.ended"] == at(10) + 3600 * S


def test_what_a_budget_froze_is_told_as_such() -> None:
    frozen = revoked("session", "s1", by="kubetape", reason="budget/deletes: 10 of 10")
    assert told(40, frozen) == [f"budget.crossed/{frozen.id}"]
