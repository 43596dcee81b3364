"""Who may see and end what: names count together with their issuer, and an admin decides nothing by being one."""

import pytest

from gateway.console.rights import (
    Person,
    bad_subject,
    is_admin,
    is_own,
    may_request,
    may_revoke,
    may_see,
    may_see_revocation,
)
from gateway.console.settings import Admins
from gateway.policy.model import Approvers, GrantTerms
from gateway.principal import Principal
from gateway.state.voting import may_vote
from tests.kit.state_entries import asked, requester, revoked

ISSUER = "https://issuer"


def person(user: str, *groups: str, issuer: str = ISSUER, session: str = "", admin: bool = False) -> Person:
    return Person(Principal(user, groups, "oidc", "c" * 32, issuer), session, admin)


def test_an_admin_is_one_by_name_or_group() -> None:
    admins = Admins(users=("ann",), groups=("root",))
    assert is_admin(person("ann").principal, admins)
    assert is_admin(person("bob", "devs", "root").principal, admins)
    assert not is_admin(person("bob", "devs").principal, admins)
    assert not is_admin(person("ann").principal, Admins())


def test_a_namesake_of_another_issuer_owns_and_sees_nothing() -> None:
    namesake = person("ann", issuer="https://other")
    assert is_own(person("ann"), requester())
    assert not is_own(namesake, requester())
    assert may_see(person("ann"), asked())
    assert not may_see(namesake, asked())
    assert not may_revoke(namesake, "hold", asked().id, requester())


def test_an_admin_sees_everything_and_decides_nothing_by_being_one() -> None:
    admin = person("adm", admin=True)
    assert may_see(admin, asked())
    assert may_vote(asked(), admin.voter)


def test_one_ends_ones_own_and_an_admin_anything() -> None:
    own = person("zoe", session="s1")
    assert may_revoke(own, "session", "s1")
    assert may_revoke(own, "credential", "c" * 32)
    assert not may_revoke(own, "session", "s2")
    assert not may_revoke(own, "user", "zoe")
    assert not may_revoke(person("zoe"), "session", "")
    assert may_revoke(person("adm", admin=True), "user", "zoe")


def test_a_revocation_is_seen_by_whom_it_is_about() -> None:
    for kind, subject in (("user", "zoe"), ("credential", "c" * 32), ("session", "s1")):
        assert may_see_revocation(person("zoe", session="s1"), revoked(kind, subject))
        assert not may_see_revocation(person("zoe", session="s1"), revoked(kind, "another"))
    assert not may_see_revocation(person("zoe"), revoked("session", ""))
    assert may_see_revocation(person("adm", admin=True), revoked("user", "zoe"))


def test_a_bundle_is_for_whom_the_policy_names() -> None:
    terms = GrantTerms("b", Approvers(("bob",)), 60, requester_groups=("devs",))
    assert may_request(person("ann", "devs"), terms)
    assert not may_request(person("ann", "ops"), terms)


@pytest.mark.parametrize(
    ("kind", "subject"),
    [("user", "ann@example.com"), ("credential", "0f" * 16), ("session", "01K0000000AAAAAAAA11111111")],
)
def test_a_subject_of_the_right_form_is_taken(kind: str, subject: str) -> None:
    assert bad_subject(kind, subject) == ""
