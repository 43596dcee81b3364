"""What a client is warned about: little, in time, and never with a value in it."""

from gateway.client_warnings import warning_headers, warnings_for
from gateway.policy.model import Action, ActiveGrant, Mode, Verdict

NOW = 1_000_000_000_000
NS = 1_000_000_000


def verdict(shadow: tuple[str, ...] = (), grants: tuple[str, ...] = ()) -> Verdict:
    return Verdict(Action.ALLOW, Mode.ENFORCE, shadow=shadow, grants=grants)


def test_a_call_nothing_is_to_be_said_about_has_no_warning() -> None:
    assert warning_headers(verdict(), (), NOW) == ()


def test_shadow_rules_are_named_once() -> None:
    assert warnings_for(verdict(("p/a",)), (), NOW) == (
        "kubetape: policy p/a (shadow) would deny or hold this",
    )
    assert warnings_for(verdict(("p/a", "p/b", "p/c")), (), NOW)[0].endswith("this (and 2 more)")


def test_a_grant_that_ends_within_five_minutes_is_announced_to_who_uses_it() -> None:
    grants = (
        ActiveGrant("G2", "repair", NOW + 200 * NS),
        ActiveGrant("G1", "repair", NOW + 61 * NS),
        ActiveGrant("G3", "other", NOW + 5 * NS),
    )
    assert warnings_for(verdict(grants=("G1", "G2")), grants, NOW) == (
        "kubetape: grant G1 (repair) ends in 1m01s",
    )
    assert warnings_for(verdict(), grants, NOW) == ()
    assert warnings_for(verdict(grants=("G1",)), (ActiveGrant("G1", "repair", NOW + 300 * NS),), NOW) == ()


def test_there_are_two_at_most_of_256_bytes_at_most() -> None:
    grant = ActiveGrant("G1", "b" * 1000, NOW + NS)
    headers = warning_headers(verdict(("p/" + "\u00e9" * 1000, "p/b"), ("G1",)), (grant,), NOW)
    assert [name for name, _ in headers] == [b"warning", b"warning"]
    assert all(len(value) <= 256 + len(b'299 - ""') for _, value in headers)
    assert b"G1" in headers[0][1]
